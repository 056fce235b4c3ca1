"""``watch``: what the annexes are doing, again and again, until Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from annex_bootstrap.annexes.leases import NOTHING, Lease, Leases, Machines
from annex_bootstrap.console.tables import Column
from annex_bootstrap.errors import UserError
from annex_bootstrap.machines import prices
from annex_bootstrap.pool.htcondor import IN_FORCE, run
from annex_bootstrap.times import left
from annex_contract.knobs import Macro
from annex_contract.lease import annex_id_of

COLUMNS = [
    Column("ANNEX"),
    Column("PENDING", number=True),
    Column("RUNNING", number=True),
    Column("JOINED", number=True),
    Column("BUSY", number=True),
    Column("TIME LEFT", number=True),
    Column("$/HOUR", number=True, optional=True),
    Column("$ SO FAR", number=True),
    Column("STARTED BY", optional=True),
]


ALL = "all together"
"""The name of the last row where there are several annexes; none can have it, because of the blank."""


@dataclass(frozen=True)
class WatchOptions:
    """The options of ``watch``.

    Attributes:
        name: of the annex; empty for all.
        stack_name: the stack's name.
        region: where; None for the one that the environment or the profile names.
        profile: the AWS profile, or None for the environment's.
        interval: seconds between two looks.
    """

    name: str
    stack_name: str
    region: str | None
    profile: str | None
    interval: float


@dataclass(frozen=True)
class Slots:
    """What the pool knows of an annex.

    Attributes:
        machines: how many have joined.
        busy: how many of their slots are claimed.
    """

    machines: int
    busy: int


def watch(options: WatchOptions, screen: LiveScreen) -> None:
    """Show the annexes until Ctrl-C, which changes nothing.

    Raises:
        UserError: there is no stack, or AWS refused at the first look. Later refusals are only reported.
    """
    leases = Leases.of_deployed(options.stack_name, options.region, options.profile)
    known: dict[str, Decimal] = {}
    rows = _look(leases, options.name, known)
    try:
        with screen.live(COLUMNS, _none(leases, options.name)) as show:
            while True:
                show(rows)
                time.sleep(options.interval)
                try:
                    rows = _look(leases, options.name, known)
                except UserError as error:
                    screen.fail(str(error))
    except KeyboardInterrupt:
        return


def _none(leases: Leases, name: str) -> str:
    return f"{f'No annex {name}' if name else 'No annex'} holds a lease in {leases.account.region}."


def _look(leases: Leases, name: str, known: dict[str, Decimal]) -> list[list[str]]:
    held = [lease for lease in leases.list() if not name or lease.annex_id == annex_id_of(name)]
    running = leases.machines() if held else {}
    _learn_prices(leases, {kind for machines in running.values() for kind in machines.types}, known)
    slots = _ask_pool() if held else None
    now = datetime.now(UTC)
    annexes = [(lease, running.get(lease.annex_id, NOTHING)) for lease in held]
    rows = [_row(lease, machines, slots, known, now) for lease, machines in annexes]
    return [*rows, sum_row([machines for _, machines in annexes], known, now)] if len(rows) > 1 else rows


def _learn_prices(leases: Leases, types: set[str], known: dict[str, Decimal]) -> None:
    missing = types - known.keys()
    if missing:
        try:
            known |= prices.on_demand(leases.account, missing)
        except UserError:
            # They are shown as unknown.
            return


def _ask_pool() -> Mapping[str, Slots] | None:
    """Return what has joined, by annex; None where the pool does not answer."""
    machines: dict[str, set[str]] = {}
    busy: dict[str, int] = {}
    answered = False
    for collector in dict.fromkeys(("", IN_FORCE.ask(Macro.ANNEX_COLLECTOR))):
        where = ["-pool", collector] if collector else []
        asked = run(["condor_status", *where, "-af", "AnnexName", "Machine", "State"])
        answered = answered or asked.returncode == 0
        for line in asked.stdout.splitlines() if asked.returncode == 0 else []:
            annex, machine, state = [*line.split(), "", "", ""][:3]
            machines.setdefault(annex, set()).add(machine)
            busy[annex] = busy.get(annex, 0) + (state == "Claimed")
    return {annex: Slots(len(machines[annex]), busy[annex]) for annex in machines} if answered else None


def _row(
    lease: Lease,
    machines: Machines,
    slots: Mapping[str, Slots] | None,
    known: Mapping[str, Decimal],
    now: datetime,
) -> list[str]:
    cost, spent = machines.cost(known), machines.spent(known, now)
    joined = None if slots is None else slots.get(lease.annex_id, Slots(0, 0))
    return [
        lease.annex_id,
        str(machines.pending),
        str(machines.count - machines.pending),
        *(["unknown"] * 2 if joined is None else [str(joined.machines), str(joined.busy)]),
        "unknown" if lease.expiration is None else left(lease.expiration - int(now.timestamp())),
        *_dollars([cost, spent]),
        ", ".join(sorted(machines.starters)) or "-",
    ]


def sum_row(annexes: Sequence[Machines], known: Mapping[str, Decimal], now: datetime) -> list[str]:
    """Return the last row: machines and cost of all annexes.

    Args:
        annexes: what runs for each.
        known: dollars an hour, by instance type.
        now: the time.
    """
    pending = sum(machines.pending for machines in annexes)
    return [
        ALL,
        str(pending),
        str(sum(machines.count for machines in annexes) - pending),
        *["-"] * 3,
        *_dollars(
            [
                None if None in amounts else sum((amount for amount in amounts if amount is not None), Decimal(0))
                for amounts in (
                    [machines.cost(known) for machines in annexes],
                    [machines.spent(known, now) for machines in annexes],
                )
            ]
        ),
        "-",
    ]


def _dollars(amounts: Sequence[Decimal | None]) -> list[str]:
    return ["unknown" if amount is None else f"{amount:.2f}" for amount in amounts]
