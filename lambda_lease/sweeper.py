"""Find orphans, whose annex has no rule, and what is beyond the stack's limits: machines and fleets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from annex_contract.lease import MACHINE_RUNNING
from lambda_lease import compute, limits
from lambda_lease.annexes import WORKERS, Failure, failures_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_events import EventBridgeClient

    from lambda_lease.clients import Clients
    from lambda_lease.settings import Settings

GRACE_SECONDS = 15 * 60
"""Seconds after its start in which nothing counts as an orphan: its rule may not be visible yet."""


@dataclass(frozen=True)
class Sweep:
    """What a sweep found, and what it ended.

    Attributes:
        machines: the orphans among the machines.
        fleets: the orphans among what starts machines.
        machines_ended: how many of all were terminated, without those that ended with their fleets.
        fleets_cancelled: how many of all were cancelled.
        failures: what could not be ended, and why.
        overdue: the machines that ran longer than the stack allows.
        overdue_fleets: what started machines for longer.
        beyond: the machines beyond each of the limits on all together, by the limit's name.
    """

    machines: tuple[compute.Machine, ...]
    fleets: tuple[compute.Fleet, ...]
    machines_ended: int
    fleets_cancelled: int
    failures: tuple[Failure, ...]
    overdue: tuple[compute.Machine, ...] = ()
    overdue_fleets: tuple[compute.Fleet, ...] = ()
    beyond: Mapping[str, Sequence[compute.Machine]] = field(default_factory=dict)

    @property
    def annex_ids(self) -> set[str | None]:
        """The annexes that the orphans belong to."""
        return {machine.annex_id for machine in self.machines} | {fleet.annex_id for fleet in self.fleets}

    @property
    def overdue_annexes(self) -> set[str | None]:
        """The annexes of what ran longer than the stack allows."""
        return {machine.annex_id for machine in self.overdue} | {fleet.annex_id for fleet in self.overdue_fleets}


def sweep(clients: Clients, settings: Settings, now: float) -> Sweep:
    """Look for orphans, and end them where the settings say so; end what is beyond the limits that they have.

    An orphan belongs to an annex, runs with an instance profile of the stack, is older than 15 minutes, and its
    annex has no rule. For limits all counts that runs with a profile, whatever its tags say. A lease that is as long as
    is allowed has 15 minutes to end its machines itself.

    Args:
        clients: the AWS clients.
        settings: the instance profiles, whether to end orphans, and what machines may have.
        now: seconds since the epoch.

    Returns:
        What was found and ended.

    Raises:
        ClientError: AWS refused a listing; then nothing was ended.
    """
    ec2, profiles, judged = clients.ec2, settings.profile_arns, now - GRACE_SECONDS
    ours = [
        machine
        for machine in compute.list_machines(ec2, compute.machines_with_profile(profiles), MACHINE_RUNNING, profiles)
        if machine.profile_arn in profiles
    ]
    our_fleets = [
        fleet
        for fleet in (
            *compute.list_running_fleets(ec2, profiles),
            *compute.list_running_ec2_fleets(ec2, settings.stack_id),
            *compute.list_persistent_requests(ec2, profiles),
        )
        if fleet.ours
    ]
    oldest = judged - settings.max_seconds
    overdue = tuple(machine for machine in ours if machine.started < oldest)
    overdue_fleets = tuple(fleet for fleet in our_fleets if fleet.started < oldest)
    machines = [machine for machine in ours if machine.annex_id and machine.started < judged]
    fleets = [fleet for fleet in our_fleets if fleet.annex_id and fleet.started < judged]
    if machines or fleets:
        # Listed after the machines, so that a rule that is restored in the meantime counts.
        rules = _rule_names(clients.events)
        machines = [machine for machine in machines if machine.annex_id not in rules]
        fleets = [fleet for fleet in fleets if fleet.annex_id not in rules]
    ending_machines = {machine.id for machine in (*overdue, *(machines if settings.end_orphans else ()))}
    ending_fleets = {fleet.id for fleet in (*overdue_fleets, *(fleets if settings.end_orphans else ()))}
    beyond, failures = limits.find_beyond(clients, settings, [each for each in ours if each.id not in ending_machines])
    for machine in (machine for listed in beyond.values() for machine in listed):
        ending_machines.add(machine.id)
        # It would start another one in its place.
        ending_fleets |= machine.makers & {fleet.id for fleet in our_fleets}
    if not (ending_machines or ending_fleets):
        return Sweep(tuple(machines), tuple(fleets), 0, 0, tuple(failures))
    with ThreadPoolExecutor(WORKERS) as pool:
        cancelled = compute.cancel_fleets(ec2, pool, ending_fleets)
        # EC2 ends the machines of a fleet with it, and IAM knows no profile of those that have ended.
        with_them = {id_ for id_ in cancelled.done if not id_.startswith("sir-")}
        left = {machine.id for machine in ours if machine.id in ending_machines and not machine.makers & with_them}
        ended = compute.terminate_machines(ec2, pool, left)
    failures = [*failures, *failures_of("cancel", cancelled), *failures_of("terminate", ended)]
    return Sweep(
        tuple(machines),
        tuple(fleets),
        len(ended.done),
        len(cancelled.done),
        tuple(failures),
        overdue,
        overdue_fleets,
        beyond,
    )


def _rule_names(events: EventBridgeClient) -> frozenset[str]:
    pages = events.get_paginator("list_rules").paginate()
    return frozenset(rule["Name"] for page in pages for rule in page["Rules"])
