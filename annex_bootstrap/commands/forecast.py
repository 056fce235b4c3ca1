"""``forecast``: how long the jobs that wait would take, on machines or at home, and what that would cost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import click

from annex_bootstrap.console.command import OUTPUT, Command
from annex_bootstrap.console.result import Result
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.console.tables import Column
from annex_bootstrap.errors import UserError
from annex_bootstrap.growth import forecast as core
from annex_bootstrap.growth import queue
from annex_bootstrap.growth.forecast import BOOT, FEWEST, HISTORY, Option, Past, Runtime, Span, parse_past, runtime_of
from annex_bootstrap.growth.model import DEFAULT_IDLE, Group, Market, Rules
from annex_bootstrap.growth.queue import literal
from annex_bootstrap.growth.reading import Reader, View
from annex_bootstrap.growth.record import Record
from annex_bootstrap.growth.words import minutes
from annex_bootstrap.local_user import owners_of
from annex_bootstrap.options import CONFIG, MANY_REGIONS
from annex_bootstrap.pool.config_file import find_file
from annex_bootstrap.target import Target
from annex_bootstrap.times import parse_duration

SINCE = 30 * 86400
"""Seconds for which the pool's history counts."""

MOST_PAST = 20_000
"""Jobs of the history that are read, the last ones."""

HOME = "wait"
"""The way that costs nothing."""

COLUMNS = [
    Column("WAY"),
    Column("MACHINES", number=True),
    Column("CORES", number=True),
    Column("HOURS", number=True),
    Column("$", number=True),
    Column("$/HOUR", number=True),
]


@dataclass(frozen=True)
class Alike:
    """Idle jobs that are alike, and what such jobs took.

    Attributes:
        job: the ID of one of them.
        owner: whose they are.
        jobs: how many.
        past: how many jobs of the same owner and executable have ended well lately, if they count.
        given: whether ``--runtime`` counts, since too few have ended.
        minutes: that each takes, on the average; null where nobody knows.
        minutes_least: hardly less than that.
        minutes_most: hardly more than that.
    """

    job: str
    owner: str
    jobs: int
    past: int
    given: bool
    minutes: float | None
    minutes_least: float | None
    minutes_most: float | None


@dataclass(frozen=True)
class Way:
    """A way to run them.

    Attributes:
        name: ``spot``, ``on demand`` or ``wait``.
        machines: how many would start.
        cores: their vCPUs.
        dollars_per_hour: all of them together; null where a price is unknown.
        hours: until the last job is done; null where nobody knows.
        hours_least: hardly less than that.
        hours_most: hardly more than that.
        dollars: in all; null where nobody knows.
        dollars_least: hardly less than that.
        dollars_most: hardly more than that.
        unserved: jobs that nothing would run.
    """

    name: str
    machines: int
    cores: int
    dollars_per_hour: Decimal | None
    hours: float | None
    hours_least: float | None
    hours_most: float | None
    dollars: float | None
    dollars_least: float | None
    dollars_most: float | None
    unserved: int


@dataclass(frozen=True)
class Forecast(Result):
    """What the jobs that wait would take and cost; an estimate.

    Attributes:
        groups: the jobs.
        ways: to run them.
        assumptions: what is taken for granted, and what is not known; a sentence each.
    """

    groups: tuple[Alike, ...]
    ways: tuple[Way, ...]
    assumptions: tuple[str, ...]


def forecast(
    screen: Screen,
    target: Target,
    *,
    max_cores: int,
    only: str = "",
    runtime: str = "",
    owners: tuple[str, ...] = (),
) -> Forecast:
    """Estimate how long the jobs that wait would take, and what it would cost.

    Args:
        screen: where to print.
        target: the stack.
        max_cores: vCPUs that may run at once.
        only: which jobs may leave home, an expression; empty for those that opted in.
        runtime: how long a job runs where the history does not say, such as ``20m``; empty for unknown.
        owners: whose jobs; none for those of the user of this process, and for root everybody's.

    Raises:
        UserError: there is no HTCondor or stack, or the queue, the history or AWS cannot be read.
    """
    given = parse_duration(runtime) if runtime else None
    queue.check_here()
    accounts, now = target.connect_all(), int(time.time())
    rules = Rules(max_cores, None, Market.SPOT_FIRST, 0, regions=tuple(account.region for account in accounts))
    record = Record.beside(find_file(target.config))
    view = Reader(accounts, target.stack_name, rules, only, owners_of(owners), record, writes=False).read(now)
    if view.readings.doubts:
        raise UserError(f"nothing can be told: {'; '.join(view.readings.doubts)}")
    groups = view.readings.groups
    past = read_past({group.owner for group in groups}, now) if groups else []
    runtimes = {group.key: _runtime(view, group, past, now, given) for group in groups}
    ways = tuple(
        _way(str(market), core.forecast(view.readings, rules, runtimes, DEFAULT_IDLE, now, market))
        for market in (Market.SPOT, Market.DEMAND)
    )
    alike = tuple(_alike(group, runtimes[group.key]) for group in groups)
    at_home = core.wait(groups, runtimes)
    result = Forecast(alike, (*ways, _way(HOME, at_home)), _assumptions(alike, ways, at_home))
    _print(screen, result)
    return result


def read_past(owners: set[str], now: int) -> list[Past]:
    """Return the runs of the owners' jobs that ended well lately, as this access point's history has them.

    Raises:
        UserError: condor_history does not answer.
    """
    whose = " || ".join(f"(Owner == {literal(owner)})" for owner in sorted(owners))
    constraint = f"(JobStatus == 4) && (CompletionDate >= {now - SINCE}) && ({whose})"
    return parse_past(
        queue.read_ads(
            [
                *("condor_history", "-json", "-attributes", ",".join(HISTORY)),
                *("-constraint", constraint, "-limit", str(MOST_PAST)),
            ]
        )
    )


def _runtime(view: View, group: Group, past: Sequence[Past], now: int, given: int | None) -> Runtime:
    return runtime_of(group.owner, str(view.jobs[group.key].get("Cmd", "")), past, now, given)


def _alike(group: Group, runtime: Runtime) -> Alike:
    mean = runtime.mean(len(group.since))
    return Alike(
        group.job,
        group.owner,
        len(group.since),
        0 if runtime.given else len(runtime.samples),
        runtime.given,
        *((None, None, None) if mean is None else (round(each / 60, 1) for each in _parts(mean))),
    )


def _parts(span: Span) -> tuple[float, float, float]:
    return span.middle, span.least, span.most


def _way(name: str, option: Option) -> Way:
    hours, dollars = (
        (None, None, None) if span is None else tuple(round(each / unit, 2) for each in _parts(span))
        for span, unit in ((option.seconds, 3600), (option.dollars, 1))
    )
    return Way(
        name,
        option.machines,
        option.cores,
        option.per_hour,
        hours=hours[0],
        hours_least=hours[1],
        hours_most=hours[2],
        dollars=dollars[0],
        dollars_least=dollars[1],
        dollars_most=dollars[2],
        unserved=option.left,
    )


def _assumptions(alike: Sequence[Alike], ways: Sequence[Way], at_home: Option) -> tuple[str, ...]:
    said = []
    for group in alike:
        like = f"jobs like {group.job} of {group.owner}"
        if group.given:
            said.append(f"{like} are taken to run {minutes(round((group.minutes or 0) * 60))} each, as --runtime says")
        elif group.minutes is None:
            said.append(
                f"how long {like} run is not known: fewer than {FEWEST} of the same owner and executable ended well in "
                f"{SINCE // 86400} days; give --runtime if you know"
            )
        else:
            said.append(
                f"{like} are taken to run {group.minutes:.1f} minutes on the average "
                f"({group.minutes_least:.1f} to {group.minutes_most:.1f}), as {group.past} such jobs did"
            )
    if any(way.unserved for way in ways):
        left = max(way.unserved for way in ways)
        said.append(f"{left} jobs find no machine and are left out: annex-bootstrap explain JOB says why")
    if any(way.machines for way in ways):
        said.append(
            f"machines boot for {minutes(BOOT)}, AWS has them all and takes none back, and prices stay as they are now"
        )
    if alike and at_home.seconds is None:
        said.append("how fast the pool would run all of them is not known: not all such jobs ran there in the last day")
    elif alike:
        said.append("the pool goes on running as many of such jobs at once as in the last day")
    return tuple(said)


def _print(screen: Screen, result: Forecast) -> None:
    jobs = sum(group.jobs for group in result.groups)
    if not jobs:
        screen.say("No idle job may leave home.")
        return
    screen.say(f"{'1 job waits' if jobs == 1 else f'{jobs} jobs wait'}.")
    screen.table(COLUMNS, [_row(way) for way in result.ways])
    screen.say("An estimate, with what it hardly falls below and hardly exceeds:")
    for said in result.assumptions:
        screen.say(f"  {said}.")


def _row(way: Way) -> list[str]:
    def shown(middle: float | None, least: float | None, most: float | None, digits: int = 1) -> str:
        return "unknown" if middle is None else f"{middle:.{digits}f} ({least:.{digits}f}-{most:.{digits}f})"

    per_hour = "unknown" if way.dollars_per_hour is None else f"{way.dollars_per_hour:.2f}"
    hours = shown(way.hours, way.hours_least, way.hours_most)
    dollars = shown(way.dollars, way.dollars_least, way.dollars_most, 2)
    return [way.name, str(way.machines), str(way.cores), hours, "0" if way.name == HOME else dollars, per_hour]


command = Command(
    "forecast",
    forecast,
    click.Option(
        ["--max-cores"], type=click.IntRange(0), required=True, help="Cores (vCPUs) of the stack that may run at once."
    ),
    click.Option(
        ["--only"], default="", metavar="EXPRESSION", help="Which jobs may leave home. Default: those that opted in."
    ),
    click.Option(
        ["--runtime"], default="", metavar="DURATION", help="How long a job runs, where the history does not say."
    ),
    click.Option(
        ["--owner", "owners"],
        multiple=True,
        metavar="USER",
        help="Whose jobs; repeatable. Default: yours, for root all.",
    ),
    *MANY_REGIONS,
    CONFIG,
    *OUTPUT,
    help="""Estimate how long the jobs that wait would take and cost: on spot machines, on demand, or if they wait.

    From what grow would start, from how long jobs of the same owner and executable ran before (condor_history), and
    from today's prices. Says what it assumes and what it does not know. Changes nothing.
    """,
)
