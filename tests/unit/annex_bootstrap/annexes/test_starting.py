"""The order of a start, and what it undoes: against an account in memory that keeps each call."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from annex_bootstrap.annexes import requests, starting
from annex_bootstrap.annexes.requests import Request, find_requests
from annex_bootstrap.annexes.starting import Outcome, UncertainError, carry_out, check_lease_function
from annex_bootstrap.errors import AwsError, UnavailableError, UserError
from annex_bootstrap.machines import prices
from annex_bootstrap.machines.money import Allowance
from annex_contract.stack import ANNEX_TAG, STACK_TAG
from tests.unit.annex_bootstrap.annexes.memory import (
    DENIED,
    EXPIRATION,
    OUTPUTS,
    POOL,
    REQUEST,
    RULE_ALLOWED,
    STACK,
    Memory,
    raising,
)


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Memory:
    monkeypatch.setattr(requests, "DIRECTORY", tmp_path / "requests")
    monkeypatch.setattr(starting, "LOOK_PAUSE", 0)
    return Memory()


def run(memory: Memory) -> Outcome:
    return carry_out(memory, STACK, REQUEST, POOL)  # type: ignore[arg-type]  # has what a start uses


def saved() -> list[Request]:
    return find_requests("123456789012", "us-east-1", "first")


CONFIGURATIONS = ["configuration machines/first/AROAEXAMPLE:i-0", "configuration machines/first/AROAEXAMPLE:i-1"]


def test_the_lease_comes_before_the_machines_and_their_configurations_after(memory: Memory) -> None:
    assert run(memory) == Outcome({"m7i.large": 2}, {})
    assert memory.calls[:3] == ["rule", "lease", "machines"]
    assert sorted(memory.calls[3:]) == CONFIGURATIONS
    assert memory.lease()["LeaseExpiration"] == EXPIRATION
    assert saved() == []


def test_a_lease_is_never_shortened_and_says_who_counts_on_it(memory: Memory) -> None:
    memory.hold(EXPIRATION + 600)
    run(memory)
    assert memory.lease() == {
        "AnnexID": "first",
        "S3BucketName": "pool-bucket",
        "LeaseExpiration": EXPIRATION + 600,
        "Request": REQUEST.request_id,
    }


def test_a_first_start_that_is_refused_ends_its_lease(memory: Memory) -> None:
    memory.launch = raising(DENIED)
    with pytest.raises(AwsError):
        run(memory)
    assert memory.calls == ["rule", "lease", "machines", "end", "function first"]
    assert saved() == []


def test_a_start_without_any_machine_ends_its_lease(memory: Memory) -> None:
    memory.launch = lambda: {"Instances": [], "Errors": [{"ErrorCode": "None", "ErrorMessage": "none left"}]}
    assert run(memory) == Outcome({}, {"None": "none left"})
    assert memory.calls[-2:] == ["end", "function first"]


def test_a_refused_top_up_leaves_the_annex_alone(memory: Memory) -> None:
    memory.hold(EXPIRATION)
    memory.launch = raising(DENIED)
    with pytest.raises(AwsError):
        run(memory)
    assert memory.calls == ["rule", "lease", "machines"]


NO_ROOM = ClientError(
    {
        "Error": {
            "Code": "LimitExceededException",
            "Message": "The requested resource exceeds the maximum number allowed.",
        }
    },
    "PutRule",
)


def test_without_room_for_another_rule_nothing_is_uploaded_and_the_quota_is_named(memory: Memory) -> None:
    memory.put_rule = raising(NO_ROOM)  # type: ignore[method-assign]  # a bus that is full
    with pytest.raises(UnavailableError, match="EventBridge has no room in us-east-1 for another rule"):
        run(memory)
    assert memory.calls == []
    assert saved() == []


def test_the_rule_of_a_lease_has_the_tags_of_its_stack_and_annex_and_those_that_people_gave(memory: Memory) -> None:
    run(memory)
    rule = memory.rules["first"]
    assert {tag["Key"]: tag["Value"] for tag in rule["Tags"]} == {
        "cost-center": "42",
        ANNEX_TAG: "first",
        STACK_TAG: "arn:stack",
    }


def test_where_a_policy_of_an_earlier_version_lets_nobody_tag_rules_they_have_no_tags(memory: Memory) -> None:
    put = memory.put_rule
    denied = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "PutRule")

    def put_rule(**arguments: Any) -> None:
        if "Tags" in arguments:
            raise denied
        put(**arguments)

    memory.put_rule = put_rule  # type: ignore[method-assign]  # of who may not tag
    run(memory)
    assert memory.rules["first"] == {
        "Name": "first",
        "ScheduleExpression": "rate(5 minutes)",
        "State": "ENABLED",
    }


def test_a_lease_that_somebody_put_meanwhile_is_not_ended(memory: Memory) -> None:
    def meanwhile() -> dict[str, Any]:
        # With the same end: only who put it differs.
        memory.hold(EXPIRATION)
        raise DENIED

    memory.launch = meanwhile
    with pytest.raises(AwsError):
        run(memory)
    assert "end" not in memory.calls


@pytest.mark.parametrize("state", ["pending", "running", "stopping", "stopped"])
def test_a_lease_for_which_something_runs_is_not_ended(memory: Memory, state: str) -> None:
    def meanwhile() -> dict[str, Any]:
        memory.launched(1, state)
        raise DENIED

    memory.launch = meanwhile
    with pytest.raises(AwsError):
        run(memory)
    assert "end" not in memory.calls


def test_without_an_answer_nothing_is_ended_and_the_request_stays_to_be_finished(memory: Memory) -> None:
    def lost() -> dict[str, Any]:
        memory.launched(2)
        raise ConnectionClosedError(endpoint_url="https://ec2.us-east-1.amazonaws.com")

    memory.launch = lost
    with pytest.raises(UncertainError):
        run(memory)
    assert saved() == [REQUEST]
    memory.launch = raising(AssertionError("asked twice"))
    assert run(memory) == Outcome({"m7i.large": 2}, {})
    assert len(memory.machines) == 2
    assert saved() == []


def test_finishing_puts_only_what_is_missing(memory: Memory) -> None:
    puts = memory.put_object

    def first_only(**arguments: Any) -> None:
        if arguments["Key"].endswith("i-1"):
            raise ConnectionClosedError(endpoint_url="https://s3.us-east-1.amazonaws.com")
        puts(**arguments)

    memory.put_object = first_only  # type: ignore[method-assign]  # a network that fails
    with pytest.raises(UncertainError, match="1 of 2 machines of first have no configuration"):
        run(memory)
    assert saved() == [REQUEST]
    memory.put_object = puts  # type: ignore[method-assign]  # and works again
    memory.launch = raising(AssertionError("asked twice"))
    run(memory)
    assert memory.objects == {call.split()[1] for call in CONFIGURATIONS}
    assert saved() == []


def refusing(code: str, *ids: str) -> Callable[..., None]:
    """Return a PutObject that AWS refuses for the configurations of some machines."""

    def put(**arguments: Any) -> None:
        if arguments["Key"].rpartition(":")[2] in ids:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "PutObject")

    return put


@pytest.mark.parametrize("code", ["AccessDenied", "NoSuchBucket", "KMS.DisabledException"])
def test_machines_that_can_get_no_configuration_are_terminated_at_once(memory: Memory, code: str) -> None:
    memory.put_object = refusing(code, "i-0", "i-1")  # type: ignore[method-assign]  # a bucket that takes nothing
    with pytest.raises(UserError, match="none of the 2 machines of first could get a configuration, so they were"):
        run(memory)
    assert memory.calls == ["rule", "lease", "machines", "terminate i-0 i-1", "end", "function first"]
    assert saved() == []


def test_a_lease_of_others_stays_when_new_machines_get_no_configuration(memory: Memory) -> None:
    memory.hold(EXPIRATION)
    memory.put_object = refusing("AccessDenied", "i-0", "i-1")  # type: ignore[method-assign]  # a bucket that takes none
    with pytest.raises(UserError, match="so they were terminated"):
        run(memory)
    assert memory.calls == ["rule", "lease", "machines", "terminate i-0 i-1"]


@pytest.mark.parametrize(
    ("code", "ids"),
    [("AccessDenied", ["i-1"]), ("SlowDown", ["i-0", "i-1"]), ("ConditionalRequestConflict", ["i-0", "i-1"])],
)
def test_machines_of_which_some_may_get_a_configuration_run_on(memory: Memory, code: str, ids: list[str]) -> None:
    memory.put_object = refusing(code, *ids)  # type: ignore[method-assign]  # a bucket that takes some
    with pytest.raises(UncertainError, match="run the same command again"):
        run(memory)
    assert memory.calls == ["rule", "lease", "machines"]
    assert saved() == [REQUEST]


def test_machines_of_an_earlier_try_run_on_though_nothing_can_be_put_any_more(memory: Memory) -> None:
    memory.launched(2)
    memory.put_object = refusing("AccessDenied", "i-0", "i-1")  # type: ignore[method-assign]  # a bucket that takes none
    with pytest.raises(UncertainError, match="2 of 2 machines of first have no configuration"):
        run(memory)
    assert not any(call.startswith("terminate") for call in memory.calls)


def test_machines_that_cannot_be_terminated_shut_down_by_themselves(memory: Memory) -> None:
    memory.put_object = refusing("AccessDenied", "i-0", "i-1")  # type: ignore[method-assign]  # a bucket that takes none
    memory.terminate_instances = raising(DENIED)  # type: ignore[method-assign]  # a user who may not
    with pytest.raises(UncertainError, match="shut down without it after five minutes"):
        run(memory)
    assert saved() == [REQUEST]


def test_a_start_whose_machines_have_ended_meanwhile_cannot_be_finished(memory: Memory) -> None:
    memory.launched(2, "terminated")
    with pytest.raises(UserError, match="the machines of the interrupted start of first have ended"):
        run(memory)
    assert saved() == []
    assert memory.calls == ["rule", "lease", "end", "function first"]


def throttled() -> ClientError:
    answer: Any = {
        "Error": {"Code": "RequestLimitExceeded", "Message": "Request limit exceeded."},
        "ResponseMetadata": {"HTTPStatusCode": 503},
    }
    return ClientError(answer, "CreateFleet")


def test_a_throttle_is_a_refusal_though_it_comes_as_a_servers_error(memory: Memory) -> None:
    memory.launch = raising(throttled())
    with pytest.raises(AwsError, match="RequestLimitExceeded"):
        run(memory)
    assert memory.calls[-2:] == ["end", "function first"]
    assert saved() == []


def test_a_throttle_after_a_try_that_got_through_is_not_an_answer(memory: Memory) -> None:
    def twice() -> dict[str, Any]:
        memory.launched(2)
        raise throttled()

    memory.launch = twice
    with pytest.raises(UncertainError):
        run(memory)
    assert saved() == [REQUEST]


def test_a_lease_that_ended_during_the_launch_is_put_again(memory: Memory) -> None:
    def slow() -> dict[str, Any]:
        memory.targets.clear()
        return memory.launched(2)

    memory.launch = slow
    run(memory)
    assert memory.calls[:5] == ["rule", "lease", "machines", "rule", "lease"]
    assert memory.lease()["LeaseExpiration"] == EXPIRATION


def test_a_lease_that_somebody_shortened_during_the_launch_is_put_again(memory: Memory) -> None:
    def slow() -> dict[str, Any]:
        memory.hold(EXPIRATION - 600)
        return memory.launched(2)

    memory.launch = slow
    run(memory)
    assert memory.lease()["LeaseExpiration"] == EXPIRATION


LIMITED = replace(
    REQUEST,
    annex=replace(
        REQUEST.annex,
        money=Allowance(Decimal(10), Decimal(0), int(time.time()), 2, Decimal("0.12"), Decimal("0.02")).content(),
    ),
)


@pytest.fixture
def priced(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> Memory:
    monkeypatch.setattr(prices, "on_demand", lambda _account, names: dict.fromkeys(names, Decimal("0.10")))
    return memory


def start_limited(memory: Memory) -> Outcome:
    return carry_out(memory, STACK, LIMITED, POOL)  # type: ignore[arg-type]  # has what a start uses


def test_a_lease_with_money_has_the_sum_and_what_runs(priced: Memory) -> None:
    assert start_limited(priced).count == 2
    lease = priced.lease()
    assert lease["LeaseExpiration"] == EXPIRATION
    assert lease["Money"] | {"Since": "", "Spent": ""} == {
        "Dollars": "10",
        "Spent": "",
        "Since": "",
        "Machines": "2",
        "Most": "0.12",
        "Extras": "0.02",
    }
    assert saved() == []


def test_machines_that_another_start_brought_meanwhile_shorten_the_lease(priced: Memory) -> None:
    def crowded() -> dict[str, Any]:
        priced.launched(98)
        return priced.launched(2)

    priced.launch = crowded
    start_limited(priced)
    # A hundred machines at $0.12/hour.
    assert abs(priced.lease()["LeaseExpiration"] - (time.time() + 3000 - 360)) < 90
    assert priced.lease()["Money"]["Machines"] == "100"


def test_machines_that_ec2_does_not_show_yet_count(priced: Memory) -> None:
    def hidden() -> dict[str, Any]:
        answer = priced.launched(100)
        priced.machines.clear()
        return answer

    priced.launch = hidden
    start_limited(priced)
    assert priced.lease()["Money"]["Machines"] == "100"
    assert abs(priced.lease()["LeaseExpiration"] - (time.time() + 3000 - 360)) < 90


@pytest.mark.parametrize("request_", [REQUEST, LIMITED])
def test_money_that_somebody_else_spends_meanwhile_is_not_overwritten(priced: Memory, request_: Request) -> None:
    other = Allowance(Decimal(10), Decimal(1), int(time.time()) + 60, 5, Decimal("0.12"), Decimal("0.02")).content()
    priced.hold(EXPIRATION)
    content = priced.lease() | {"Money": other}
    priced.targets["first"]["Input"] = json.dumps(content)
    with pytest.raises(UserError, match="somebody else has started machines of first meanwhile"):
        carry_out(priced, STACK, request_, POOL)  # type: ignore[arg-type]  # has what a start uses
    assert (priced.lease(), "machines" in priced.calls) == (content, False)


def test_a_request_with_money_is_finished_with_it(priced: Memory) -> None:
    def lost() -> dict[str, Any]:
        priced.launched(2)
        raise ConnectionClosedError(endpoint_url="https://ec2")

    priced.launch = lost
    with pytest.raises(UncertainError):
        start_limited(priced)
    (earlier,) = saved()
    assert earlier == LIMITED
    assert carry_out(priced, STACK, earlier, POOL).count == 2  # type: ignore[arg-type]  # has what a start uses
    assert priced.lease()["Money"]["Machines"] == "2"


def test_with_money_machines_that_end_at_once_end_the_lease_too(priced: Memory) -> None:
    priced.launch = lambda: priced.launched(2, "terminated", **DYING)
    assert start_limited(priced).count == 0
    assert priced.calls[-2:] == ["end", "function first"]


DYING = {"StateReason": {"Code": "Client.InternalError", "Message": "Client.InternalError: Client error on launch"}}


def test_machines_that_end_as_soon_as_they_start_have_not_started_and_their_lease_ends(memory: Memory) -> None:
    memory.launch = lambda: memory.launched(2, "terminated", **DYING)
    assert run(memory) == Outcome({}, {"Client.InternalError": "Client error on launch"})
    assert memory.calls[-2:] == ["end", "function first"]


def test_of_machines_that_end_at_once_the_others_count(memory: Memory) -> None:
    def partly() -> dict[str, Any]:
        memory.launched(1, "shutting-down", **DYING)
        memory.launched(1)
        return {"Instances": [{"InstanceType": "m7i.large", "InstanceIds": ["i-0", "i-1"]}]}

    memory.launch = partly
    assert run(memory) == Outcome({"m7i.large": 1}, {"Client.InternalError": "Client error on launch"})
    assert "end" not in memory.calls


def test_a_machine_that_shut_down_without_jobs_has_started(memory: Memory) -> None:
    reason = {"StateReason": {"Code": "Client.InstanceInitiatedShutdown", "Message": "Client..."}}
    memory.launch = lambda: memory.launched(2, "terminated", **reason)
    assert run(memory) == Outcome({"m7i.large": 2}, {})


def check(memory: Memory) -> None:
    check_lease_function(memory, OUTPUTS, "first")  # type: ignore[arg-type]  # has what a start uses


def test_a_lease_function_that_answers_and_that_eventbridge_may_run_is_enough(memory: Memory) -> None:
    check(memory)
    assert memory.calls == ["function first"]
    memory.get_policy = raising(  # type: ignore[method-assign]  # this user may not read it
        ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetPolicy")
    )
    check(memory)


@pytest.mark.parametrize("policy", [None, [], [RULE_ALLOWED | {"Effect": "Deny"}], [RULE_ALLOWED | {"Principal": "*"}]])
def test_nothing_starts_with_a_lease_function_that_eventbridge_may_not_run(
    memory: Memory, policy: list[dict[str, Any]] | None
) -> None:
    memory.policy = policy
    with pytest.raises(UnavailableError, match="EventBridge may not run it; run annex-bootstrap doctor"):
        check(memory)


def test_nothing_starts_with_a_lease_function_that_fails_or_is_gone(memory: Memory) -> None:
    memory.fails, memory.line = True, {"errorMessage": "no module"}
    with pytest.raises(UnavailableError, match=r"it fails: .*no module"):
        check(memory)
    memory.invoke = raising(  # type: ignore[method-assign]  # a function that is gone
        ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "none"}}, "Invoke")
    )
    with pytest.raises(UnavailableError, match="it is gone"):
        check(memory)
