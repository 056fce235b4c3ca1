"""``grow``: start machines for the jobs that wait and may leave home, again and again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import click

from annex_bootstrap.console.command import OUTPUT, Command
from annex_bootstrap.console.result import Result
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.console.tables import Column
from annex_bootstrap.growth import queue, words
from annex_bootstrap.growth.acting import Actor, Done, quiet_until
from annex_bootstrap.growth.model import DEFAULT_IDLE, Decision, Market, Reason, Rules
from annex_bootstrap.growth.plan import plan
from annex_bootstrap.growth.reading import Reader, View
from annex_bootstrap.growth.record import Record
from annex_bootstrap.growth.unit import Unit
from annex_bootstrap.local_user import owners_of
from annex_bootstrap.machines.money import parse_budget
from annex_bootstrap.machines.tags import parse_tags
from annex_bootstrap.options import CONFIG, MACHINE_TAGS, MANY_REGIONS, YES
from annex_bootstrap.pool.config_file import find_file
from annex_bootstrap.pool.htcondor import IN_FORCE
from annex_bootstrap.target import Target
from annex_bootstrap.times import parse_duration
from annex_contract.knobs import Macro

EVERY = 60.0
"""Seconds between two decisions."""

QUIET = ("--install", "--uninstall", "--yes", "-y", "--once", "--dry-run")
"""Words of the command line that a unit does not have."""

COLUMNS = [
    Column("JOBS OF"),
    Column("LIKE"),
    Column("IDLE", number=True),
    Column("AT HOME", number=True),
    Column("BOOTING", number=True),
    Column("MISSING", number=True),
    Column("WHY"),
]


@dataclass(frozen=True)
class Growing:
    """Machines that were started, or would be.

    Attributes:
        annex: its name.
        owner: whose jobs they run; empty for everybody's.
        region: where.
        types: that AWS may choose from.
        spot: whether AWS may take them back.
        wanted: how many.
        cores: vCPUs of all of them.
        started: how many came.
        problem: why not more; empty where all came, or nothing was to start.
        dollars_per_hour_most: all that is wanted, never more than that; null where a price is unknown.
    """

    annex: str
    owner: str
    region: str
    types: tuple[str, ...]
    spot: bool
    wanted: int
    cores: int
    started: int
    problem: str
    dollars_per_hour_most: Decimal | None


@dataclass(frozen=True)
class Waiting:
    """Idle jobs that are alike.

    Attributes:
        job: the ID of one of them.
        owner: whose they are.
        annex: the only one that they run in; empty where any will do.
        jobs: how many.
        home: of these, how many free slots of the pool take.
        booting: how many machines that boot take.
        missing: how many have waited for long enough and need machines that do not exist yet.
        reason: why they wait, in a word.
        why: the same in a sentence.
    """

    job: str
    owner: str
    annex: str
    jobs: int
    home: int
    booting: int
    missing: int
    reason: Reason
    why: str


@dataclass(frozen=True)
class Growth(Result):
    """A decision, and what came of it.

    Attributes:
        decided: when.
        cores: vCPUs of the stack that run or start, without the new ones.
        cores_most: that may.
        dollars: that are spent or promised, of today or in all; null without a budget.
        doubts: what could not be read, so that nothing was changed; a sentence each.
        starts: what started, or would.
        extended: the annexes whose leases end later now.
        groups: the jobs that wait.
        dry_run: whether nothing was to be changed.
    """

    decided: datetime
    cores: int
    cores_most: int
    dollars: Decimal | None
    doubts: tuple[str, ...]
    starts: tuple[Growing, ...]
    extended: tuple[str, ...]
    groups: tuple[Waiting, ...]
    dry_run: bool

    @property
    def ok(self) -> bool:
        """Whether all could be read that a decision needs."""
        return not self.doubts


def grow(
    screen: Screen,
    target: Target,
    *,
    max_cores: int,
    max_dollars: str | None = None,
    spot: bool = False,
    spot_first: bool = False,
    only: str = "",
    wait: str = "20m",
    duration: str = "4h",
    tags: tuple[str, ...] = (),
    idle: str = f"{DEFAULT_IDLE // 60}m",
    owners: tuple[str, ...] = (),
    everybody: bool = False,
    collector: str = "",
    skip_pool_check: bool = False,
    explain: bool = False,
    once: bool = False,
    dry_run: bool = False,
    install: bool = False,
    uninstall: bool = False,
    yes: bool = False,
) -> Growth | None:
    """Start machines for the jobs that wait, once or until Ctrl-C.

    Args:
        screen: where to print and ask.
        target: the stack; with several regions, the next one is tried where one has no capacity.
        max_cores: vCPUs that may run at once.
        max_dollars: what may be spent, such as ``50/day``; None for no limit.
        spot: whether to start spot machines only.
        spot_first: whether to start spot machines for jobs that they do not interrupt again and again.
        only: which jobs may leave home, an expression; empty for those that opted in.
        wait: how long a job waits at home first.
        duration: of a lease.
        tags: ``KEY=VALUE``, of the machines, their disks, network interfaces and fleets.
        idle: how long a machine without a job waits before it shuts down.
        owners: whose jobs; none for those of the user of this process, and for root everybody's.
        everybody: whether a machine runs everybody's jobs; then it joins in the name of the one owner.
        collector: of the pool, as AWS reaches it; empty to ask HTCondor.
        skip_pool_check: whether not to check that AWS reaches the pool.
        explain: whether to say of every group why it waits, also in a pipe.
        once: decide once, and end.
        dry_run: only show what would start.
        install: have systemd run this.
        uninstall: undo that.
        yes: go ahead without asking.

    Raises:
        click.UsageError: options that exclude each other.
        UserError: there is no stack in any region, or the record cannot be read or written.
    """
    if spot and spot_first:
        raise click.UsageError("give either --spot or --spot-first")
    if install and uninstall:
        raise click.UsageError("give either --install or --uninstall")
    if "\n" in only:
        raise click.UsageError("--only takes an expression in one line")
    waiting = 0 if wait in ("0", "0m") else parse_duration(wait)
    seconds, idle_seconds, given = parse_duration(duration), parse_duration(idle), parse_tags(tags)
    budget = None if max_dollars is None else parse_budget(max_dollars)
    if install or uninstall:
        _unit(screen, install=install, yes=yes)
        return None
    queue.check_here()
    owners = owners_of(owners)
    if everybody and len(owners) != 1:
        raise click.UsageError("--open needs one --owner, in whose name the machines join: root cannot be it")
    record = Record.beside(find_file(target.config))
    accounts = target.connect_all()
    regions = tuple(account.region for account in accounts)
    pool = f"{IN_FORCE.ask(Macro.COLLECTOR_HOST)} {target.stack_name} {accounts[0].account_id}"
    market = Market.SPOT if spot else Market.SPOT_FIRST if spot_first else Market.DEMAND
    rules = Rules(max_cores, budget, market, waiting, seconds, pool, regions, everybody)
    served = () if everybody else owners
    reader = Reader(accounts, target.stack_name, rules, only, served, record, writes=not dry_run)
    actor = Actor(rules, only, idle_seconds, collector, not skip_pool_check, "".join(owners[:1]), record, given)
    if not dry_run:
        record.add("rules", **rules.as_event(), only=only, owners=served)
    if once or dry_run:
        result = _step(screen, reader, actor, dry_run=dry_run)
        _print(screen, result, explain=True)
        return result
    screen.lines = True
    try:
        with screen.live(COLUMNS, "No idle job may leave home.") as show:
            while True:
                result = _step(screen, reader, actor, dry_run=False)
                if screen.json:
                    screen.document(result)
                elif screen.shows_live:
                    show([_row(group) for group in result.groups])
                else:
                    _print(screen, result, explain=explain)
                time.sleep(EVERY)
    except KeyboardInterrupt:
        return None


def _unit(screen: Screen, *, install: bool, yes: bool) -> None:
    unit = Unit.of_this_process(QUIET)
    if not install:
        removed = unit.uninstall()
        screen.say(f"{unit.path} is stopped and deleted." if removed else f"There is no {unit.path}.")
        return
    screen.say(f"{unit.path}:", wrap=False)
    screen.say(unit.render(), wrap=False)
    if not (yes or screen.confirm("Install it, and start it now?", default=False)):
        screen.say("Nothing was changed.")
        return
    unit.install()
    screen.say(f"systemd runs it: see journalctl {'' if unit.is_root else '--user '}-u {unit.path.stem}")


def _step(screen: Screen, reader: Reader, actor: Actor, *, dry_run: bool) -> Growth:
    """Decide once, and do it."""
    end = quiet_until(time.time())
    if end is not None and not dry_run:
        time.sleep(end - time.time())
    now, view = _read(screen, reader, actor, dry_run=dry_run)
    decision = plan(view.readings, reader.rules, now)
    places = {place.region: place for place in view.places}
    done, extended = [Done(start, 0) for start in decision.starts], list[str]()
    if not dry_run:
        done = [actor.start(each, places[each.region], view.instances, now) for each in decision.starts]
        for extension in decision.extensions:
            problem = actor.extend(extension, places[extension.region])
            if problem:
                screen.fail(f"the lease of {extension.annex} was not extended: {problem}")
            else:
                extended.append(extension.annex)
    for problem in dict.fromkeys(each.problem for each in done if each.problem):
        screen.fail(problem)
    result = _result(view, decision, reader, done, extended, now, dry_run=dry_run)
    if not dry_run:
        _note(reader.record, result)
    return result


def _read(screen: Screen, reader: Reader, actor: Actor, *, dry_run: bool) -> tuple[int, View]:
    """Read everything, finish what was interrupted, and return when it was read, and what."""
    now = int(time.time())
    view = reader.read(now)
    if dry_run or view.readings.doubts:
        return now, view
    finished = [said for place in view.places for said in actor.finish(place, view.instances, now)]
    for said in finished:
        screen.warn(said)
    if finished:
        now = int(time.time())
        view = reader.read(now)
    return now, view


def _note(record: Record, result: Growth) -> None:
    """Write into the record why jobs wait, where that has changed."""
    waiting = [
        {"job": group.job, "owner": group.owner, "jobs": group.jobs, "reason": group.reason, "why": group.why}
        for group in result.groups
    ]
    last = next(reversed(record.of("waiting")), None)
    before: list[Any] = [] if last is None else last["groups"]
    if [(each["job"], each["reason"]) for each in before] != [(each["job"], each["reason"]) for each in waiting]:
        record.add("waiting", groups=waiting)


def _result(
    view: View,
    decision: Decision,
    reader: Reader,
    done: list[Done],
    extended: list[str],
    now: int,
    *,
    dry_run: bool,
) -> Growth:
    rules = reader.rules
    groups = []
    for verdict in decision.verdicts:
        group = view.group(verdict.key)
        unmet = reader.find_unmet(view, group) if verdict.reason is Reason.NO_TYPE else []
        why = words.why(verdict, group, view.readings, decision, rules, now, unmet, would=dry_run)
        groups.append(
            Waiting(
                group.job,
                group.owner,
                group.annex,
                verdict.jobs,
                verdict.home,
                verdict.booting,
                verdict.missing,
                verdict.reason,
                why,
            )
        )
    return Growth(
        decided=datetime.fromtimestamp(now, UTC),
        cores=decision.cores,
        cores_most=rules.cores,
        dollars=None if rules.budget is None else rules.budget.spent(view.readings.charges, now),
        doubts=decision.doubts,
        starts=tuple(
            Growing(
                each.start.annex,
                each.start.owner,
                each.start.region,
                each.start.types,
                each.start.spot,
                each.start.count,
                each.start.cores,
                each.count,
                each.problem,
                None if each.start.most is None else each.start.most * each.start.count,
            )
            for each in done
        ),
        extended=tuple(extended),
        groups=tuple(groups),
        dry_run=dry_run,
    )


def _row(group: Waiting) -> list[str]:
    return [
        group.owner,
        group.job,
        *map(str, (group.jobs, group.home, group.booting, group.missing)),
        group.why,
    ]


def _print(screen: Screen, result: Growth, *, explain: bool) -> None:
    """Print a decision in a line, and with ``explain`` a line for every group."""
    idle, missing = sum(group.jobs for group in result.groups), sum(group.missing for group in result.groups)
    money = "" if result.dollars is None else f", ${result.dollars:.2f}"
    parts = [_started(each, dry_run=result.dry_run) for each in result.starts]
    parts += [f"extends the lease of {annex}" for annex in result.extended]
    if result.doubts:
        parts = [f"nothing starts: {'; '.join(result.doubts)}"]
    screen.say(
        f"{result.decided.astimezone():%Y-%m-%d %H:%M:%S}  {result.cores} of {result.cores_most} cores{money}; "
        f"{'1 job waits' if idle == 1 else f'{idle} jobs wait'}, {missing} for machines: "
        f"{'; '.join(parts) or 'nothing to start'}",
        wrap=False,
    )
    for group in result.groups if explain else ():
        jobs = f"1 job like {group.job}" if group.jobs == 1 else f"{group.jobs} jobs like {group.job}"
        screen.say(f"  {jobs} of {group.owner}: {group.why}.")


def _started(start: Growing, *, dry_run: bool) -> str:
    market = "spot" if start.spot else "on demand"
    others = len(start.types) - 1
    more = f" or {'1 other type' if others == 1 else f'{others} other types'}" if others else ""
    number = f"{start.wanted}" if dry_run or start.started == start.wanted else f"{start.started} of {start.wanted}"
    verb = "would start" if dry_run else "started"
    return f"{verb} {number} {start.types[0]}{more} {market} in {start.region} for {start.annex}"


command = Command(
    "grow",
    grow,
    click.Option(
        ["--max-cores"], type=click.IntRange(0), required=True, help="Cores (vCPUs) of the stack that may run at once."
    ),
    click.Option(["--max-dollars"], metavar="DOLLARS[/day]", help="What may be spent in all, or each day (UTC)."),
    click.Option(["--spot"], is_flag=True, help="Spot machines only."),
    click.Option(["--spot-first"], is_flag=True, help="Spot machines, but for jobs that came back more than once."),
    click.Option(
        ["--only"], default="", metavar="EXPRESSION", help="Which jobs may leave home. Default: those that opted in."
    ),
    click.Option(["--wait"], default="20m", show_default=True, help="How long jobs wait at home first."),
    click.Option(["--duration"], default="4h", show_default=True, help="How long a lease lasts, such as 4h or 1d12h."),
    MACHINE_TAGS,
    click.Option(
        ["--idle"],
        default=f"{DEFAULT_IDLE // 60}m",
        show_default=True,
        help="Shut down machines that are idle this long.",
    ),
    click.Option(
        ["--owner", "owners"],
        multiple=True,
        metavar="USER",
        help="Whose jobs; repeatable. Default: yours, for root all.",
    ),
    click.Option(["--open", "everybody"], is_flag=True, help="Machines run everybody's jobs."),
    click.Option(["--collector"], default="", metavar="HOST[:PORT]", help="The pool's collector, as AWS reaches it."),
    click.Option(["--skip-pool-check"], is_flag=True, help="Do not check that AWS reaches the pool."),
    click.Option(["--explain"], is_flag=True, help="Say of all jobs why they wait, also in a pipe."),
    click.Option(["--once"], is_flag=True, help="Decide once, and end."),
    click.Option(["--dry-run"], is_flag=True, help="Only show what would start."),
    click.Option(["--install"], is_flag=True, help="Have systemd run this; shows the unit first."),
    click.Option(["--uninstall"], is_flag=True, help="Stop and delete that unit."),
    YES,
    *MANY_REGIONS,
    CONFIG,
    *OUTPUT,
    help="""Start machines for the jobs that wait and may leave home, until Ctrl-C.

    Jobs opt in with +MayUseAWS = True or +TargetAnnexName. Every minute, half of the machines that they miss start, up
    to the limits. Machines without jobs shut down by themselves. On any doubt nothing starts; nothing is ever ended.
    """,
)
