"""Orphans: what runs with our profile for an annex that has no rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from annex_contract.lease import SWEEP_EVENT
from annex_contract.stack import ANNEX_TAG, STACK_TAG
from lambda_lease.annexes import NotEndedError
from lambda_lease.handler import OverdueError
from tests.unit.lambda_lease.conftest import Told
from tests.unit.lambda_lease.fake_aws import SETTINGS, STACK_ID, UUID, FakeAws

ENDING = replace(SETTINGS, end_orphans=True)
FOREIGN = "arn:aws:iam::123456789012:instance-profile/somebody-elses"
AGE = 15 * 60


@pytest.mark.parametrize("filters_work", [True, False])
def test_only_old_machines_with_our_profile_whose_annex_has_no_rule_are_orphans(
    aws: FakeAws, filters_work: bool
) -> None:
    aws.filters_work = filters_work
    aws.put_lease("live", 0)
    orphans = [aws.start("gone"), aws.start(token=f"gone-too_{UUID}"), aws.start("gone", state="stopped")]
    fleet = aws.request_fleet("gone")
    aws.start("live")
    aws.start("gone", profile=FOREIGN)
    aws.start("gone", profile="")
    aws.start("gone", state="shutting-down")
    aws.start(token=UUID)
    aws.start()
    aws.request_fleet("live")
    aws.request_fleet("gone", profile=FOREIGN)
    aws.request_fleet("gone", last_profile=FOREIGN)
    aws.request_fleet("gone", state="cancelled")
    aws.request_fleet()
    aws.now += AGE + 1
    aws.start("gone")
    aws.request_fleet("gone")

    line = aws.tick(SWEEP_EVENT)

    assert line["orphan_machines"] == orphans
    assert line["orphan_fleets"] == [fleet]
    assert line["orphan_annexes"] == ["gone", "gone-too"]


def test_what_is_15_minutes_old_is_not_judged_yet(aws: FakeAws) -> None:
    aws.start("gone")
    aws.request_fleet("gone")
    aws.now += AGE
    line = aws.tick(SWEEP_EVENT, ENDING)
    assert line["orphan_machines"] == line["orphan_fleets"] == []
    assert aws.calls["ListRules"] == 0, "without a suspect nobody asks for rules"


def test_orphans_are_only_reported_by_default(aws: FakeAws, told: Told) -> None:
    machines = {aws.start("gone"), aws.start("gone")}
    aws.request_fleet("gone")
    aws.now += AGE + 1
    aws.tick(SWEEP_EVENT)
    assert aws.running() == machines
    assert aws.calls["TerminateInstances"] == aws.calls["CancelSpotFleetRequests"] == 0
    _, metrics = told()
    assert (metrics["OrphanMachines"], metrics["OrphanFleets"]) == ([2], [1])
    assert (metrics["MachinesEnded"], metrics["FleetsCancelled"]) == ([0], [0])


def test_orphans_are_ended_where_the_settings_say_so(aws: FakeAws, told: Told) -> None:
    aws.put_lease("live", 0)
    spared = aws.start("live")
    for _ in range(3):
        aws.start("gone")
    fleet = aws.request_fleet("gone")
    aws.now += AGE + 1
    line = aws.tick(SWEEP_EVENT, ENDING)
    assert (line["machines_ended"], line["fleets_cancelled"]) == (3, 1)
    _, metrics = told()
    assert (metrics["MachinesEnded"], metrics["FleetsCancelled"]) == ([3], [1])
    assert aws.running() == {spared}
    assert aws.fleets[fleet].state == "cancelled_terminating"


@pytest.mark.parametrize("kind", ["fleet", "sir"])
def test_what_replaces_orphans_ends_with_them(aws: FakeAws, kind: str) -> None:
    id_ = aws.keep(kind, aws.start("gone"), **{ANNEX_TAG: "gone", STACK_TAG: STACK_ID})
    aws.now += AGE + 1
    line = aws.tick(SWEEP_EVENT, ENDING)
    assert line["orphan_fleets"] == [id_]
    aws.settle()
    aws.settle()
    assert aws.running() == set()


def test_a_rule_put_back_during_the_sweep_saves_its_annex(aws: FakeAws) -> None:
    spared = aws.start("gone")
    aws.now += AGE + 1
    aws.during("ListRules", lambda: aws.put_lease("gone", 2_000_000))
    assert aws.tick(SWEEP_EVENT, ENDING)["orphan_machines"] == []
    assert aws.running() == {spared}


def test_rules_on_any_page_count(aws: FakeAws) -> None:
    aws.page_size = 1
    for annex_id in ("a", "b", "c"):
        aws.put_lease(annex_id, 0)
        aws.start(annex_id)
    aws.now += AGE + 1
    assert aws.tick(SWEEP_EVENT, ENDING)["orphan_machines"] == []


def test_while_the_rules_cannot_be_read_nothing_is_ended(aws: FakeAws) -> None:
    spared = aws.start("gone")
    aws.now += AGE + 1
    aws.fail("ListRules", ("AccessDeniedException", 400))
    with pytest.raises(ClientError):
        aws.tick(SWEEP_EVENT, ENDING)
    assert aws.running() == {spared}


def test_a_protected_orphan_is_ended(aws: FakeAws) -> None:
    aws.start("gone", protected=True)
    aws.now += AGE + 1
    assert aws.tick(SWEEP_EVENT, ENDING)["machines_ended"] == 1
    assert aws.running() == set()


def test_an_orphan_that_cannot_be_ended_is_reported(aws: FakeAws) -> None:
    machine = aws.start("gone", protected=True)
    aws.start("gone")
    aws.now += AGE + 1
    aws.fail("ModifyInstanceAttribute", ("UnauthorizedOperation", 403))
    with pytest.raises(NotEndedError, match=f"orphans: .*terminate {machine}: UnauthorizedOperation"):
        aws.tick(SWEEP_EVENT, ENDING)
    assert aws.running() == {machine}


def test_a_fleet_whose_annex_has_a_rule_is_spared_also_where_no_machine_is_suspect(aws: FakeAws) -> None:
    aws.put_lease("live", 0)
    aws.request_fleet("live")
    aws.now += AGE + 1
    line = aws.tick(SWEEP_EVENT, ENDING)
    assert line["orphan_fleets"] == []
    assert aws.calls["CancelSpotFleetRequests"] == 0


def test_an_orphaned_fleet_that_cannot_be_cancelled_is_reported(aws: FakeAws) -> None:
    fleet = aws.request_fleet("gone")
    aws.now += AGE + 1
    aws.fail("CancelSpotFleetRequests", ("UnauthorizedOperation", 403))
    with pytest.raises(NotEndedError, match=f"orphans: .*cancel {fleet}.*UnauthorizedOperation"):
        aws.tick(SWEEP_EVENT, ENDING)


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("DeregisterImage", "InvalidAMIID.Unavailable"),
        ("DeregisterImage", "InvalidAMIID.NotFound"),
        ("DeleteSnapshot", "InvalidSnapshot.InUse"),
        ("DeleteSnapshot", "InvalidSnapshot.NotFound"),
    ],
)
def test_what_aws_still_lists_of_an_image_is_left_to_the_next_check_without_an_alarm(
    aws: FakeAws, operation: str, code: str
) -> None:
    aws.images, aws.snapshots = ["ami-1", "ami-2"], ["snap-1", "snap-2"]
    first = {"ami-1", "snap-1"}
    aws.fail(operation, (code, 400), when=lambda given: bool(first & set(given.values())))
    line = aws.tick(SWEEP_EVENT)
    assert "ami-2" in line["images_deleted"]  # type: ignore[operator]  # a list
    assert "snap-2" in line["snapshots_deleted"]  # type: ignore[operator]  # a list
    assert [*aws.images, *aws.snapshots] == ["ami-1" if operation == "DeregisterImage" else "snap-1"]


def test_an_image_that_may_not_be_deleted_raises_the_alarm(aws: FakeAws) -> None:
    aws.images = ["ami-1"]
    aws.fail("DeregisterImage", ("UnauthorizedOperation", 403))
    with pytest.raises(NotEndedError, match=r"orphans: .*delete ami-1: UnauthorizedOperation"):
        aws.tick(SWEEP_EVENT)


HOUR = 3600
LIMITED = replace(SETTINGS, max_seconds=2 * HOUR)


def test_what_runs_longer_than_allowed_ends_whatever_its_lease_says_and_the_alarm_says_so(
    aws: FakeAws, told: Told
) -> None:
    for annex_id in ("long", "short"):
        aws.put_lease(annex_id, 2_000_000_000)
    aws.start("long")
    aws.start("long", profile=FOREIGN)
    aws.start("long", state="stopped", protected=True)
    fleet = aws.request_fleet("long")
    other = aws.request_fleet("long", profile=FOREIGN)
    aws.now += 2 * HOUR + AGE
    # A lease that is as long as is allowed has just ended its machines itself, or tries again.
    assert aws.tick(SWEEP_EVENT, LIMITED)["overdue_machines"] == []
    told()
    spared = {aws.start("short"), "i-00000000000000001"}
    aws.now += 1
    with pytest.raises(OverdueError) as failed:
        aws.tick(SWEEP_EVENT, LIMITED)
    assert str(failed.value) == (
        "ended 2 machines and 1 fleets that ran longer than 2 hours (MaxLeaseHours), of the annexes long"
    )
    assert aws.running() == spared
    assert (aws.fleets[fleet].state, aws.fleets[other].state) == ("cancelled_terminating", "active")
    _, line, metrics = told()
    assert (line["overdue_machines"], line["overdue_fleets"]) == (
        ["i-00000000000000000", "i-00000000000000002"],
        [fleet],
    )
    assert (metrics["OverdueMachines"], metrics["MachinesEnded"], metrics["OrphanMachines"]) == ([2], [2], [0])
    # The next one finds nothing.
    aws.settle()
    assert aws.tick(SWEEP_EVENT, LIMITED)["overdue_machines"] == []


def test_without_a_limit_only_the_lease_ends_machines(aws: FakeAws) -> None:
    aws.put_lease("long", 2_000_000_000)
    spared = aws.start("long")
    aws.now += 5000 * HOUR
    assert aws.tick(SWEEP_EVENT)["overdue_machines"] == []
    assert aws.running() == {spared}


def test_an_orphan_that_runs_too_long_ends_though_orphans_are_only_reported(aws: FakeAws) -> None:
    aws.start("gone")
    aws.now += 2 * HOUR + AGE + 1
    spared = aws.start("gone")
    aws.now += AGE + 1
    with pytest.raises(OverdueError, match="ended 1 machines"):
        aws.tick(SWEEP_EVENT, LIMITED)
    assert aws.running() == {spared}


def test_what_cannot_be_ended_is_the_error_and_not_that_it_was(aws: FakeAws) -> None:
    aws.start("long")
    aws.now += 2 * HOUR + AGE + 1
    aws.fail("TerminateInstances", ("UnauthorizedOperation", 403))
    with pytest.raises(NotEndedError, match="UnauthorizedOperation"):
        aws.tick(SWEEP_EVENT, LIMITED)
