"""Orphans: what runs with our profile for an annex that has no rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from annex_contract.lease import SWEEP_EVENT
from annex_contract.stack import ANNEX_TAG, STACK_TAG
from lambda_lease.annexes import NotEndedError
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
