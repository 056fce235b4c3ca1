from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import boto3
import pytest
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from annex_bootstrap.annexes.leases import Leases, Machines, parse_target, starter
from annex_bootstrap.aws import Account
from annex_bootstrap.errors import UserError
from annex_bootstrap.times import clock, left
from annex_contract.lease import LATEST
from tests.unit.annex_bootstrap.annexes.memory import STACK, Memory
from tests.unit.recorded import Recorded, RefusedError


def test_only_a_target_of_the_lease_function_named_as_the_rule_is_a_lease() -> None:
    lease = {"AnnexID": "blast", "S3BucketName": "b", "LeaseExpiration": 5}
    target = {"Id": "blast", "Arn": "f", "Input": json.dumps(lease)}
    found = parse_target("blast", [{"Id": "other", "Arn": "x"}, target], "f")
    assert found is not None
    assert (found.annex_id, found.expiration) == ("blast", 5)
    assert parse_target("sweep-rule", [{"Id": "sweep", "Arn": "f", "Input": '{"Sweep": true}'}], "f") is None
    assert parse_target("blast", [target], "another function") is None


def _lease_until(expiration: int) -> str:
    return json.dumps({"AnnexID": "blast", "S3BucketName": "b", "LeaseExpiration": expiration})


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"LeaseExpiration": "5"}', '{"LeaseExpiration": true}', "5"),
        *(_lease_until(LATEST + 1), _lease_until(10**400)),
    ],
)
def test_a_lease_that_cannot_be_read_has_no_end(text: str) -> None:
    found = parse_target("blast", [{"Id": "blast", "Arn": "f", "Input": text}], "f")
    assert found is not None
    assert found.expiration is None


FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:made-up-lease"


@pytest.mark.parametrize(
    ("name", "function", "expiration"), [("blast", FUNCTION, 5), ("other", FUNCTION, None), ("blast", "else", None)]
)
def test_one_lease_is_found_by_one_call(name: str, function: str, expiration: int | None) -> None:
    events = boto3.client("events", "us-east-1", aws_access_key_id="made-up", aws_secret_access_key="made-up")
    with Stubber(events) as stub:
        if name == "blast":
            text = json.dumps({"AnnexID": "blast", "S3BucketName": "b", "LeaseExpiration": 5})
            stub.add_response(
                "list_targets_by_rule",
                {"Targets": [{"Id": "blast", "Arn": function, "Input": text}]},
                {"Rule": "blast"},
            )
        else:
            stub.add_client_error("list_targets_by_rule", "ResourceNotFoundException", http_status_code=400)
        found = Leases(cast("Account", SimpleNamespace(events=events)), FUNCTION).get(name)
        stub.assert_no_pending_responses()
    assert (found and found.expiration) == expiration


def test_a_lease_that_is_removed_while_all_are_listed_is_left_out() -> None:
    def targets(arguments: dict[str, Any]) -> dict[str, Any]:
        if arguments["Rule"] == "gone":
            raise RefusedError("ResourceNotFoundException", "Rule gone does not exist on EventBus default")
        return {"Targets": [{"Id": "blast", "Arn": FUNCTION, "Input": _lease_until(5)}]}

    aws = Recorded(ListRuleNamesByTarget={"RuleNames": ["gone", "blast"]}, ListTargetsByRule=targets)
    leases = Leases(aws.account(), FUNCTION).list()
    assert [(lease.annex_id, lease.expiration) for lease in leases] == [("blast", 5)]


@given(st.integers(0, 2**40), st.dictionaries(st.sampled_from(["AnnexID", "S3BucketName", "More"]), st.text()))
def test_another_end_changes_only_the_end(expiration: int, rest: dict[str, str]) -> None:
    target = {"Id": "blast", "Arn": "f", "RoleArn": "r", "Input": json.dumps(rest | {"LeaseExpiration": 5})}
    found = parse_target("blast", [target], "f")
    assert found is not None
    changed = found.ending_at(expiration)
    assert json.loads(changed.pop("Input")) == rest | {"LeaseExpiration": expiration}
    assert changed == {key: value for key, value in target.items() if key != "Input"}


@pytest.mark.parametrize(
    ("machines", "kind"),
    [
        (Machines({}, 0, 0), "-"),
        (Machines({}, 0, 1), "spot"),
        (Machines({"a": 2}, 0, 0), "on demand"),
        (Machines({"a": 2}, 2, 1), "spot"),
        (Machines({"a": 2}, 1, 1), "mixed"),
    ],
)
def test_the_kind_of_an_annex_is_that_of_its_machines(machines: Machines, kind: str) -> None:
    assert machines.kind == kind


def test_the_cost_is_the_sum_and_unknown_where_one_price_is() -> None:
    machines = Machines({"a": 2, "b": 1}, 0, 0)
    assert machines.cost({"a": Decimal("0.1"), "b": Decimal("0.05")}) == Decimal("0.25")
    assert machines.cost({"a": Decimal("0.1")}) is None
    assert Machines({}, 0, 0).cost({}) == 0


@pytest.mark.parametrize("expiration", [-(10**30), 0, LATEST])
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_every_end_that_is_read_can_be_shown(expiration: int, zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    found = parse_target("blast", [{"Id": "blast", "Arn": "f", "Input": _lease_until(expiration)}], "f")
    assert found is not None
    assert found.expiration is not None
    assert clock(found.expiration)
    assert left(found.expiration)
    assert datetime.fromtimestamp(found.expiration, UTC).year in (1970, 2999)
    monkeypatch.undo()
    time.tzset()


def test_the_token_of_the_oldest_machine_that_start_started_ends_first() -> None:
    began = datetime(2026, 11, 1, tzinfo=UTC)
    since = [("a", began + timedelta(hours=1)), ("a", began)]
    assert Machines({"a": 2}, 0, 0, since=since).earliest_token_end is None
    machines = Machines({"a": 2}, 0, 0, starters=frozenset({"alice"}), since=since)
    assert machines.earliest_token_end == int((began + timedelta(days=1)).timestamp())


@pytest.mark.parametrize(
    ("rule", "ours"),
    [
        ({"ScheduleExpression": "rate(5 minutes)"}, True),
        ({"ScheduleExpression": "rate(5 minutes)", "EventPattern": ""}, True),
        ({"ScheduleExpression": "rate(5 minutes)", "EventPattern": '{"source": ["aws.ec2"]}'}, False),
        ({"ScheduleExpression": "rate(1 day)"}, False),
        ({"EventPattern": '{"source": ["aws.ec2"]}'}, False),
        ({}, False),
    ],
)
def test_a_rule_without_targets_is_taken_only_with_the_schedule_of_leases(rule: dict[str, Any], ours: bool) -> None:
    memory = Memory()
    memory.rules["first"] = rule
    leases = Leases.of(cast("Account", memory), STACK)
    if ours:
        leases.check_name("first")
    else:
        with pytest.raises(UserError, match=r"^the EventBridge rule first in us-east-1 is not the lease of an annex"):
            leases.check_name("first")


@pytest.mark.parametrize(
    ("tag", "shown"),
    [
        ("alice", "alice"),
        ("AROAMADEUPMADEUP12345:alice@example.org", "alice@example.org (session)"),
        ("123456789012:alice", "alice (session)"),
        ("123456789012", "123456789012"),
        ("", ""),
    ],
)
def test_a_session_is_not_shown_as_a_user(tag: str, shown: str) -> None:
    assert starter(tag) == shown


OURS = [{"Key": "htcondor:AnnexName", "Value": "blast"}, {"Key": "annex-bootstrap:stack", "Value": "arn:stack"}]


def test_fleets_and_spot_requests_that_start_another_machine_are_found_with_their_annexes() -> None:
    aws = Recorded(
        DescribeFleets={
            "Fleets": [
                {"FleetId": "fleet-runs", "FleetState": "active", "Tags": OURS},
                {"FleetId": "fleet-ended", "FleetState": "deleted_terminating", "Tags": OURS},
                {"FleetId": "fleet-of-others", "FleetState": "active", "Tags": OURS[:1]},
            ]
        },
        DescribeSpotInstanceRequests={
            "SpotInstanceRequests": [
                {"SpotInstanceRequestId": "sir-ours", "InstanceId": "i-ours"},
                {"SpotInstanceRequestId": "sir-of-others", "InstanceId": "i-of-others"},
                {"SpotInstanceRequestId": "sir-waits"},
            ]
        },
    )
    leases = Leases(aws.account(), FUNCTION, stack_id="arn:stack")
    assert leases.replacing({"i-ours": "other"}) == [("fleet-runs", "blast"), ("sir-ours", "other")]
    (asked,) = aws.of("DescribeSpotInstanceRequests")
    assert asked["Filters"] == [
        {"Name": "type", "Values": ["persistent"]},
        {"Name": "state", "Values": ["open", "active", "disabled"]},
    ]


def test_where_the_policy_lets_nobody_see_what_replaces_machines_there_is_none() -> None:
    aws = Recorded(DescribeFleets=RefusedError("UnauthorizedOperation", status=403))
    assert Leases(aws.account(), FUNCTION, stack_id="arn:stack").replacing({"i-ours": "other"}) == []
