"""``leases``: list the annexes that hold a lease, extend one, end one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from annex_bootstrap.annexes.leases import NOTHING, Lease, Leases, Machines, clock, left, parse_duration
from annex_bootstrap.errors import UserError
from annex_bootstrap.fleet import prices
from annex_bootstrap.pool.htcondor import version
from annex_bootstrap.pool.pool_config import FIRST_HTCONDOR_ANNEX
from annex_bootstrap.screen import Column, Screen

COLUMNS = [
    Column("ANNEX"),
    Column("KIND"),
    Column("MACHINES", number=True),
    Column("TIME LEFT", number=True),
    Column("$/HOUR", number=True),
    Column("STARTED BY"),
]


@dataclass(frozen=True)
class LeasesOptions:
    """The options that all commands of ``leases`` have.

    Attributes:
        stack_name: the stack's name.
        region: where; None for the one that the environment or the profile names.
        profile: the AWS profile, or None for the environment's.
    """

    stack_name: str
    region: str | None = None
    profile: str | None = None


def list_leases(options: LeasesOptions, screen: Screen) -> None:
    """List the annexes that hold a lease: kind, machines, time left, cost.

    Raises:
        UserError: there is no stack, or AWS refused. Missing prices are only reported.
    """
    leases = Leases.of_deployed(options.stack_name, options.region, options.profile)
    held = leases.list()
    running = leases.machines() if held else {}
    annexes = [(lease, running.get(lease.annex_id, NOTHING)) for lease in held]
    types = {name for _, machines in annexes for name in machines.types}
    known: dict[str, Decimal] = {}
    unpriced = ""
    try:
        known = prices.on_demand(leases.account, types)
    except UserError as error:
        unpriced = str(error)
    now = int(time.time())
    screen.document(
        {
            "region": leases.account.region,
            "leases": [_document(lease, machines, known, now) for lease, machines in annexes],
        }
    )
    if not annexes:
        screen.say(f"No annex holds a lease in {leases.account.region}.")
        return
    screen.table(COLUMNS, [_row(lease, machines, known, now) for lease, machines in annexes])
    costs = [machines.cost(known) for _, machines in annexes]
    if len(annexes) > 1:
        total = sum(cost for cost in costs if cost is not None)
        screen.say(f"All together: {total:.4f} $/hour{'' if None not in costs else ', and what is unknown'}")
    if unpriced:
        screen.fail(f"no prices: {unpriced}")


def extend_lease(name: str, duration: str, options: LeasesOptions, screen: Screen) -> None:
    """Let an annex run for some time from now.

    Args:
        name: of the annex.
        duration: such as ``2h``.
        options: where.
        screen: where to print.

    Raises:
        UserError: the duration cannot be read, the annex holds no lease or a longer one, or AWS refused.
    """
    until = int(time.time()) + parse_duration(duration)
    leases = Leases.of_deployed(options.stack_name, options.region, options.profile)
    lease = leases.find(name)
    if lease.expiration is not None and lease.expiration > until:
        raise UserError(
            f"{name} already runs until {clock(lease.expiration)}, which is later: "
            "to end it sooner use annex-bootstrap leases end"
        )
    leases.extend(lease, until)
    screen.say(f"{lease.annex_id} now runs until {clock(until)}.")
    screen.document({"annex": lease.annex_id, "lease_expiration": until})


def end_lease(name: str, options: LeasesOptions, screen: Screen, *, yes: bool) -> None:
    """End an annex now.

    Args:
        name: of the annex.
        options: where.
        screen: where to print, and whom to ask.
        yes: whether to go ahead without asking.

    Raises:
        UserError: the annex holds no lease, or AWS refused.
    """
    leases = Leases.of_deployed(options.stack_name, options.region, options.profile)
    lease = leases.find(name)
    count = leases.machines().get(lease.annex_id, NOTHING).count
    screen.say(f"Ends the annex {lease.annex_id} with its {_machines(count)}, and the jobs that run there.")
    if not (yes or screen.confirm("Go ahead?", default=False)):
        screen.say("Nothing was changed.")
        screen.document({"annex": lease.annex_id, "ended": False})
        return
    leases.end(lease, int(time.time()))
    screen.say("Its lease has ended. The lease function ends the machines now, and checks again every five minutes.")
    if (version() or (0, 0, 0)) >= FIRST_HTCONDOR_ANNEX:
        screen.say(
            "HTCondor's own record of it stays in the queue until you remove it: "
            f"condor_rm -constraint 'hpc_annex_name == \"{name}\"'"
        )
    screen.document({"annex": lease.annex_id, "ended": True})


def end_all_leases(options: LeasesOptions, screen: Screen, *, yes: bool) -> None:
    """End every annex of the stack now, after one question.

    Args:
        options: where.
        screen: where to print, and whom to ask.
        yes: whether to go ahead without asking.

    Raises:
        UserError: AWS refused; the annexes before that one have ended.
    """
    leases = Leases.of_deployed(options.stack_name, options.region, options.profile)
    held = leases.list()
    if not held:
        screen.say(f"No annex holds a lease in {leases.account.region}.")
        screen.document({"ended": []})
        return
    running = leases.machines()
    screen.say("Ends these annexes with their machines, and the jobs that run there:")
    for lease in held:
        screen.say(f"  {lease.annex_id}: {_machines(running.get(lease.annex_id, NOTHING).count)}")
    if not (yes or screen.confirm(f"End all {len(held)}?", default=False)):
        screen.say("Nothing was changed.")
        screen.document({"ended": []})
        return
    for lease in held:
        leases.end(lease, int(time.time()))
    screen.say(
        "Their leases have ended. The lease function ends the machines now, and checks again every five minutes."
    )
    screen.document({"ended": [lease.annex_id for lease in held]})


def _machines(count: int) -> str:
    return "1 machine" if count == 1 else f"{count} machines"


def _document(lease: Lease, machines: Machines, known: Mapping[str, Decimal], now: int) -> dict[str, Any]:
    cost = machines.cost(known)
    return {
        "annex": lease.annex_id,
        "kind": machines.kind,
        "machines": machines.count,
        "lease_expiration": lease.expiration,
        "seconds_left": None if lease.expiration is None else lease.expiration - now,
        "dollars_an_hour": None if cost is None else f"{cost:.4f}",
        "started_by": sorted(machines.starters),
    }


def _row(lease: Lease, machines: Machines, known: Mapping[str, Decimal], now: int) -> list[str]:
    cost = machines.cost(known)
    return [
        lease.annex_id,
        machines.kind,
        str(machines.count),
        "unknown" if lease.expiration is None else left(lease.expiration - now),
        "unknown" if cost is None else f"{cost:.4f}",
        ", ".join(sorted(machines.starters)) or "-",
    ]
