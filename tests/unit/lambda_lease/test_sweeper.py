"""Orphans: what runs with our profile for an annex that has no rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from annex_contract.lease import SWEEP_EVENT
from annex_contract.limits import Limits
from annex_contract.stack import ANNEX_TAG, STACK_TAG
from lambda_lease.annexes import NotEndedError
from lambda_lease.compute import Machine
from lambda_lease.handler import BeyondLimitsError
from lambda_lease.limits import beyond
from lambda_lease.settings import Settings
from tests.unit.lambda_lease.conftest import Told
from tests.unit.lambda_lease.fake_aws import PROFILE, SETTINGS, STACK_ID, UUID, FakeAws

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
    with pytest.raises(BeyondLimitsError) as failed:
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
    with pytest.raises(BeyondLimitsError, match="ended 1 machines"):
        aws.tick(SWEEP_EVENT, LIMITED)
    assert aws.running() == {spared}


def test_what_cannot_be_ended_is_the_error_and_not_that_it_was(aws: FakeAws) -> None:
    aws.start("long")
    aws.now += 2 * HOUR + AGE + 1
    aws.fail("TerminateInstances", ("UnauthorizedOperation", 403))
    with pytest.raises(NotEndedError, match="UnauthorizedOperation"):
        aws.tick(SWEEP_EVENT, LIMITED)


def limited(**values: str) -> Settings:
    """Return settings with limits on all machines together, as the parameters have them."""
    return replace(SETTINGS, limits=Limits.read(values))


def test_a_machine_without_an_annex_runs_no_longer_than_allowed_either(aws: FakeAws) -> None:
    aws.start(), aws.start(tag="")
    sir = aws.keep("sir", aws.start())
    fleet = aws.request_fleet(tags=("one", "two"))
    aws.start(profile=FOREIGN)
    aws.now += 2 * HOUR + AGE + 1
    with pytest.raises(BeyondLimitsError, match=r"ended 3 machines and 2 fleets .*, of the annexes \(none\)"):
        aws.tick(SWEEP_EVENT, LIMITED)
    assert aws.running() == {"i-00000000000000003"}
    assert (aws.replacers[sir].state, aws.fleets[fleet].state) == ("cancelled", "cancelled_terminating")


def test_cores_beyond_the_cap_end_the_newest_annex_first_whatever_its_lease_says(aws: FakeAws, told: Told) -> None:
    settings = limited(MaxCores="8")
    for annex_id in ("old", "new", "newest"):
        aws.put_lease(annex_id, 2_000_000_000)
        aws.start(annex_id)
        aws.start(annex_id)
        aws.now += 60
    spared = {*list(aws.machines)[:4], aws.start("foreign", profile=FOREIGN, kind="c7i.4xlarge")}
    with pytest.raises(BeyondLimitsError) as failed:
        aws.tick(SWEEP_EVENT, settings)
    assert str(failed.value) == "ended 2 machines beyond MaxCores, of the annexes newest"
    assert aws.running() == spared
    line, metrics = told()
    assert line["beyond_limits"] == {"MaxCores": ["i-00000000000000005", "i-00000000000000004"]}
    assert (metrics["MachinesBeyondLimits"], metrics["MachinesEnded"]) == ([2], [2])
    assert aws.tick(SWEEP_EVENT, settings)["beyond_limits"] == {}
    assert aws.running() == spared


@pytest.mark.parametrize("tag", ["old", "", None])
def test_no_tag_or_name_protects_the_newest_machine(aws: FakeAws, tag: str | None) -> None:
    spared = {aws.start("old"), aws.start("other")}
    aws.now += 1
    aws.start(tag=tag)
    with pytest.raises(BeyondLimitsError, match="ended 1 machines beyond MaxCores"):
        aws.tick(SWEEP_EVENT, limited(MaxCores="4"))
    assert aws.running() == spared


@pytest.mark.parametrize(("limit", "value"), [("MaxCores", "100"), ("MaxDollarsPerHour", "100")])
def test_a_machine_of_which_nobody_knows_the_size_or_the_price_ends_and_no_other(
    aws: FakeAws, limit: str, value: str
) -> None:
    aws.start("odd", kind="x99.large")
    aws.now += 1
    spared = aws.start("usual")
    with pytest.raises(BeyondLimitsError, match=f"ended 1 machines beyond {limit}, of the annexes odd"):
        aws.tick(SWEEP_EVENT, limited(**{limit: value}))
    assert aws.running() == {spared}


def test_dollars_beyond_the_cap_end_the_newest_machines_and_those_within_it_stay(aws: FakeAws) -> None:
    settings = limited(MaxDollarsPerHour="0.30")
    spared = {aws.start("first", kind="c7i.xlarge")}
    aws.now += 1
    spared.add(aws.start("second"))
    assert aws.tick(SWEEP_EVENT, settings)["beyond_limits"] == {}
    aws.now += 1
    aws.start("third")
    with pytest.raises(BeyondLimitsError, match="ended 1 machines beyond MaxDollarsPerHour, of the annexes third"):
        aws.tick(SWEEP_EVENT, settings)
    assert aws.running() == spared


def test_machines_of_other_types_than_allowed_end_and_do_not_count_for_other_limits(aws: FakeAws) -> None:
    spared = {aws.start("plain"), aws.start("plain", kind="c7i.xlarge")}
    aws.now -= 1
    aws.start("large", kind="c7i.4xlarge")
    with pytest.raises(BeyondLimitsError) as failed:
        aws.tick(SWEEP_EVENT, limited(InstanceTypes="m?i.*,c7i.xlarge", MaxCores="6"))
    assert str(failed.value) == "ended 1 machines beyond InstanceTypes, of the annexes large"
    assert aws.running() == spared


@pytest.mark.parametrize("kind", ["fleet", "sir"])
def test_what_would_replace_a_machine_beyond_a_limit_ends_with_it_whatever_its_tags_say(
    aws: FakeAws, kind: str
) -> None:
    spared = aws.start("old")
    aws.now += 1
    aws.keep(kind, aws.start("new"), **{ANNEX_TAG: "another", STACK_TAG: STACK_ID})
    settings = limited(MaxCores="2")
    with pytest.raises(BeyondLimitsError):
        aws.tick(SWEEP_EVENT, settings)
    aws.settle()
    aws.settle()
    assert aws.running() == {spared}


def test_a_spot_fleet_whose_machine_is_beyond_a_limit_is_cancelled_and_another_one_lives(aws: FakeAws) -> None:
    other, fleet = aws.request_fleet("old"), aws.request_fleet("new")
    spared = aws.start("old", fleet=other)
    aws.now += 1
    aws.start("new", fleet=fleet)
    with pytest.raises(BeyondLimitsError):
        aws.tick(SWEEP_EVENT, limited(MaxCores="2"))
    assert (aws.fleets[other].state, aws.fleets[fleet].state) == ("active", "cancelled_terminating")
    assert aws.running() == {spared}


@pytest.mark.parametrize(
    ("operation", "values", "limit"),
    [
        ("GetProducts", {"MaxDollarsPerHour": "0.01"}, "MaxDollarsPerHour"),
        ("DescribeInstanceTypes", {"MaxCores": "1"}, "MaxCores"),
    ],
)
def test_while_sizes_or_prices_cannot_be_read_nothing_ends_by_them_and_the_alarm_says_why(
    aws: FakeAws, operation: str, values: dict[str, str], limit: str
) -> None:
    spared = aws.start("annex")
    aws.start("large", kind="c7i.4xlarge")
    aws.fail(operation, ("AccessDeniedException", 400))
    with pytest.raises(NotEndedError, match=f"hold {limit}: AccessDeniedException"):
        aws.tick(SWEEP_EVENT, limited(InstanceTypes="m7i.*", **values))
    # The limits that can be judged hold all the same.
    assert aws.running() == {spared}


def test_where_a_partition_has_no_price_list_the_alarm_says_so(aws: FakeAws) -> None:
    machine = aws.start("annex")
    settings = replace(limited(MaxDollarsPerHour="1"), stack_id=STACK_ID.replace("arn:aws:", "arn:aws-us-gov:"))
    with pytest.raises(NotEndedError, match=r"hold MaxDollarsPerHour: .*no price list in the partition aws-us-gov"):
        aws.tick(SWEEP_EVENT, settings)
    assert aws.running() == {machine}


def test_where_no_limit_is_set_sizes_and_prices_are_not_asked_for(aws: FakeAws) -> None:
    aws.start("annex", kind="x99.large")
    assert aws.tick(SWEEP_EVENT)["beyond_limits"] == {}
    assert aws.calls["DescribeInstanceTypes"] == aws.calls["GetProducts"] == 0


MACHINES = st.lists(st.tuples(st.sampled_from(["a", "b", "c", "unknown"]), st.integers(0, 5)), max_size=12)


@given(machines=MACHINES, most=st.integers(0, 40))
def test_what_is_left_is_within_the_limit_and_older_than_all_that_ends_and_nothing_ends_without_need(
    machines: list[tuple[str, int]], most: int
) -> None:
    costs = {"a": 1, "b": 4, "c": 16}
    everything = [
        Machine(str(number), None, "running", started, PROFILE, kind, frozenset())
        for number, (kind, started) in enumerate(machines)
    ]
    ending = beyond(everything, costs, most)
    left = [machine for machine in everything if machine not in ending]
    assert all(machine in ending for machine in everything if machine.type == "unknown")
    known = [machine for machine in ending if machine.type != "unknown"]
    assert sum(costs[machine.type] for machine in left) <= most
    assert all(kept.started <= gone.started for kept in left for gone in known)
    if known:
        # The last one to end was one too many.
        assert sum(costs[machine.type] for machine in (*left, known[-1])) > most
