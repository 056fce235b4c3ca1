"""The lease function's edge: one tick of one annex, or one sweep.

Before an annex's time is up a tick makes no AWS call and does not load the SDK, since it runs every five
minutes for each annex.
"""

from __future__ import annotations

import os
import time
from functools import cache
from typing import TYPE_CHECKING

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import Metrics, MetricUnit

from annex_contract.lease import SWEEP_EVENT, parse_lease
from lambda_lease.lease import Wait, decide
from lambda_lease.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lambda_lease.clients import Clients

logger = Logger()
metrics = Metrics()


class BeyondLimitsError(RuntimeError):
    """Machines were beyond the stack's limits, so the sweep ended them."""


def handler(event: object, context: object) -> dict[str, object]:
    """Serve one invocation.

    Args:
        event: a lease, as the target of an annex's rule holds it, or ``SWEEP_EVENT``.
        context: Lambda's context.

    Returns:
        What was decided and done: our fields of the log line.

    Raises:
        SettingsError: the environment is not what the template sets.
        UnreadableLeaseError: the event, or what the rule's target holds now, is not a lease.
        NotEndedError: something could not be ended; the next tick, or sweep, tries again.
        BeyondLimitsError: the sweep ended what was beyond the stack's limits.
        ClientError: the rule's target could not be read, so nothing was ended.
    """
    line: dict[str, object] = run(event, context, Settings.from_environ(os.environ), time.time(), _connect)
    return line


@logger.inject_lambda_context
@metrics.log_metrics
def run(
    event: object,
    context: object,  # noqa: ARG001 (the decorators read it)
    settings: Settings,
    now: float,
    connect: Callable[[], Clients],
) -> dict[str, object]:
    """Serve one invocation; all that comes from outside is passed in.

    Args:
        event: the event.
        context: Lambda's context; Powertools adds the request's ID to the log line from it.
        settings: the environment, read.
        now: seconds since the epoch.
        connect: returns the AWS clients; called only where AWS is needed.

    Returns:
        Our fields of the log line.
    """
    line: dict[str, object] = {}
    try:
        if event == SWEEP_EVENT:
            _sweep(settings, now, connect(), line)
        else:
            _tick(event, settings, now, connect, line)
    except Exception as error:
        _count("Failures", max(1, len(getattr(error, "failures", ()))))
        logger.error("failed", extra={**line, "error": str(error)})
        raise
    logger.info("done", extra=line)
    return line


def _tick(
    event: object, settings: Settings, now: float, connect: Callable[[], Clients], line: dict[str, object]
) -> None:
    _count("LeasesChecked", 1)
    lease = parse_lease(event)
    line.update(annex_id=lease.annex_id, decision="unknown")
    decision = decide(lease, None, now)
    if isinstance(decision, Wait):
        line.update(decision="wait", seconds_left=decision.seconds_left)
        return

    # Loads the SDK.
    from lambda_lease import annexes

    clients = connect()
    rule = annexes.read_rule(clients.events, lease.annex_id, settings.function_arn)
    decision = decide(lease, rule.lease if rule else None, now)
    if isinstance(decision, Wait):
        line.update(decision="wait", seconds_left=decision.seconds_left, extended=True)
        return

    _count("LeasesExpired", 1)
    ended = annexes.end_annex(clients, decision.lease, settings, now)
    _count("MachinesEnded", ended.machines)
    _count("FleetsCancelled", ended.fleets)
    line.update(
        decision="expire",
        seconds_left=-decision.seconds_over,
        fleets_cancelled=ended.fleets,
        machines_ended=ended.machines,
        machines_left=ended.left,
        tarballs_deleted=ended.tarballs,
        rule_removed=ended.rule_removed,
    )
    if decision.lease.bucket not in ("", settings.bucket):
        line.update(tarball_left_in_bucket=decision.lease.bucket)
    if ended.failures:
        raise annexes.NotEndedError(f"annex {lease.annex_id}", ended.failures) from ended.failures[0].error


def _sweep(settings: Settings, now: float, clients: Clients, line: dict[str, object]) -> None:
    from lambda_lease import images, sweeper
    from lambda_lease.annexes import NotEndedError

    line.update(decision="sweep")
    found = sweeper.sweep(clients, settings, now)
    _count("OrphanMachines", len(found.machines))
    _count("OrphanFleets", len(found.fleets))
    _count("OverdueMachines", len(found.overdue))
    _count("MachinesBeyondLimits", sum(map(len, found.beyond.values())))
    _count("MachinesEnded", found.machines_ended)
    _count("FleetsCancelled", found.fleets_cancelled)
    line.update(
        orphan_machines=[machine.id for machine in found.machines],
        orphan_fleets=[fleet.id for fleet in found.fleets],
        orphan_annexes=sorted(filter(None, found.annex_ids)),
        overdue_machines=[machine.id for machine in found.overdue],
        overdue_fleets=[fleet.id for fleet in found.overdue_fleets],
        beyond_limits={limit: [machine.id for machine in listed] for limit, listed in found.beyond.items()},
        machines_ended=found.machines_ended,
        fleets_cancelled=found.fleets_cancelled,
    )
    leftovers = images.delete_leftovers(clients, settings.stack_id, now)
    line.update(
        builders_ended=leftovers.builders, images_deleted=leftovers.images, snapshots_deleted=leftovers.snapshots
    )
    failures = (*found.failures, *leftovers.failures)
    if failures:
        raise NotEndedError("orphans", failures) from failures[0].error
    ended = [
        f"ended {len(listed)} machines beyond {limit}, {_of_annexes(machine.annex_id for machine in listed)}"
        for limit, listed in found.beyond.items()
    ]
    if found.overdue or found.overdue_fleets:
        ended.append(
            f"ended {len(found.overdue)} machines and {len(found.overdue_fleets)} fleets that ran longer than "
            f"{settings.max_seconds / 3600:.0f} hours (MaxLeaseHours), {_of_annexes(found.overdue_annexes)}"
        )
    if ended:
        # An error is what the alarm mails about.
        raise BeyondLimitsError("; ".join(ended))


def _of_annexes(annex_ids: Iterable[str | None]) -> str:
    return f"of the annexes {', '.join(sorted(set(filter(None, annex_ids)))) or '(none)'}"


def _count(name: str, value: int) -> None:
    metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)


@cache
def _connect() -> Clients:
    from lambda_lease.clients import Clients

    return Clients()
