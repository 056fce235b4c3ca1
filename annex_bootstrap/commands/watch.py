"""``watch``: what the annexes are doing, until Ctrl-C."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

import click

from annex_bootstrap import PROGRAM
from annex_bootstrap.annexes.failures import failure_lines, find_failures
from annex_bootstrap.annexes.leases import NOTHING, Lease, Leases, Machines
from annex_bootstrap.annexes.money import balance, cents
from annex_bootstrap.console.command import OUTPUT, PLAIN, Command
from annex_bootstrap.console.result import Result
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


@dataclass(frozen=True)
class Watched(Result):
    """An annex after something has changed, one document a line; a document with an error ends them.

    Attributes:
        at: when.
        annex: its ID.
        gone: whether it holds no lease any more.
        pending: how many machines start.
        running: how many run.
        joined: how many are in the pool; None where the pool does not answer.
        busy: how many of their slots run a job; None as above.
        lease_expiration: None where the lease cannot be read.
        dollars_per_hour: on demand; None where a price is unknown.
        dollars_so_far: of the machines that run; where the money is limited, of all, at most; None as above.
        dollars_limit: that it may spend in all; None where that is not limited.
        started_by: the users or sessions that started machines, as far as their tags say.
    """

    at: datetime
    annex: str
    gone: bool
    pending: int
    running: int
    joined: int | None
    busy: int | None
    lease_expiration: datetime | None
    dollars_per_hour: Decimal | None
    dollars_so_far: Decimal | None
    dollars_limit: Decimal | None = None
    started_by: tuple[str, ...] = ()


def watch(screen: Screen, target: Target, name: str, interval: float) -> Watched | None:
    """Show the annexes until Ctrl-C, which changes nothing; a named one also until it has ended.

    Args:
        screen: where to print.
        target: the stack.
        name: of the annex; empty for all.
        interval: seconds between two polls.

    Returns:
        None: every change has been printed, as a document of its own where JSON is asked for.

    Raises:
        UserError: there is no stack or no such annex, or AWS refused the first poll. Later refusals are only reported.
    """
    leases = Leases.of_target(target)
    screen.lines = True
    known: dict[str, Decimal] = {}
    told: set[str] = set()
    annexes = _poll(leases, name, known)
    if name and not annexes:
        raise UserError(f"{_none(leases, name)} `{PROGRAM} leases` lists those that do.")
    before: list[Watched] = []
    try:
        with screen.live(COLUMNS, _none(leases, name)) as show:
            while True:
                show(rows_of(annexes))
                for changed in changes(before, annexes):
                    screen.document(changed)
                _tell_failures(screen, leases, [annex.annex for annex in annexes], told)
                if name and not annexes:
                    return None
                _tell_waiting(screen, told)
                before = annexes
                time.sleep(interval)
                try:
                    annexes = _poll(leases, name, known)
                except UserError as error:
                    screen.fail(str(error))
    except KeyboardInterrupt:
        return None


def changes(before: Sequence[Watched], now: Sequence[Watched]) -> list[Watched]:
    """Return what has changed but time and money: annexes that came, differ or are gone.

    Args:
        before: the annexes at the poll before.
        now: at this one.
    """
    earlier = {_lasting(annex) for annex in before}
    here = {annex.annex for annex in now}
    gone = [replace(annex, gone=True, at=datetime.now(UTC)) for annex in before if annex.annex not in here]
    return [*(annex for annex in now if _lasting(annex) not in earlier), *gone]


def _lasting(annex: Watched) -> Watched:
    return replace(annex, at=datetime.fromtimestamp(0, UTC), dollars_so_far=None)


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


def _poll(leases: Leases, name: str, known: dict[str, Decimal]) -> list[Watched]:
    shown = [lease for lease in leases.list() if not name or lease.annex_id == annex_id_of(name)]
    running = leases.machines() if shown else {}
    _learn_prices(leases, {kind for machines in running.values() for kind in machines.types}, known)
    slots = _ask_pool() if shown else None
    now = datetime.now(UTC)
    annexes = [(lease, running.get(lease.annex_id, NOTHING)) for lease in shown]
    return [_with_money(leases, *each, _watched(*each, slots, known, now), known, now) for each in annexes]


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


def _watched(
    lease: Lease,
    machines: Machines,
    slots: Mapping[str, Slots] | None,
    known: Mapping[str, Decimal],
    now: datetime,
) -> Watched:
    joined = None if slots is None else slots.get(lease.annex_id, Slots(0, 0))
    return Watched(
        at=now,
        annex=lease.annex_id,
        gone=False,
        pending=machines.pending,
        running=machines.count - machines.pending,
        joined=None if joined is None else joined.machines,
        busy=None if joined is None else joined.busy,
        lease_expiration=None if lease.expiration is None else datetime.fromtimestamp(lease.expiration, UTC),
        dollars_per_hour=machines.cost(known),
        dollars_so_far=machines.spent(known, now),
        started_by=tuple(sorted(machines.starters)),
    )


def _with_money(
    leases: Leases, lease: Lease, machines: Machines, annex: Watched, known: dict[str, Decimal], now: datetime
) -> Watched:
    """Return an annex with what it may have spent of its money, if that is limited."""
    try:
        allowance = lease.allowance
        if allowance is None:
            return annex
        ended = leases.ended(lease.annex_id)
        _learn_prices(leases, {kind for kind, _, _ in ended}, known)
        found = balance(allowance, machines, ended, known, allowance.extras, int(now.timestamp()))
        spent = None if found is None else found.spent
        return replace(annex, dollars_so_far=spent, dollars_limit=allowance.dollars)
    except UserError:
        return replace(annex, dollars_so_far=None)


def rows_of(annexes: Sequence[Watched]) -> list[list[str]]:
    """Return a row for each annex, and below several their sum."""
    rows = [_row(annex) for annex in annexes]
    return [*rows, sum_row(annexes)] if len(rows) > 1 else rows


def _row(annex: Watched) -> list[str]:
    if annex.dollars_limit is None:
        so_far = _dollars(annex.dollars_so_far)
    else:
        spent = "unknown" if annex.dollars_so_far is None else cents(annex.dollars_so_far)
        so_far = f"{spent} of {annex.dollars_limit}"
    return [
        annex.annex,
        str(annex.pending),
        str(annex.running),
        *("unknown" if count is None else str(count) for count in (annex.joined, annex.busy)),
        "unknown" if annex.lease_expiration is None else left(int((annex.lease_expiration - annex.at).total_seconds())),
        _dollars(annex.dollars_per_hour),
        so_far,
        ", ".join(annex.started_by) or "-",
    ]


def sum_row(annexes: Sequence[Watched]) -> list[str]:
    """Return the last row: machines and cost of all annexes."""
    return [
        ALL,
        str(sum(annex.pending for annex in annexes)),
        str(sum(annex.running for annex in annexes)),
        *["-"] * 3,
        _dollars(_sum([annex.dollars_per_hour for annex in annexes])),
        _dollars(_sum([annex.dollars_so_far for annex in annexes])),
        "-",
    ]


def _sum(amounts: Sequence[Decimal | None]) -> Decimal | None:
    return None if None in amounts else sum((amount for amount in amounts if amount is not None), Decimal(0))


def _dollars(amount: Decimal | None) -> str:
    return "unknown" if amount is None else f"{amount:.2f}"


command = Command(
    "watch",
    watch,
    click.Argument(["name"], default="", shell_complete=complete_annex),
    click.Option(
        ["--interval"], type=click.FloatRange(1), default=10, show_default=True, help="Seconds between two updates."
    ),
    *ONE_REGION,
    OUTPUT[0],
    PLAIN,
    help="""Watch the annexes, or the annex NAME: machines starting, running and in the pool, busy slots, time, cost.

    A table on a terminal; in a pipe, or with --plain, a line for each change; with --output json, a document for each.
    Ctrl-C ends it and changes nothing; with
    NAME it also ends with the annex.
    """,
)
