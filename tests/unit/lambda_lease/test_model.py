"""Annexes come, are extended and expire, while calls fail and events repeat and come late."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from annex_contract.lease import parse_lease
from lambda_lease.annexes import NotEndedError
from tests.unit.lambda_lease.fake_aws import UUID, FakeAws

if TYPE_CHECKING:
    from collections.abc import Callable

ANNEX_IDS = st.sampled_from(["test", "test2", "test_b", "tes", "a.b-c", "n" * 26, "n" * 27])
OPERATIONS = st.sampled_from(
    [
        "DescribeInstances",
        "TerminateInstances",
        "DescribeSpotFleetRequests",
        "CancelSpotFleetRequests",
        "ListTargetsByRule",
        "RemoveTargets",
        "DeleteRule",
        "ListObjectsV2",
        "DeleteObject",
    ]
)
ERRORS = st.sampled_from([("AccessDenied", 403), ("InternalError", 500), ("RequestLimitExceeded", 503)])
SECONDS = st.integers(1, 4_000)
FEW = 50
"""Histories for who waits for the result; ``make slow`` has many."""


def _now_tagged(aws: FakeAws, annex_id: str, visible: bool) -> str:
    return aws.start(annex_id, visible=visible)


def _tag_only(aws: FakeAws, annex_id: str, visible: bool) -> str:
    return aws.start(tag=annex_id, token=UUID, visible=visible)


def _token_only(aws: FakeAws, annex_id: str, visible: bool) -> str:
    return aws.start(token=f"{annex_id}_{UUID}", visible=visible)


STARTS = st.sampled_from([_now_tagged, _tag_only, _token_only])


class Leases(RuleBasedStateMachine):
    """What may happen to annexes, and what must hold all the while."""

    @initialize(page_size=st.sampled_from([2, 1_000]), filters_work=st.booleans())
    def open_account(self, page_size: int, filters_work: bool) -> None:
        self.aws = FakeAws(page_size=page_size, filters_work=filters_work)
        self.ends: dict[str, int] = {}
        self.sent: list[dict[str, object]] = []
        self.owners: dict[str, str] = {}
        self.fleet_owners: dict[str, str] = {}

    def put_lease(self, annex_id: str, seconds: int, bucket: str) -> None:
        self.ends[annex_id] = int(self.aws.now) + seconds
        self.sent.append(self.aws.put_lease(annex_id, self.ends[annex_id], bucket))

    @rule(annex_id=ANNEX_IDS, seconds=SECONDS, start=STARTS, count=st.integers(0, 3), visible=st.booleans())
    def start_machines(
        self,
        annex_id: str,
        seconds: int,
        start: Callable[[FakeAws, str, bool], str],
        count: int,
        visible: bool,
    ) -> None:
        self.aws.objects.add(f"config-{annex_id}.tar.gz")
        self.put_lease(annex_id, seconds, "annex-bucket")
        for _ in range(count):
            self.owners[start(self.aws, annex_id, visible)] = annex_id

    @rule(annex_id=ANNEX_IDS, seconds=SECONDS, tagged=st.booleans())
    def start_fleet(self, annex_id: str, seconds: int, tagged: bool) -> None:
        self.aws.objects.add(f"config-{annex_id}.tar.gz")
        self.put_lease(annex_id, seconds, "annex-bucket")
        token = f"{annex_id}_{UUID}"
        fleet = self.aws.request_fleet(tags=(annex_id if tagged else None,), token=token)
        self.fleet_owners[fleet] = annex_id

    @precondition(lambda self: any(fleet.state == "active" for fleet in self.aws.fleets.values()))
    @rule(data=st.data(), visible=st.booleans())
    def start_machine_of_a_fleet_late(self, data: st.DataObject, visible: bool) -> None:
        active = [fleet.id for fleet in self.aws.fleets.values() if fleet.state == "active"]
        fleet = data.draw(st.sampled_from(active))
        if fleet in self.fleet_owners:
            annex_id = self.fleet_owners[fleet]
            machine = self.aws.start(tag=annex_id, token=UUID, fleet=fleet, visible=visible)
            self.owners[machine] = annex_id

    @precondition(lambda self: self.aws.rules)
    @rule(data=st.data(), seconds=SECONDS)
    def extend(self, data: st.DataObject, seconds: int) -> None:
        self.put_lease(data.draw(st.sampled_from(sorted(self.aws.rules))), seconds, "")

    @rule(annex_id=ANNEX_IDS)
    def others_start_something_of_a_similar_name(self, annex_id: str) -> None:
        self.aws.start(token=annex_id.replace("_", "-"))
        self.aws.start(tag=f"{annex_id}x", token=f"{annex_id}_{UUID}")
        self.aws.start(token=f"x_{annex_id}_{UUID}")
        self.aws.request_fleet(tags=(annex_id, f"{annex_id}x"), token=f"{annex_id}_{UUID}")

    @rule(operation=OPERATIONS, error=ERRORS, times=st.integers(1, 5))
    def let_calls_fail(self, operation: str, error: tuple[str, int], times: int) -> None:
        self.aws.fail(operation, error, times=times)

    @precondition(lambda self: self.owners)
    @rule(data=st.data())
    def protect_a_machine(self, data: st.DataObject) -> None:
        machine = self.aws.machines[data.draw(st.sampled_from(sorted(self.owners)))]
        # EC2 does not protect spot machines.
        machine.protected = machine.fleet is None

    @rule(seconds=SECONDS)
    def let_time_pass(self, seconds: int) -> None:
        self.aws.now += seconds
        self.aws.settle()

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def deliver_any_event_ever_sent(self, data: st.DataObject) -> None:
        self.deliver(data.draw(st.sampled_from(self.sent)))

    @rule()
    def tick_every_annex(self) -> None:
        for annex_id in sorted(self.aws.rules):
            # EventBridge sends the input that the target has now, which is the last one put.
            self.deliver(next(event for event in reversed(self.sent) if event["AnnexID"] == annex_id))

    def deliver(self, event: dict[str, object]) -> None:
        ended, rules = len(self.aws.ended), len(self.aws.removed_rules)
        active = [fleet for fleet in self.aws.fleets.values() if fleet.state == "active"]
        with suppress(NotEndedError, ClientError):
            self.aws.tick(event)
        for machine in self.aws.ended[ended:]:
            owner = self.owners.get(machine)
            assert owner is not None, "a machine of other people was ended"
            assert self.aws.now > self.ends[owner], "a machine of a live annex was ended"
            assert owner == parse_lease(event).annex_id
        for fleet in active:
            if fleet.state != "active":
                owner = self.fleet_owners.get(fleet.id)
                assert owner is not None, "a fleet of other people was cancelled"
                assert self.aws.now > self.ends[owner], "a fleet of a live annex was cancelled"
        for annex_id in self.aws.removed_rules[rules:]:
            assert self.aws.now > self.ends[annex_id], "a live annex lost its rule"
            assert not self.machines_left(annex_id), "a rule went while a machine was left"
        # A machine that has just started stays unseen for one tick at most.
        for fake in self.aws.machines.values():
            fake.visible = True

    def machines_left(self, annex_id: str) -> list[str]:
        machines = self.aws.machines
        return [
            machine
            for machine, owner in self.owners.items()
            if owner == annex_id and machines[machine].state != "terminated"
        ]

    def teardown(self) -> None:
        """Let the faults stop and all leases end: a few ticks later nothing may be left."""
        if not hasattr(self, "aws"):
            return
        self.aws.faults.clear()
        for machine in self.aws.machines.values():
            machine.protected = False
        self.aws.now = max([self.aws.now, *self.ends.values()]) + 1
        others = self.aws.running() - self.owners.keys()
        last = {parse_lease(event).annex_id: event for event in self.sent}
        for _ in range(3):
            for event in last.values():
                self.deliver(event)
            self.aws.settle()
        for annex_id in last:
            assert self.aws.left_of(annex_id) == []
            assert self.machines_left(annex_id) == []
        assert self.aws.running() == others
        for fleet in self.aws.fleets.values():
            assert (fleet.state == "cancelled") == (fleet.id in self.fleet_owners)


class MoreLeases(Leases):
    """The same, as often as the profile says."""


TestSomeLeases = Leases.TestCase
TestSomeLeases.settings = settings(stateful_step_count=20, max_examples=FEW)

TestManyLeases = pytest.mark.slow(MoreLeases.TestCase)
TestManyLeases.settings = settings(stateful_step_count=20)
