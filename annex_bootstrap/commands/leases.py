"""``leases``: list, extend and end the annexes that hold a lease."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

import click

from annex_bootstrap.annexes.ending import end_now
from annex_bootstrap.annexes.failures import failure_lines, find_failures
from annex_bootstrap.annexes.leases import NOTHING, Lease, Leases, Machines
from annex_bootstrap.annexes.limits import read_uses
from annex_bootstrap.annexes.money import cents, check_extension, read_balance
from annex_bootstrap.console.command import OUTPUT, Command, Group
from annex_bootstrap.console.result import Result
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.console.tables import Column
from annex_bootstrap.errors import UserError
from annex_bootstrap.growth.record import Record, note_seen
from annex_bootstrap.machines import prices
from annex_bootstrap.options import ONE_REGION, YES, complete_annex
from annex_bootstrap.pool.config_file import find_file
from annex_bootstrap.pool.htcondor import starts_with_htcondor, version
from annex_bootstrap.stack.read import Stack, find_deployed
from annex_bootstrap.target import Target
from annex_bootstrap.times import clock, left, parse_duration
from annex_contract.stack import Parameter

COLUMNS = [
    Column("ANNEX"),
    Column("KIND"),
    Column("MACHINES", number=True),
    Column("TIME LEFT", number=True),
    Column("$/HOUR", number=True),
    Column("STARTED BY"),
]


@dataclass(frozen=True)
class AnnexLease:
    """An annex that holds a lease.

    Attributes:
        annex: its ID.
        kind: ``spot``, ``on demand`` or ``mixed``; ``-`` where nothing runs.
        machines: how many run or start.
        fleets: how many fleets and persistent spot requests may start more.
        lease_expiration: None where the lease cannot be read.
        seconds_left: of the lease; negative once it has ended.
        dollars_per_hour: on demand; None where a price is unknown.
        started_by: the users or sessions that started machines, as far as their tags say.
        failures: machines that ended by themselves in the last hour, by AWS's reason.
        dollars_limit: that it may spend in all; None where that is not limited.
        dollars_spent_most: of them, at most, by now; None where that is not limited, or not known.
    """

    annex: str
    kind: str
    machines: int
    fleets: int
    lease_expiration: datetime | None
    seconds_left: int | None
    dollars_per_hour: Decimal | None
    started_by: tuple[str, ...]
    failures: Mapping[str, int]
    dollars_limit: Decimal | None = None
    dollars_spent_most: Decimal | None = None


A_WEEK = 7 * 86_400
"""Seconds. Who extends a lease by more is asked: 100d for 100m is a slip of the hand that costs money."""


@dataclass(frozen=True)
class LimitUse:
    """How much of a limit of the stack its machines use.

    Attributes:
        limit: the parameter.
        most: cores, or dollars an hour.
        used: of these; None where a price is unknown.
        used_by: how much of it each user or session has, as far as the tags of machines say.
    """

    limit: str
    most: Decimal
    used: Decimal | None
    used_by: Mapping[str, Decimal | None]


@dataclass(frozen=True)
class LeaseList(Result):
    """The annexes of a stack that hold a lease.

    Attributes:
        region: where.
        leases: of the annexes, the one that ends first at the top.
        limits: on cores and dollars an hour of all machines together, that the stack has.
        instance_types: patterns of the types that machines may have; none where the stack does not limit them.
        longest_hours: that a machine may run; None where the stack does not limit that.
    """

    region: str
    leases: tuple[AnnexLease, ...]
    limits: tuple[LimitUse, ...] = ()
    instance_types: tuple[str, ...] = ()
    longest_hours: int | None = None


@dataclass(frozen=True)
class Extension(Result):
    """The new end of an annex's lease.

    Attributes:
        annex: its ID.
        lease_expiration: when it ends; None where that cannot be read.
        declined: whether the answer was no, so that nothing was changed.
    """

    annex: str
    lease_expiration: datetime | None
    declined: bool = False


@dataclass(frozen=True)
class Ending(Result):
    """The annexes whose leases were ended.

    Attributes:
        ended: their IDs; none where the answer was no.
    """

    ended: tuple[str, ...]


def list_leases(screen: Screen, target: Target) -> LeaseList:
    """List the annexes that hold a lease: kind, machines, time left, cost.

    Raises:
        UserError: there is no stack, or AWS refused. Missing prices are only reported.
    """
    account = target.connect()
    stack = find_deployed(account, target.stack_name)
    leases = Leases.of(account, stack)
    found = leases.list()
    running = leases.machines() if found else {}
    failures = find_failures(leases.account, leases.profile_arns) if found else {}
    known: dict[str, Decimal] = {}
    unpriced = ""
    try:
        known = prices.on_demand(leases.account, {name for machines in running.values() for name in machines.types})
    except UserError as error:
        unpriced = str(error)
    now = int(time.time())
    annexes = tuple(
        _annex(lease, running.get(lease.annex_id, NOTHING), failures.get(lease.annex_id, {}), known, now)
        for lease in found
    )
    annexes = tuple(_with_money(screen, leases, lease, annex, now) for lease, annex in zip(found, annexes, strict=True))
    if not annexes:
        screen.say(f"No annex holds a lease in {leases.account.region}.")
    else:
        screen.table(COLUMNS, [_row(annex) for annex in annexes])
        costs = [annex.dollars_per_hour for annex in annexes]
        if len(annexes) > 1:
            total = sum(cost for cost in costs if cost is not None)
            screen.say(f"Total: ${total:.4f}/hour{'' if None not in costs else ' (excluding unknown prices)'}")
    for annex in annexes:
        if annex.dollars_spent_most is not None:
            screen.say(
                f"{annex.annex}: at most ${cents(annex.dollars_spent_most)} of ${annex.dollars_limit} spent, and its "
                "lease ends before the rest can be; traffic and the stored image are not counted."
            )
        if annex.fleets:
            what = "1 fleet or spot request" if annex.fleets == 1 else f"{annex.fleets} fleets and spot requests"
            screen.say(f"{what} of {annex.annex} may start more machines until its lease ends.")
        for line in failure_lines(annex.annex, annex.failures):
            screen.fail(line)
    if unpriced:
        screen.fail(f"no prices: {unpriced}")
    uses = _limits(screen, stack, leases)
    hours = None if leases.max_seconds is None else leases.max_seconds // 3600
    return LeaseList(leases.account.region, annexes, uses, stack.limits.types, hours)


def _limits(screen: Screen, stack: Stack, leases: Leases) -> tuple[LimitUse, ...]:
    """Say what the stack limits, and return how much of it is in use."""
    limits = stack.limits
    if leases.max_seconds is not None:
        screen.say(f"MaxLeaseHours: a machine may run {leases.max_seconds // 3600} hours.")
    if limits.types:
        screen.say(f"InstanceTypes: machines may be {', '.join(limits.types)}.")
    if limits.cores is None and limits.dollars is None:
        return ()
    try:
        uses = read_uses(leases.account, leases.profile_arns, limits)
    except UserError as error:
        screen.fail(f"how much of the stack's limits is in use is not known: {error}")
        return ()
    found = []
    if limits.cores is not None:
        found.append(_use(Parameter.MAX_CORES, Decimal(limits.cores), {use.who: use.cores for use in uses}))
        screen.say(_sentence(found[-1], "cores", "f"))
    if limits.dollars is not None:
        found.append(_use(Parameter.MAX_DOLLARS_PER_HOUR, limits.dollars, {use.who: use.dollars for use in uses}))
        screen.say(_sentence(found[-1], "dollars an hour, by prices on demand,", ".4f"))
    return tuple(found)


def _use(limit: str, most: Decimal, by: Mapping[str, int | Decimal | None]) -> LimitUse:
    used_by = {who: None if part is None else Decimal(part) for who, part in by.items()}
    known = [part for part in used_by.values() if part is not None]
    return LimitUse(limit, most, sum(known, Decimal(0)) if len(known) == len(used_by) else None, used_by)


def _sentence(use: LimitUse, unit: str, form: str) -> str:
    """Return how much of a limit is in use, such as ``MaxCores: 6 of 8 cores in use: alice 4, bob 2``."""

    def text(part: Decimal | None) -> str:
        return "unknown" if part is None else f"{part:{form}}"

    by = ", ".join(f"{who} {text(part)}" for who, part in use.used_by.items())
    return f"{use.limit}: {text(use.used)} of {use.most:f} {unit} in use{f': {by}' if by else ''}."


def extend_lease(screen: Screen, target: Target, name: str, duration: str, *, yes: bool = False) -> Extension:
    """Let an annex run for some time from now, such as ``2h``; for more than a week, ask first, unless ``yes``.

    Raises:
        UserError: the duration cannot be read, the annex holds no lease or a longer one, or AWS refused.
    """
    seconds = parse_duration(duration)
    until = int(time.time()) + seconds
    leases = Leases.of_target(target)
    lease = leases.find(name)
    if lease.expiration is not None and lease.expiration > until:
        raise UserError(
            f"{name} already runs until {clock(lease.expiration)}, which is later: "
            "to end it sooner use annex-bootstrap leases end"
        )
    check_extension(leases, lease, until, int(time.time()))
    machines = leases.machines().get(lease.annex_id, NOTHING)
    if seconds > A_WEEK and not (yes or _agrees(screen, leases, lease, machines, until)):
        screen.say("Nothing was changed.")
        now = None if lease.expiration is None else datetime.fromtimestamp(lease.expiration, UTC)
        return Extension(lease.annex_id, now, declined=True)
    token_end = machines.earliest_token_end
    leases.extend(lease, until)
    _note(
        screen,
        target,
        lambda record: record.add("extension", annex=lease.annex_id, region=leases.account.region, expiration=until),
    )
    screen.say(f"{lease.annex_id} now runs until {clock(until)}.")
    if token_end is not None and token_end < until:
        screen.fail(
            f"warning: the tokens of machines of {lease.annex_id} may end from {clock(token_end)} on, and without them "
            f"machines leave the pool: start others for the time after that with annex-bootstrap start {lease.annex_id}"
        )
    return Extension(lease.annex_id, datetime.fromtimestamp(until, UTC))


def _agrees(screen: Screen, leases: Leases, lease: Lease, machines: Machines, until: int) -> bool:
    """Say what a long extension may cost, and ask."""
    cost = None
    # Without prices, the time is still worth a question.
    with suppress(UserError):
        cost = machines.cost(prices.on_demand(leases.account, set(machines.types)))
    hours = Decimal(until - int(time.time())) / 3600
    price = "" if cost is None else f", ${cost:.2f}/hour on demand, ${cost * hours:.2f} until then"
    count = "1 machine" if machines.count == 1 else f"{machines.count} machines"
    screen.say(f"{lease.annex_id} would run until {clock(until)}: {count}{price}.")
    return screen.confirm("Let it run so long?", default=False)


def end_leases(screen: Screen, target: Target, name: str | None, *, everything: bool, yes: bool) -> Ending:
    """End an annex now, or with ``everything`` every annex of the stack, after one question.

    Raises:
        click.UsageError: neither an annex nor all of them are named, or both.
        UserError: the annex holds no lease, or AWS refused; the annexes before that one have ended.
    """
    if (name is None) != everything:
        raise click.UsageError("give either the name of an annex or --all")
    leases = Leases.of_target(target)
    ending = leases.list() if name is None else [leases.find(name)]
    if not ending:
        screen.say(f"No annex holds a lease in {leases.account.region}.")
        return Ending(())
    _preview(screen, ending, leases)
    if not (yes or screen.confirm("Go ahead?" if name else f"End all {len(ending)}?", default=False)):
        screen.say("Nothing was changed.")
        return Ending(())
    problems = {lease.annex_id: end_now(leases, lease, int(time.time())) for lease in ending}
    _note(
        screen,
        target,
        lambda record: note_seen(record, leases.account, leases.profile_arns, "leases end"),
    )
    whose = "Its lease has" if len(ending) == 1 else "Their leases have"
    if not any(problems.values()):
        screen.say(f"{whose} ended. The lease function ends the machines now, and checks again every five minutes.")
    for annex_id, problem in problems.items():
        if problem:
            screen.fail(
                f"the lease function does not work, so this command ended the machines of {annex_id} ({problem}): "
                "run annex-bootstrap doctor"
            )
    if name is not None and starts_with_htcondor(version() or (0, 0, 0)):
        screen.say(
            "HTCondor's own record of it stays in the queue until you remove it: "
            f"condor_rm -constraint 'hpc_annex_name == \"{name}\"'"
        )
    return Ending(tuple(lease.annex_id for lease in ending))


def _note(screen: Screen, target: Target, write: Callable[[Record], object]) -> None:
    """Write into the record, from which ``costs`` tells what machines cost once they are gone."""
    try:
        write(Record.beside(find_file(target.config)))
    except UserError as error:
        screen.fail(f"what machines cost will not be known once they are gone: {error}")


def _preview(screen: Screen, ending: Sequence[Lease], leases: Leases) -> None:
    running = leases.machines()
    screen.say("Ends these annexes with their machines, and the jobs that run there:")
    for lease in ending:
        count = running.get(lease.annex_id, NOTHING).count
        screen.say(f"  {lease.annex_id}: {'1 machine' if count == 1 else f'{count} machines'}")


def _annex(
    lease: Lease, machines: Machines, failures: Mapping[str, int], known: dict[str, Decimal], now: int
) -> AnnexLease:
    expiration = lease.expiration
    return AnnexLease(
        annex=lease.annex_id,
        kind=machines.kind,
        machines=machines.count,
        fleets=machines.fleets,
        lease_expiration=None if expiration is None else datetime.fromtimestamp(expiration, UTC),
        seconds_left=None if expiration is None else expiration - now,
        dollars_per_hour=machines.cost(known),
        started_by=tuple(sorted(machines.starters)),
        failures=failures,
    )


def _with_money(screen: Screen, leases: Leases, lease: Lease, annex: AnnexLease, now: int) -> AnnexLease:
    """Return it with what it may spend and has spent, or say why that is not known."""
    try:
        allowance = lease.allowance
        if allowance is None:
            return annex
        annex = replace(annex, dollars_limit=allowance.dollars)
        found = read_balance(leases, lease.annex_id, allowance, allowance.extras, now)
    except UserError as error:
        screen.fail(str(error))
        return annex
    return replace(annex, dollars_spent_most=found.spent)


def _row(annex: AnnexLease) -> list[str]:
    return [
        annex.annex,
        annex.kind,
        str(annex.machines),
        "unknown" if annex.seconds_left is None else left(annex.seconds_left),
        "unknown" if annex.dollars_per_hour is None else f"{annex.dollars_per_hour:.4f}",
        ", ".join(annex.started_by) or "-",
    ]


command = Group(
    "leases",
    list_leases,
    *ONE_REGION,
    *OUTPUT,
    help="""List the annexes that hold a lease: kind, machines, time left, cost.

    The cost is the on-demand price; spot instances cost at most that, unless a fleet bids more.
    """,
)
command.add_command(
    Command(
        "extend",
        extend_lease,
        click.Argument(["name"], shell_complete=complete_annex),
        click.Argument(["duration"]),
        YES,
        *ONE_REGION,
        *OUTPUT,
        help="Let the annex NAME run for DURATION from now, such as 2h, 90m or 1d12h. Never shortens a lease; asks "
        "before one of more than a week.",
    )
)
command.add_command(
    Command(
        "end",
        end_leases,
        click.Argument(["name"], required=False, shell_complete=complete_annex),
        click.Option(["--all", "everything"], is_flag=True, help="End every annex of the stack."),
        *ONE_REGION,
        YES,
        *OUTPUT,
        help="End the annex NAME now, or with --all every one: its machines, its tarball, then its lease.",
    )
)
