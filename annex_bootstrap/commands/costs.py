"""``costs``: what machines have cost, by owner, annex or day, and how much of it jobs used."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

import click

from annex_bootstrap.aws import Account
from annex_bootstrap.console.command import OUTPUT, Command
from annex_bootstrap.console.result import Result
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.console.tables import Column
from annex_bootstrap.errors import UserError
from annex_bootstrap.growth import queue
from annex_bootstrap.growth.cloud import Instance, Place, read_place
from annex_bootstrap.growth.costs import HISTORY, By, Cost, Run, Use, add_up, parse_runs, uses
from annex_bootstrap.growth.record import Record, note_seen
from annex_bootstrap.machines.instance_types import describe_types
from annex_bootstrap.machines.prices import on_demand, spot_prices
from annex_bootstrap.options import CONFIG, MANY_REGIONS
from annex_bootstrap.pool.config_file import find_file
from annex_bootstrap.pool.htcondor import version
from annex_bootstrap.stack.read import find_deployed
from annex_bootstrap.target import Target
from annex_bootstrap.times import parse_duration
from annex_contract.stack import Output

COLUMNS = [
    Column("MACHINES", number=True),
    Column("HOURS", number=True),
    Column("CORE HOURS", number=True),
    Column("JOBS", number=True),
    Column("SPOT", number=True),
    Column("IDLE", number=True),
    Column("$", number=True),
    Column("$ AT MOST", number=True, optional=True),
]


@dataclass(frozen=True)
class Costs(Result):
    """What machines have cost; an estimate.

    Attributes:
        since: nothing before counts.
        by: what the rows are put together by.
        rows: the most expensive first, days in their order.
        total: all of them; null where there is none.
        unseen_machines: how many machines ended at an unknown time, and count until their leases' ends.
        problems: what could not be read, a sentence each.
    """

    since: datetime
    by: By
    rows: tuple[Cost, ...]
    total: Cost | None
    unseen_machines: int
    problems: tuple[str, ...]


def costs(screen: Screen, target: Target, *, by: str = By.OWNER, since: str = "30d") -> Costs:
    """Estimate what machines have cost.

    Args:
        screen: where to print.
        target: the stack; regions that are not named are known from the record alone.
        by: what to put together by.
        since: how far back to look, such as ``30d``.

    Raises:
        UserError: the duration or the record cannot be read.
    """
    begin = max(int(time.time()) - parse_duration(since), 0)
    record, problems = Record.beside(find_file(target.config)), list[str]()
    places, instances = list[Place](), list[Instance]()
    prices = _Prices()
    for account in target.connect_all():
        try:
            place = _place(account, target.stack_name)
            instances += note_seen(record, account, place.profiles, "costs", prices.of(place))
            places.append(place)
        except UserError as error:
            problems.append(f"{account.region} is counted from the record only: {error}")
    now = int(time.time())
    known = [use for use in uses(record, instances, now) if use.end > begin]
    spot = dict[tuple[str, str], Decimal]()
    vcpus = dict[str, int]()
    for place in places:
        known = [_priced(use, place, prices) for use in known]
        here = sorted({use.type for use in known if use.region == place.region})
        problems += _learn(place, here, vcpus)
        problems += _learn_spot(place, {use.type for use in known if use.spot and use.region == place.region}, spot)
    runs = _runs(begin, problems)
    rows = tuple(add_up(known, runs, vcpus, spot, By(by), begin))
    total = next(iter(add_up(known, runs, vcpus, spot, None, begin)), None)
    unseen = sum(not use.seen for use in known)
    result = Costs(datetime.fromtimestamp(begin, UTC), By(by), rows, total, unseen, tuple(problems))
    _print(screen, result)
    return result


class _Prices:
    """Prices on demand, each asked for once."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Decimal | None] = {}

    def find(self, place: Place, kind: str) -> Decimal | None:
        """Return dollars an hour that a machine costs at most; None where AWS names no price."""
        key = (place.region, kind)
        if key not in self.known:
            try:
                price = on_demand(place.account, [kind]).get(kind)
            except UserError:
                price = None
            self.known[key] = None if price is None else price + place.extras
        return self.known[key]

    def of(self, place: Place) -> Callable[[Instance], Decimal | None]:
        return lambda each: self.find(place, each.type)


def _place(account: Account, name: str) -> Place:
    stack = find_deployed(account, name)
    return read_place(account, name) if Output.LAUNCH_TEMPLATE_ID in stack.outputs else Place(account, stack, None)


def _priced(use: Use, place: Place, prices: _Prices) -> Use:
    if use.most is not None or use.region != place.region:
        return use
    return replace(use, most=prices.find(place, use.type))


def _learn(place: Place, kinds: Sequence[str], vcpus: dict[str, int]) -> list[str]:
    try:
        vcpus |= {machine.name: machine.vcpus for machine in describe_types(place.account, kinds)} if kinds else {}
    except UserError as error:
        return [f"core hours in {place.region} are not known: {error}"]
    return []


def _learn_spot(place: Place, kinds: set[str], spot: dict[tuple[str, str], Decimal]) -> list[str]:
    try:
        found: Mapping[str, Decimal] = spot_prices(place.account, sorted(kinds)) if kinds else {}
    except UserError as error:
        return [f"spot machines in {place.region} count at the price on demand: {error}"]
    spot |= {(place.region, kind): price + place.extras for kind, price in found.items()}
    return []


def _runs(since: int, problems: list[str]) -> list[Run] | None:
    """Return what jobs used; None where HTCondor does not say."""
    if version() is None:
        problems.append("what jobs used is not known: there is no HTCondor on this machine")
        return None
    constraint = f'(JobStatus == 4) && (CompletionDate >= {since}) && regexp("i-[0-9a-f]+", LastRemoteHost)'
    try:
        return parse_runs(
            queue.read_ads(["condor_history", "-json", "-attributes", ",".join(HISTORY), "-constraint", constraint])
        )
    except UserError as error:
        problems.append(f"what jobs used is not known: {error}")
        return None


def _print(screen: Screen, result: Costs) -> None:
    for problem in result.problems:
        screen.fail(problem)
    if result.total is None:
        screen.say(f"No machine is known since {result.since:%Y-%m-%d}.")
        return
    rows = [*result.rows, *([result.total] if len(result.rows) > 1 else [])]
    screen.table([Column(result.by.upper()), *COLUMNS], [_row(cost) for cost in rows])
    unseen = (
        f" {result.unseen_machines} of the machines ended unseen, and count until their leases' ends."
        if result.unseen_machines
        else ""
    )
    screen.say(
        f"An estimate since {result.since:%Y-%m-%d %H:%M} UTC: spot machines at today's price, with disks and "
        f"addresses, without transfers and taxes.{unseen} AWS's bill decides."
    )


def _row(cost: Cost) -> list[str]:
    hours = (cost.core_hours, cost.job_core_hours, cost.spot_core_hours, cost.idle_core_hours)
    dollars = (cost.dollars, cost.dollars_most)
    return [
        cost.name,
        str(cost.machines),
        f"{cost.machine_hours:.1f}",
        *("unknown" if value is None else f"{value:.1f}" for value in hours),
        *("unknown" if value is None else f"{value:.2f}" for value in dollars),
    ]


command = Command(
    "costs",
    costs,
    click.Option(
        ["--by"],
        type=click.Choice([each.value for each in By]),
        default=By.OWNER.value,
        show_default=True,
        help="What the rows are put together by.",
    ),
    click.Option(["--since"], default="30d", show_default=True, metavar="DURATION", help="How far back to look."),
    *MANY_REGIONS,
    CONFIG,
    *OUTPUT,
    help="""Estimate what machines have cost, and how many of their core hours jobs used.

    From EC2, and for machines that are gone from the record beside the pool's configuration. JOBS are core hours of
    jobs that are done, SPOT those lost on machines that AWS took back, IDLE the rest of machines that have ended.
    """,
)
