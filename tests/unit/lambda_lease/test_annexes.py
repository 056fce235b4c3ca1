"""Ending an annex, in an account that also holds what is not the annex's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from annex_contract.stack import ANNEX_TAG, STACK_TAG
from lambda_lease import batches, compute
from lambda_lease.annexes import NotEndedError
from lambda_lease.compute import UNPROTECTED_AT_ONCE
from tests.unit.lambda_lease.fake_aws import BUCKET, LEASE_FUNCTION, STACK_ID, UUID, FakeAws

OVER = 999_000
LATER = 2_000_000


def expired(aws: FakeAws, annex_id: str = "test") -> dict[str, object]:
    """Put the lease, already over, and the tarball of an annex; return its event."""
    aws.objects.add(f"config-{annex_id}.tar.gz")
    return aws.put_lease(annex_id, OVER)


def tick_until_gone(aws: FakeAws, event: dict[str, object], ticks: int = 3) -> None:
    for _ in range(ticks):
        aws.tick(event)
        aws.settle()


@pytest.mark.parametrize("filters_work", [True, False])
@pytest.mark.parametrize(
    ("mine", "other"),
    [
        ("test", "test2"),
        ("test", "test_b"),
        ("test_b", "test"),
        ("test", "tes"),
        ("a.b", "axb"),
        ("a-b", "a-b-"),
        ("a_b", "a_b_c"),
        ("te*", "test"),
        ("te?t", "test"),
        ("te[s]t", "test"),
        ("te\\*", "te*"),
        ("a" * 27, "a" * 26),
        ("a" * 26, "a" * 27),
        ("Test", "test"),
    ],
)
def test_only_the_annex_of_exactly_that_name_is_ended(aws: FakeAws, mine: str, other: str, filters_work: bool) -> None:
    aws.filters_work = filters_work
    event = expired(aws, mine)
    expired(aws, other)
    aws.start(mine)
    aws.start(tag=mine)
    aws.start(token=f"{mine}_{UUID}")
    aws.request_fleet(mine)
    spared = {aws.start(other), aws.start(tag=other), aws.start(token=f"{other}_{UUID}")}
    fleet = aws.request_fleet(other)

    tick_until_gone(aws, event)

    assert aws.running() == spared
    assert aws.fleets[fleet].state == "active"
    assert aws.objects == {f"config-{other}.tar.gz"}
    assert set(aws.rules) == {other}


def test_a_name_longer_than_27_characters_takes_its_tarball_along_and_leaves_others(aws: FakeAws) -> None:
    name = "a-name-that-is-27-characters-and-more"
    event = aws.put_lease(name[:27], OVER)
    aws.objects = {f"config-{name}.tar.gz", f"config-{name[:26]}.tar.gz", f"config-{name}.zip"}

    aws.tick(event)

    assert aws.objects == {f"config-{name[:26]}.tar.gz", f"config-{name}.zip"}


def test_a_machine_tagged_as_another_annex_is_left_alone_whatever_its_client_token_says(aws: FakeAws) -> None:
    event = expired(aws)
    spared = aws.start(tag="other", token=f"test_{UUID}")
    tick_until_gone(aws, event)
    assert aws.running() == {spared}


def test_machines_and_fleets_of_other_people_are_left_alone(aws: FakeAws) -> None:
    event = expired(aws)
    spared = {
        aws.start(),
        aws.start(token=UUID),
        aws.start(token="test"),
        aws.start(token="_test"),
        aws.start(token=f"my_test_{UUID}"),
    }
    fleets = [
        aws.request_fleet(),
        aws.request_fleet(token=UUID),
        aws.request_fleet(tags=("test", None), token=f"test_{UUID}"),
        aws.request_fleet(tags=("test", "other"), token=f"test_{UUID}"),
    ]
    tick_until_gone(aws, event)
    assert aws.running() == spared
    assert {aws.fleets[fleet].state for fleet in fleets} == {"active"}
    assert not aws.rules


@pytest.mark.parametrize(
    "foreign",
    [
        {"token": "test_2024", "profile": "arn:aws:iam::123456789012:instance-profile/render"},
        {"token": "test_2024", "profile": ""},
        {
            "tags": (None, None),
            "token": "test_2024",
            "last_profile": "arn:aws:iam::123456789012:instance-profile/render",
        },
        {"tags": (), "token": "test_2024"},
    ],
)
def test_a_fleet_of_somebody_else_is_left_alone_whatever_its_client_token_says(
    aws: FakeAws, foreign: dict[str, str]
) -> None:
    event = expired(aws)
    id_ = aws.request_fleet(**foreign)
    assert aws.tick(event)["fleets_cancelled"] == 0
    assert aws.fleets[id_].state == "active"


def test_a_machine_of_somebody_else_is_left_alone_whatever_its_client_token_says(aws: FakeAws) -> None:
    event = expired(aws)
    id_ = aws.start(token="test_2024", profile="arn:aws:iam::123456789012:instance-profile/render")
    assert aws.tick(event)["machines_ended"] == 0
    assert id_ in aws.running()


@pytest.mark.parametrize("fleet", [{"tags": ("test", "test")}, {"token": f"test_{UUID}"}])
def test_a_fleet_is_known_by_its_tags_or_by_its_client_token(aws: FakeAws, fleet: dict[str, str]) -> None:
    event = expired(aws)
    id_ = aws.request_fleet(**fleet)
    assert aws.tick(event)["fleets_cancelled"] == 1
    assert aws.fleets[id_].state == "cancelled_terminating"


def test_an_annex_is_ended_over_ticks_and_its_rule_goes_only_when_a_tick_finds_nothing(aws: FakeAws) -> None:
    event = expired(aws)
    aws.start("test")

    first = aws.tick(event)
    assert (first["machines_ended"], first["tarballs_deleted"]) == (1, 1)
    assert "test" in aws.rules

    second = aws.tick(event)
    assert second["machines_ended"] == 0
    assert "test" in aws.rules, "the machine is still shutting down"

    aws.settle()
    assert aws.tick(event)["rule_removed"] is True
    assert aws.left_of("test") == []


def test_a_machine_that_becomes_visible_after_the_first_tick_is_ended_by_the_next(aws: FakeAws) -> None:
    event = expired(aws)
    aws.start("test", visible=False)
    aws.tick(event)
    aws.settle()
    assert aws.tick(event)["machines_ended"] == 1
    assert "test" in aws.rules


def test_a_machine_that_a_fleet_started_just_before_its_end_is_ended_in_the_same_tick(
    aws: FakeAws,
) -> None:
    event = expired(aws)
    aws.request_fleet("test")
    aws.during("CancelSpotFleetRequests", lambda: aws.start("test"))
    assert aws.tick(event)["machines_ended"] == 1
    assert not aws.running()


@pytest.mark.parametrize("state", ["pending", "running", "stopping", "stopped"])
def test_a_machine_is_ended_in_every_state_in_which_it_may_cost_money(aws: FakeAws, state: str) -> None:
    event = expired(aws)
    aws.start("test", state=state)
    assert aws.tick(event)["machines_ended"] == 1


def test_machines_that_are_ended_already_are_not_ended_again(aws: FakeAws) -> None:
    event = expired(aws)
    aws.start("test", state="terminated")
    aws.start("test", state="shutting-down")
    aws.tick(event)
    assert aws.ended == []
    assert aws.calls["TerminateInstances"] == 0


@pytest.mark.parametrize("state", ["cancelled", "cancelled_running", "cancelled_terminating", "failed"])
def test_a_fleet_already_cancelled_is_fine(aws: FakeAws, state: str) -> None:
    event = expired(aws)
    aws.request_fleet("test", state=state)
    aws.start("test")
    tick_until_gone(aws, event)
    assert aws.calls["CancelSpotFleetRequests"] == 0
    assert aws.left_of("test") == []


def test_a_fleet_that_vanishes_before_it_is_cancelled_is_fine(aws: FakeAws) -> None:
    event = expired(aws)
    fleet = aws.request_fleet("test")
    aws.during("CancelSpotFleetRequests", lambda: aws.fleets.pop(fleet))
    assert "error" not in aws.tick(event)


def test_a_fleet_that_cannot_be_cancelled_is_reported_and_tried_again(aws: FakeAws) -> None:
    event = expired(aws)
    fleet = aws.request_fleet("test", state="modifying")
    with pytest.raises(NotEndedError, match=rf"cancel {fleet}: fleetRequestNotInCancellableState"):
        aws.tick(event)
    aws.fleets[fleet].state = "active"
    tick_until_gone(aws, event)
    assert aws.left_of("test") == []


def tagged(annex_id: str, stack_id: str = STACK_ID) -> dict[str, str]:
    """Return the tags of an EC2 fleet."""
    return {ANNEX_TAG: annex_id, STACK_TAG: stack_id}


@pytest.mark.parametrize(("kind", "tags"), [("fleet", tagged("test")), ("sir", {})])
def test_what_replaces_machines_ends_with_their_annex(aws: FakeAws, kind: str, tags: dict[str, str]) -> None:
    event = expired(aws)
    id_ = aws.keep(kind, aws.start(tag="test"), **tags)
    assert aws.tick(event)["fleets_cancelled"] == 1
    assert aws.replacers[id_].state in ("cancelled", "deleted_terminating")
    aws.settle()
    tick_until_gone(aws, event)
    assert aws.left_of("test") == []


def test_a_spot_request_whose_machine_has_just_ended_ends_too(aws: FakeAws) -> None:
    event = expired(aws)
    id_ = aws.keep("sir", aws.start(tag="test", state="terminated"))
    aws.tick(event)
    assert aws.replacers[id_].state == "cancelled"


@pytest.mark.parametrize(
    ("kind", "tags", "machine"),
    [
        ("fleet", tagged("test2"), {"tag": "test"}),
        ("fleet", tagged("test", STACK_ID.replace("stack/a/", "stack/b/")), {}),
        ("fleet", {ANNEX_TAG: "test"}, {}),
        ("fleet", {STACK_TAG: STACK_ID}, {}),
        ("sir", {}, {"tag": "test2"}),
        ("sir", {}, {"tag": "test", "profile": "arn:aws:iam::123456789012:instance-profile/render"}),
        ("sir", {ANNEX_TAG: "test"}, {}),
    ],
)
def test_what_replaces_machines_of_others_goes_on(
    aws: FakeAws, kind: str, tags: dict[str, str], machine: dict[str, Any]
) -> None:
    event = expired(aws)
    id_ = aws.keep(kind, aws.start(**machine), **tags)
    assert aws.tick(event)["fleets_cancelled"] == 0
    assert aws.replacers[id_].state == "active"


@pytest.mark.parametrize("kind", ["fleet", "sir"])
def test_what_replaces_machines_and_vanishes_before_its_end_is_fine(aws: FakeAws, kind: str) -> None:
    event = expired(aws)
    id_ = aws.keep(kind, aws.start(tag="test"), **tagged("test"))
    operation = {"fleet": "DeleteFleets", "sir": "CancelSpotInstanceRequests"}[kind]
    aws.during(operation, lambda: aws.replacers.pop(id_))
    assert "error" not in aws.tick(event)


def test_protected_machines_end_with_the_others(aws: FakeAws) -> None:
    event = expired(aws)
    machines = [aws.start("test", protected=number in (3, 700)) for number in range(1_000)]
    other = aws.start("other", protected=True)
    assert aws.tick(event)["machines_ended"] == len(machines)
    assert aws.running() == {other}
    assert aws.machines[other].protected
    assert aws.calls["ModifyInstanceAttribute"] <= 2 * UNPROTECTED_AT_ONCE
    tick_until_gone(aws, event)
    assert aws.left_of("test") == []


def test_where_all_machines_are_protected_one_tick_ends_them(aws: FakeAws) -> None:
    event = expired(aws)
    for _ in range(1_000):
        aws.start("test", protected=True)
    assert aws.tick(event)["machines_ended"] == 1_000
    assert aws.calls["TerminateInstances"] < 300
    assert aws.calls["ModifyInstanceAttribute"] == 1_000


@pytest.mark.parametrize("code", ["UnauthorizedOperation", "UnsupportedOperation", "InvalidInstanceID.NotFound"])
def test_a_machine_whose_protection_stays_does_not_save_the_others_and_is_reported_at_each_tick(
    aws: FakeAws, code: str
) -> None:
    event = expired(aws)
    machines = [aws.start("test", protected=number in (3, 700)) for number in range(1_000)]
    aws.fail("ModifyInstanceAttribute", (code, 403))
    for _ in range(2):
        with pytest.raises(NotEndedError, match=f"terminate {machines[3]}, {machines[700]}: {code}"):
            aws.tick(event)
        aws.settle()
    assert aws.running() == {machines[3], machines[700]}
    assert aws.calls["ModifyInstanceAttribute"] <= 100
    assert "test" in aws.rules
    assert not aws.objects


def test_a_machine_that_vanished_does_not_save_the_others(aws: FakeAws) -> None:
    event = expired(aws)
    machines = [aws.start("test") for _ in range(20)]
    aws.during("TerminateInstances", lambda: aws.machines.pop(machines[7]))
    assert "error" not in aws.tick(event)
    assert not aws.running()


def test_a_machine_that_the_policy_does_not_cover_does_not_save_the_others(aws: FakeAws) -> None:
    event = expired(aws)
    machines = [aws.start("test") for _ in range(100)]
    aws.fail(
        "TerminateInstances",
        ("UnauthorizedOperation", 403),
        when=lambda parameters: machines[42] in parameters["InstanceIds"],
    )
    with pytest.raises(NotEndedError, match=f"terminate {machines[42]}: UnauthorizedOperation"):
        aws.tick(event)
    assert aws.running() == {machines[42]}


def test_a_policy_that_refuses_everything_does_not_flood_the_account_with_calls(aws: FakeAws) -> None:
    event = expired(aws)
    for _ in range(3_000):
        aws.start("test")
    aws.fail("TerminateInstances", ("UnauthorizedOperation", 403))
    with pytest.raises(NotEndedError):
        aws.tick(event)
    assert aws.calls["TerminateInstances"] < 2 * batches.CALL_LIMIT


def test_an_outage_is_not_answered_with_more_calls(aws: FakeAws) -> None:
    event = expired(aws)
    for _ in range(100):
        aws.start("test")
    aws.fail("TerminateInstances", ("RequestLimitExceeded", 503))
    with pytest.raises(NotEndedError, match="RequestLimitExceeded"):
        aws.tick(event)
    assert aws.calls["TerminateInstances"] == 1


def test_five_thousand_machines_and_three_hundred_fleets_take_calls_by_pages_and_batches_only(
    aws: FakeAws,
) -> None:
    event = expired(aws)
    fleets = [aws.request_fleet("test") for _ in range(300)]
    for number in range(5_000):
        aws.start("test", fleet=fleets[number % 300] if number % 2 else None)
    spared = aws.start("test2")

    tick_until_gone(aws, event)

    assert aws.left_of("test") == []
    assert aws.running() == {spared}
    assert aws.calls["CancelSpotFleetRequests"] == 3
    # 26 pages, in two listings, in three ticks; and the second look of the first tick.
    assert aws.calls["DescribeInstances"] <= 2 * 26 * 3 + 2
    # Half of the machines go with their fleets.
    assert aws.calls["TerminateInstances"] == 5


def test_everything_is_found_however_small_aws_makes_its_pages(aws: FakeAws) -> None:
    aws.page_size = 2
    name = "a" * 27
    event = aws.put_lease(name, OVER)
    aws.rules[name]["another"] = "{}"
    aws.rules[name]["and-another"] = "{}"
    aws.objects = {f"config-{name}{number}.tar.gz" for number in range(5)}
    for _ in range(7):
        aws.start(name)
        aws.request_fleet(name)
    tick_until_gone(aws, event)
    assert not aws.running()
    assert {fleet.state for fleet in aws.fleets.values()} == {"cancelled"}
    assert not aws.objects
    assert set(aws.rules[name]) == {"another", "and-another"}


@pytest.mark.parametrize(
    ("operation", "rest"),
    [
        ("DescribeInstances", {"CancelSpotFleetRequests", "DeleteObject"}),
        ("DescribeSpotFleetRequests", {"TerminateInstances", "DeleteObject"}),
        ("CancelSpotFleetRequests", {"TerminateInstances", "DeleteObject"}),
        ("DescribeFleets", {"CancelSpotFleetRequests", "CancelSpotInstanceRequests", "TerminateInstances"}),
        ("DeleteFleets", {"CancelSpotFleetRequests", "CancelSpotInstanceRequests", "TerminateInstances"}),
        ("DescribeSpotInstanceRequests", {"CancelSpotFleetRequests", "DeleteFleets", "TerminateInstances"}),
        ("CancelSpotInstanceRequests", {"CancelSpotFleetRequests", "DeleteFleets", "TerminateInstances"}),
        ("TerminateInstances", {"CancelSpotFleetRequests", "DeleteObject"}),
        ("ListObjectsV2", {"CancelSpotFleetRequests", "TerminateInstances"}),
        ("DeleteObject", {"CancelSpotFleetRequests", "TerminateInstances"}),
    ],
)
@pytest.mark.parametrize("error", [("AccessDenied", 403), ("InternalError", 500), RuntimeError("broken")])
def test_whatever_fails_the_rest_still_runs_the_error_is_raised_and_the_rule_stays(
    aws: FakeAws, operation: str, rest: set[str], error: Exception | tuple[str, int]
) -> None:
    event = expired(aws)
    aws.keep("sir", aws.start("test"))
    aws.keep("fleet", aws.start("test"), **tagged("test"))
    aws.request_fleet("test")
    aws.fail(operation, error)

    with pytest.raises(NotEndedError, match=r"annex test: not ended yet") as caught:
        aws.tick(event)

    assert caught.value.__cause__ is not None
    assert all(aws.calls[called] for called in rest)
    assert "test" in aws.rules
    aws.faults.clear()
    tick_until_gone(aws, event)
    assert aws.left_of("test") == []


def test_the_error_names_every_failure_and_ends_in_the_cause(aws: FakeAws) -> None:
    event = expired(aws)
    aws.fail("DescribeSpotFleetRequests", ("UnauthorizedOperation", 403))
    aws.fail("DeleteObject", ("AccessDenied", 403))
    with pytest.raises(NotEndedError) as caught:
        aws.tick(event)
    assert "list spot fleets: UnauthorizedOperation" in str(caught.value)
    assert str(caught.value).endswith(
        f"delete s3://{BUCKET}/config-test.tar.gz: AccessDenied: this call was made to fail"
    )


def test_machines_on_the_pages_before_a_page_that_fails_are_ended(aws: FakeAws) -> None:
    event = expired(aws)
    aws.page_size = 10
    machines = [aws.start(tag="test") for _ in range(30)]
    aws.fail("DescribeInstances", when=lambda parameters: parameters.get("NextToken") == "20")
    with pytest.raises(NotEndedError, match="list machines"):
        aws.tick(event)
    assert aws.running() == set(machines[20:])


def test_machines_behind_a_page_that_fails_are_found_by_their_token(aws: FakeAws) -> None:
    event = expired(aws)
    aws.page_size = 10
    for _ in range(30):
        aws.start("test")
    aws.fail("DescribeInstances", when=lambda parameters: parameters.get("NextToken") == "20")
    with pytest.raises(NotEndedError, match="list machines"):
        aws.tick(event)
    assert aws.running() == set()


def test_machines_with_a_tag_and_a_token_are_described_once(aws: FakeAws) -> None:
    event = expired(aws)
    aws.page_size = 10
    for _ in range(30):
        aws.start("test")
    aws.tick(event)
    assert aws.running() == set()
    # Three pages by tag, and an empty one by token.
    assert aws.calls["DescribeInstances"] == 4


def test_an_ending_machine_without_a_tag_keeps_the_rule(aws: FakeAws) -> None:
    event = expired(aws)
    aws.objects.clear()
    aws.start(token=f"test_{UUID}", state="shutting-down")
    aws.tick(event)
    assert "test" in aws.rules


def test_what_machines_have_not_read_goes_with_their_annex_and_with_no_other(aws: FakeAws) -> None:
    event = expired(aws)
    mine = {f"machines/test/AROA1:i-{number}" for number in range(3)}
    others = {"machines/test2/AROA1:i-9", "machines/tes/AROA1:i-8", "machines/test", "config-test2.tar.gz"}
    aws.objects |= mine | others
    assert aws.tick(event)["tarballs_deleted"] == 4
    assert aws.objects == others


def test_a_tarball_that_is_gone_is_fine(aws: FakeAws) -> None:
    event = expired(aws)
    aws.objects.clear()
    assert aws.tick(event)["rule_removed"] is True


def test_a_bucket_that_is_gone_is_fine(aws: FakeAws) -> None:
    event = expired(aws)
    aws.buckets.clear()
    assert aws.tick(event)["rule_removed"] is True


def test_an_annex_whose_rule_is_gone_is_ended_all_the_same(aws: FakeAws) -> None:
    event = expired(aws)
    aws.rules.clear()
    aws.start("test")
    tick_until_gone(aws, event)
    assert aws.left_of("test") == []


def test_a_rule_that_goes_during_a_tick_is_fine(aws: FakeAws) -> None:
    event = expired(aws)
    aws.objects.clear()
    aws.during("ListObjectsV2", aws.rules.clear)
    assert aws.tick(event)["rule_removed"] is False


def test_a_rule_that_lost_its_target_is_removed(aws: FakeAws) -> None:
    event = expired(aws)
    aws.rules["test"].clear()
    tick_until_gone(aws, event)
    assert "test" not in aws.rules


def test_a_rule_with_a_second_target_loses_only_ours(aws: FakeAws) -> None:
    event = expired(aws)
    aws.rules["test"]["somebody-elses"] = None
    tick_until_gone(aws, event)
    assert aws.rules == {"test": {"somebody-elses": None}}
    assert aws.removed_rules == []


def test_a_rule_that_runs_another_function_is_left_as_it_is(aws: FakeAws) -> None:
    event = expired(aws)
    aws.arns["test"] = f"{LEASE_FUNCTION}-of-others"
    before = dict(aws.rules["test"])
    for _ in range(3):
        aws.tick(event)
        aws.settle()
    assert (aws.rules, aws.calls["RemoveTargets"], aws.calls["DeleteRule"]) == ({"test": before}, 0, 0)
    assert not aws.objects


def test_what_another_function_gets_is_not_read_as_the_lease(aws: FakeAws) -> None:
    event = expired(aws)
    aws.arns["test"] = f"{LEASE_FUNCTION}-of-others"
    aws.rules["test"]["test"] = json.dumps(event | {"LeaseExpiration": LATER})
    assert aws.tick(event)["decision"] == "expire"


@pytest.mark.parametrize("has_our_target", [True, False])
def test_a_rule_with_another_schedule_is_not_deleted(aws: FakeAws, has_our_target: bool) -> None:
    event = expired(aws)
    aws.schedules["test"] = "rate(1 day)"
    if not has_our_target:
        aws.rules["test"].clear()
    for _ in range(3):
        aws.tick(event)
        aws.settle()
    assert aws.rules == {"test": {}}
    assert aws.removed_rules == []


def test_a_target_that_aws_does_not_remove_is_reported(aws: FakeAws) -> None:
    event = expired(aws)
    aws.objects.clear()
    aws.fail("RemoveTargets", ("ConcurrentModificationException", 400))
    with pytest.raises(NotEndedError, match="remove rule test: ConcurrentModificationException"):
        aws.tick(event)
    assert "test" in aws.rules


def test_a_target_that_aws_refuses_to_remove_inside_its_answer_is_reported(aws: FakeAws) -> None:
    event = expired(aws)
    aws.objects.clear()
    aws.keeps_targets = True
    with pytest.raises(NotEndedError, match="remove rule test: Busy: not now"):
        aws.tick(event)
    assert "test" in aws.rules


@pytest.mark.parametrize(
    "operation",
    [
        "DescribeInstances",
        "DescribeSpotFleetRequests",
        "DescribeFleets",
        "DescribeSpotInstanceRequests",
        "ListObjectsV2",
    ],
)
def test_a_tick_that_could_not_look_everywhere_leaves_the_rule(aws: FakeAws, operation: str) -> None:
    event = expired(aws)
    aws.objects.clear()
    aws.fail(operation)
    with pytest.raises(NotEndedError):
        aws.tick(event)
    assert "test" in aws.rules


def test_wildcards_in_a_name_mean_themselves_in_the_filters() -> None:
    tag, token = compute.machines_of_annex("a*b?c\\d")
    assert tag == [{"Name": "tag:htcondor:AnnexName", "Values": ["a\\*b\\?c\\\\d"]}]
    assert token == [{"Name": "client-token", "Values": ["a\\*b\\?c\\\\d_*"]}]


def test_a_lease_extended_while_the_tick_looked_keeps_its_rule(aws: FakeAws) -> None:
    event = expired(aws)
    aws.objects.clear()

    aws.during("ListObjectsV2", lambda: aws.put_lease("test", LATER, bucket=""))
    assert aws.tick(event)["rule_removed"] is False
    assert list(aws.rules["test"]) == ["test"]


def test_the_tarball_is_deleted_from_our_own_bucket_after_an_extension_that_names_none(aws: FakeAws) -> None:
    expired(aws)
    event = aws.put_lease("test", OVER + 1, bucket="")
    assert aws.tick(event)["tarballs_deleted"] == 1
    assert not aws.objects


def test_a_tarball_in_a_bucket_that_is_not_ours_is_reported_and_does_not_hold_the_annex(aws: FakeAws) -> None:
    event = aws.put_lease("test", OVER, bucket="somebody-elses")
    aws.start("test")
    assert aws.tick(event)["tarball_left_in_bucket"] == "somebody-elses"
    tick_until_gone(aws, event)
    assert aws.left_of("test") == []
