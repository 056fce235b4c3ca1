"""``watch``: what the annexes are doing, until Ctrl-C."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import click

from annex_bootstrap import PROGRAM
from annex_bootstrap.annexes.failures import failure_lines, find_failures
from annex_bootstrap.annexes.leases import NOTHING, Lease, Leases, Machines
from annex_bootstrap.annexes.money import balance, cents
from annex_bootstrap.console.command import PLAIN, Command
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.console.tables import Column
from annex_bootstrap.errors import UserError
from annex_bootstrap.growth.record import Record
from annex_bootstrap.machines import prices
from annex_bootstrap.options import ONE_REGION, complete_annex
from annex_bootstrap.pool.config_file import find_file
from annex_bootstrap.pool.htcondor import IN_FORCE, run
from annex_bootstrap.target import Target
from annex_bootstrap.times import left
from annex_contract.knobs import Macro
from annex_contract.lease import annex_id_of

SO_FAR = "$ SO FAR"

COLUMNS = [
    Column("ANNEX"),
    Column("PENDING", number=True),
    Column("RUNNING", number=True),
    Column("JOINED", number=True),
    Column("BUSY", number=True),
    Column("TIME LEFT", number=True),
    Column("$/HOUR", number=True, optional=True),
    Column(SO_FAR, number=True),
    Column("STARTED BY", optional=True),
]


RECENT = 3600
"""Seconds for which the reasons why jobs waited are shown."""

ALL = "all annexes"
"""The name of the last row where there are several annexes; none can have it, because of the blank."""


@dataclass(frozen=True)
class Slots:
    """What the pool knows of an annex.

    Attributes:
        machines: how many have joined.
        busy: how many of their slots are claimed.
    """

    machines: int
    busy: int


def watch(screen: Screen, target: Target, name: str, interval: float) -> None:
    """Show the annexes until Ctrl-C, which changes nothing; a named one also until it has ended.

    Args:
        screen: where to print.
        target: the stack.
        name: of the annex; empty for all.
        interval: seconds between two polls.

    Raises:
        UserError: there is no stack or no such annex, or AWS refused the first poll. Later refusals are only reported.
    """
    leases = Leases.of_target(target)
    known: dict[str, Decimal] = {}
    told: set[str] = set()
    rows = _poll(leases, name, known)
    if name and not rows:
        raise UserError(f"{_none(leases, name)} `{PROGRAM} leases` lists those that do.")
    try:
        with screen.live(COLUMNS, _none(leases, name)) as show:
            while True:
                show(rows)
                _tell_failures(screen, leases, [row[0] for row in rows], told)
                if name and not rows:
                    return
                _tell_waiting(screen, told)
                time.sleep(interval)
                try:
                    rows = _poll(leases, name, known)
                except UserError as error:
                    screen.fail(str(error))
    except KeyboardInterrupt:
        return


def _tell_failures(screen: Screen, leases: Leases, annexes: Sequence[str], told: set[str]) -> None:
    """Say once how many machines of the annexes ended by themselves, and why."""
    with contextlib.suppress(UserError):
        failures = find_failures(leases.account, leases.profile_arns)
        lines = [line for annex in annexes for line in failure_lines(annex, failures.get(annex, {}))]
        for line in lines:
            if line not in told:
                screen.fail(line)
        told.update(lines)


def _tell_waiting(screen: Screen, told: set[str]) -> None:
    """Say once why jobs wait, as the last decision of ``grow`` on this machine has it."""
    with contextlib.suppress(UserError):
        waiting = next(reversed(Record.beside(find_file(None)).of("waiting")), None)
        for group in waiting["groups"] if waiting and time.time() - waiting["at"] < RECENT else ():
            line = f"{group['jobs']} jobs like {group['job']} of {group['owner']}: {group['why']}"
            if line not in told:
                screen.warn(line)
            told.add(line)


def _none(leases: Leases, name: str) -> str:
    return f"{f'No annex {name}' if name else 'No annex'} holds a lease in {leases.account.region}."


def _poll(leases: Leases, name: str, known: dict[str, Decimal]) -> list[list[str]]:
    shown = [lease for lease in leases.list() if not name or lease.annex_id == annex_id_of(name)]
    running = leases.machines() if shown else {}
    _learn_prices(leases, {kind for machines in running.values() for kind in machines.types}, known)
    slots = _ask_pool() if shown else None
    now = datetime.now(UTC)
    annexes = [(lease, running.get(lease.annex_id, NOTHING)) for lease in shown]
    rows = [_with_money(leases, *each, _row(*each, slots, known, now), known, now) for each in annexes]
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
        answer = run(["condor_status", *where, "-af", "AnnexName", "Machine", "State"])
        answered = answered or answer.returncode == 0
        for line in answer.stdout.splitlines() if answer.returncode == 0 else []:
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


def _with_money(
    leases: Leases, lease: Lease, machines: Machines, row: list[str], known: dict[str, Decimal], now: datetime
) -> list[str]:
    """Return the row of an annex, with what it may have spent of its money, if that is limited."""
    try:
        allowance = lease.allowance
        if allowance is None:
            return row
        ended = leases.ended(lease.annex_id)
        _learn_prices(leases, {kind for kind, _, _ in ended}, known)
        found = balance(allowance, machines, ended, known, allowance.extras, int(now.timestamp()))
        spent = f"{'unknown' if found is None else cents(found.spent)} of {allowance.dollars}"
    except UserError:
        spent = "unknown"
    place = [column.name for column in COLUMNS].index(SO_FAR)
    return [*row[:place], spent, *row[place + 1 :]]


def sum_row(annexes: Sequence[Machines], known: Mapping[str, Decimal], now: datetime) -> list[str]:
    """Return the last row: machines and cost of all annexes.

    Args:
        annexes: what runs for each.
        known: dollars per hour, by instance type.
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


command = Command(
    "watch",
    watch,
    click.Argument(["name"], default="", shell_complete=complete_annex),
    click.Option(
        ["--interval"], type=click.FloatRange(1), default=10, show_default=True, help="Seconds between two updates."
    ),
    *ONE_REGION,
    PLAIN,
    help="""Watch the annexes, or the annex NAME: machines starting, running and in the pool, busy slots, time, cost.

    A table on a terminal; in a pipe, or with --plain, a line for each change. Ctrl-C ends it and changes nothing; with
    NAME it also ends with the annex.
    """,
)
