"""``start``: start machines for an annex, with a lease before the first of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import TypeVar

import click

from annex_bootstrap.advice import DENIED, NO_SPOT_ROLE, advise
from annex_bootstrap.annexes import starting
from annex_bootstrap.annexes.joining import NO_POOL, Pool, check_reachable, find_pool
from annex_bootstrap.annexes.planning import Plan, find_stack, make_plan
from annex_bootstrap.annexes.preview import RegionPlan, preview, summary, warnings
from annex_bootstrap.annexes.requests import USER, Annex, Request, find_requests, name_problem
from annex_bootstrap.annexes.rights import find_refusal
from annex_bootstrap.annexes.starting import Outcome, check_lease_function
from annex_bootstrap.aws import Account, in_background
from annex_bootstrap.console.command import OUTPUT, Command
from annex_bootstrap.console.result import Result
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import AwsError, CommandLineError, DeniedError, UnavailableError, UserError
from annex_bootstrap.growth.record import Record
from annex_bootstrap.local_user import user_name
from annex_bootstrap.machines.capacity import Capacity
from annex_bootstrap.machines.instance_types import MIB_PER_GIB
from annex_bootstrap.machines.quotas import increase_command
from annex_bootstrap.machines.tags import parse_tags
from annex_bootstrap.options import MACHINE_TAGS, MANY_REGIONS, YES, complete_annex, parse_dollars, parse_memory
from annex_bootstrap.policies.starters import with_commands
from annex_bootstrap.pool.collector import private_schedds
from annex_bootstrap.pool.config_file import find_file
from annex_bootstrap.pool.htcondor import version
from annex_bootstrap.stack.read import Stack
from annex_bootstrap.target import Target
from annex_bootstrap.times import clock, parse_duration
from annex_contract.image import FREE_PLAN_TYPES, is_free_plan
from annex_contract.stack import Output

QUOTA_CODES = ("VcpuLimitExceeded", "MaxSpotInstanceCountExceeded")
"""AWS's error codes for a quota of vCPUs:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html"""

Made = TypeVar("Made")


@dataclass(frozen=True)
class StartResult(Result):
    """What was started.

    Attributes:
        annex: its name.
        plans: what the preview showed, for each region in the order in which they are tried; none where an
            interrupted request was finished.
        started: how many machines.
        region: where they started; None where nothing was to be started.
        request: its ID, a tag of the machines; None where nothing was to be started.
        machines_by_type: how many machines of each instance type started.
        shortfalls: why no more came: AWS's error codes, each with one of its messages.
        lease_expiration: when the request asks the annex to end; None where nothing was to be started.
    """

    annex: str
    plans: tuple[RegionPlan, ...]
    started: int = 0
    region: str | None = None
    request: str | None = None
    machines_by_type: Mapping[str, int] | None = None
    shortfalls: Mapping[str, str] | None = None
    lease_expiration: datetime | None = None


def start(
    screen: Screen,
    target: Target,
    name: str,
    *,
    count: int | None = None,
    cores: int | None = None,
    memory_per_core: int = 2 * MIB_PER_GIB,
    types: tuple[str, ...] = (),
    spot: bool = False,
    subnet_ids: tuple[str, ...] = (),
    duration: str = "8h",
    max_dollars: Decimal | None = None,
    tags: tuple[str, ...] = (),
    idle: str = "15m",
    owner: str = "",
    everybody: bool = False,
    collector: str = "",
    skip_pool_check: bool = False,
    dry_run: bool = False,
    yes: bool = False,
) -> StartResult:
    """Start machines for an annex, or add some to one that runs.

    Args:
        screen: where to print and ask.
        target: the stack; with several regions, the next one is tried where one has no machine.
        name: of the annex.
        count: machines; None with ``cores``.
        cores: vCPUs in all, of whatever types; None with ``count``.
        memory_per_core: MiB.
        types: instance types; empty for the stack's own.
        spot: whether to start spot machines.
        subnet_ids: of the subnets to start in, with one region; empty for the stack's, else one of each zone.
        duration: how long the lease lasts from now, such as ``8h``.
        max_dollars: that the annex may spend in all; None for what its lease says, if it says so.
        tags: ``KEY=VALUE``, of the machines, their disks, network interfaces and the fleet.
        idle: how long a machine without a job waits before it shuts down, such as ``15m``.
        owner: whose jobs the machines run; empty for those of the user of this process.
        everybody: whether they run everybody's jobs.
        collector: ``host`` or ``host:port`` of the pool's collector; empty to ask HTCondor.
        skip_pool_check: whether not to check that AWS reaches the pool.
        dry_run: only show what would be started, also on a machine without HTCondor.
        yes: go ahead without asking.

    Raises:
        click.UsageError: options that exclude each other.
        UserError: something that a machine needs is missing, AWS refused, or nothing started.
    """
    if (count is None) == (cores is None):
        raise click.UsageError("give either --count or --cores")
    if cores is not None and types:
        raise click.UsageError("--type goes with --count: with --cores, types are chosen by price")
    if subnet_ids and len(target.regions) > 1:
        raise click.UsageError("--subnet goes with one --region: a subnet is in one region")
    capacity = Capacity(count or 0, cores or 0, memory_per_core, types, spot)
    given = parse_tags(tags)
    seconds, idle_seconds = parse_duration(duration), parse_duration(idle)
    if misnamed := name_problem(name):
        raise CommandLineError(misnamed)
    user = _user(owner)
    annex = Annex(name, "" if everybody else user, idle_seconds, int(time.time()) + seconds)
    accounts = target.connect_all()
    places, problems = _each(
        [account.region for account in accounts],
        lambda place: (accounts[place], find_stack(accounts[place], target.stack_name)),
    )
    for account, stack in places:
        for earlier in find_requests(account.account_id, account.region, name):
            if _finishes(screen, stack, earlier, max_dollars, dry_run=dry_run, yes=yes):
                pool = find_pool(collector, earlier.annex.owner or user, earlier.annex.expiration - int(time.time()))
                return _carry_out(screen, target, [(account, stack, earlier)], pool)
    # A dry run also goes where nothing can be started.
    pool = NO_POOL if dry_run and version() is None else find_pool(collector, user, seconds)

    def plan(place: int) -> Plan:
        account, stack = places[place]
        # Made before, since making clients is not safe in threads.
        functions = account.lambda_
        # The functions start cold, so the plan is made meanwhile.
        checks = [in_background(partial(check_lease_function, account, stack.outputs, name))]
        if not skip_pool_check and pool.collectors:
            checks.append(in_background(partial(check_reachable, functions, stack, pool)))
        made = make_plan(account, stack, annex, capacity, subnet_ids, dollars=max_dollars, tags=given)
        for check in checks:
            check.result()
        return made

    plans, more = _each([account.region for account, _ in places], plan)
    for region, problem in (problems | more).items():
        screen.fail(f"{region} is left out: {problem}")
    plans = _with_money(screen, name, plans)
    for made in plans:
        for head, lines in preview(made, pool):
            screen.item(head, lines)
        for warning in warnings(made.subnets, made.unpriced):
            screen.fail(warning)
        screen.say()
    for schedd, address in private_schedds(pool.address) if pool.collectors else ():
        screen.fail(
            f"the access point {schedd} has the private address {address}: machines on AWS cannot reach it, and no job "
            "will start unless their network reaches yours"
        )
    if dry_run:
        for made in plans:
            _check_right(screen, made)
    if dry_run or not (yes or screen.confirm("Start them?", default=False)):
        screen.say("Nothing was started.")
        return StartResult(name, tuple(map(summary, plans)))
    return _carry_out(screen, target, [(made.account, made.stack, made.request) for made in plans], pool, plans)


def _each(regions: Sequence[str], do: Callable[[int], Made]) -> tuple[list[Made], dict[str, UserError]]:
    """Do something in every region, and return what came of it, and why the regions that cannot do it cannot.

    Args:
        regions: where.
        do: takes the place of the region in that list.

    Raises:
        UserError: it is the same everywhere, or none of the regions can do it.
    """
    made, problems = [], dict[str, UserError]()
    for place, region in enumerate(regions):
        try:
            made.append(do(place))
        except UnavailableError as error:
            problems[region] = error
    if not made:
        if len(problems) == 1:
            raise next(iter(problems.values()))
        raise UserError("; ".join(f"{region}: {problem}" for region, problem in problems.items()))
    return made, problems


def _check_right(screen: Screen, plan: Plan) -> None:
    """Check that the caller may start machines. Not before a real start, which AWS refuses by itself.

    Raises:
        UserError: they may not.
    """
    refusal = find_refusal(plan.account, plan.stack)
    if isinstance(refusal, DeniedError):
        raise UserError(with_commands(str(refusal), plan.account, plan.stack))
    if refusal is not None:
        screen.fail(f"whether you may start machines in {plan.account.region} is not known: {refusal}")


def _with_money(screen: Screen, name: str, plans: list[Plan]) -> list[Plan]:
    """Return the plans that an annex's money allows: it is counted in one region.

    Raises:
        UserError: the annex runs in several regions already.
    """
    held = [made for made in plans if made.lease is not None]
    if len(plans) < 2 or not held or all(made.limit is None for made in plans):
        return plans
    regions = ", ".join(made.account.region for made in held)
    if len(held) > 1:
        raise UserError(f"{name} runs in {regions}, and money is counted in one region: give --region one of them")
    screen.say(f"{name} runs in {regions}, and its money is counted there, so nothing starts elsewhere.")
    return held


def _user(owner: str) -> str:
    """Return whose jobs the machines run, where they do not run everybody's."""
    if os.geteuid() == 0 and not owner:
        raise CommandLineError("root cannot own jobs: add --owner USER")
    user = owner or user_name()
    if not USER.fullmatch(user):
        raise CommandLineError(f"{user!r} is not a user name: give --owner the name that condor_q shows under OWNER")
    return user


def _finishes(
    screen: Screen, stack: Stack, earlier: Request, max_dollars: Decimal | None, *, dry_run: bool, yes: bool
) -> bool:
    """Return whether a request is to be finished; forget an interrupted one that is not, or cannot be."""
    if earlier.annex.expiration <= time.time():
        earlier.forget()
        return False
    if earlier.is_alive():
        # Another start of the same annex, which adds its own machines.
        return False
    now = stack.outputs[Output.LAUNCH_TEMPLATE_VERSION]
    configs = earlier.fleet.get("LaunchTemplateConfigs", [])
    if any(config["LaunchTemplateSpecification"]["Version"] != now for config in configs):
        screen.say(
            f"An earlier start of {earlier.annex.name} was interrupted before the stack was updated, so it cannot be "
            "finished; machines that it started end with their lease."
        )
        earlier.forget()
        return False
    screen.say(
        f"An earlier start of {earlier.annex.name} in {earlier.region} was interrupted: {earlier.capacity}, until "
        f"{clock(earlier.annex.expiration)}. Some of its machines may already be running."
    )
    if dry_run:
        return False
    if max_dollars is not None and max_dollars != Decimal((earlier.annex.money or {}).get("Dollars", "0")):
        screen.say("It had another sum of money, so it is not finished; what it started is counted.")
        earlier.forget()
        return False
    if yes or screen.confirm("Finish that one instead of starting more?", default=True):
        return True
    earlier.forget()
    return False


def _carry_out(
    screen: Screen,
    target: Target,
    requests: Sequence[tuple[Account, Stack, Request]],
    pool: Pool,
    plans: Sequence[Plan] = (),
) -> StartResult:
    """Carry out the first of the requests that brings a machine."""
    for (account, stack, request), following in zip(requests, [*requests[1:], None], strict=True):
        try:
            outcome = starting.carry_out(account, stack, request, pool)
        except AwsError as error:
            advice = _advice({error.code: error.reason}, request)
            problem = f"{error}.{advice}" if advice else str(error)
            problem = with_commands(problem, account, stack)
            if following is None:
                raise UnavailableError(problem) from error
        except UnavailableError as error:
            if following is None:
                raise
            problem = str(error)
        else:
            if outcome.count or following is None:
                return _report(screen, target, (account, stack, request), outcome, plans)
            problem = _reasons(outcome)
        screen.say(f"{account.region} has none: {problem}. Trying {following[0].region}.")
    raise AssertionError("there is always a request")


def _advice(shortfalls: Mapping[str, str], request: Request) -> str:
    """Return what to do about AWS's reasons to start no more machines, as sentences after a blank; else nothing."""
    spot = request.capacity.spot
    advice = []
    for code, message in shortfalls.items():
        if code in QUOTA_CODES:
            advice.append(f"Ask AWS for more with {increase_command(request.region, 'NUMBER', spot=spot)}")
        elif code == "PendingVerification":
            advice.append("AWS is verifying the account in this region: try again in some minutes, at most four hours")
        elif code == NO_SPOT_ROLE or code in DENIED:
            sentence = advise(code, message)
            advice.append(sentence[0].upper() + sentence[1:])
        elif is_free_plan(message):
            types = ", ".join(name for names in FREE_PLAN_TYPES.values() for name in names)
            advice.append(f"The account's free plan has few types: use --count with --type and one of {types}")
        elif code == "Client.InternalError":
            advice.append(
                "The usual cause is an encryption key that may not be used: annex-bootstrap doctor checks the stack's; "
                "one of an earlier version takes the account's default key until annex-bootstrap deploy updates it"
            )
    return "".join(f" {sentence}." for sentence in dict.fromkeys(advice)).removesuffix(".")


def _reasons(outcome: Outcome) -> str:
    return "; ".join(f"{code}: {message.rstrip('.')}" for code, message in outcome.shortfalls.items()) or "no reason"


def _report(
    screen: Screen,
    target: Target,
    asked: tuple[Account, Stack, Request],
    outcome: Outcome,
    plans: Sequence[Plan],
) -> StartResult:
    """Say what started.

    Raises:
        UserError: nothing did.
    """
    account, stack, request = asked
    annex, capacity = request.annex.name, request.capacity
    _note(screen, target, request, outcome, plans)
    advice = _advice(outcome.shortfalls, request)
    if not outcome.count:
        problem = f"no machine started in {request.region}: {_reasons(outcome)}.{advice}".rstrip(".")
        raise UserError(with_commands(problem, account, stack))
    listed = ", ".join(f"{count} {name}" for name, count in sorted(outcome.machines.items()))
    screen.say(f"Started {listed} in {request.region} for the annex {annex}.")
    came = outcome.count * request.weight
    if outcome.shortfalls and came < capacity.target:
        screen.say(f"That is {came} of {capacity.target} {capacity.unit}: {_reasons(outcome)}.{advice}")
    if capacity.spot:
        screen.say("When AWS takes a spot machine back, HTCondor runs its jobs again elsewhere.")
    where = target.at(request.region) if target.regions else target
    screen.next_steps(
        {
            where.command(f"watch {annex}"): "see the machines join",
            where.command(f"leases end {annex}"): "end it early",
        }
    )
    return StartResult(
        annex,
        tuple(map(summary, plans)),
        outcome.count,
        request.region,
        request.request_id,
        outcome.machines,
        outcome.shortfalls,
        datetime.fromtimestamp(request.annex.expiration, UTC),
    )


def _note(screen: Screen, target: Target, request: Request, outcome: Outcome, plans: Sequence[Plan]) -> None:
    """Write the machines into the record, from which ``costs`` tells what they cost once they are gone."""
    costs = next((plan.costs for plan in plans if plan.request is request), {})
    try:
        Record.beside(find_file(target.config)).add_all(
            "machine",
            [
                {
                    "id": instance_id,
                    "annex": request.annex.name,
                    "owner": request.annex.owner,
                    "region": request.region,
                    "type": kind,
                    "spot": request.capacity.spot,
                    "launched": int(time.time()),
                    "most": str(costs[kind]) if kind in costs else None,
                    "request": request.request_id,
                    "expiration": request.annex.expiration,
                    "by": "start",
                }
                for instance_id, kind in outcome.ids.items()
            ],
        )
    except UserError as error:
        screen.fail(f"what these machines cost will not be known once they are gone: {error}")


command = Command(
    "start",
    start,
    click.Argument(["name"], shell_complete=complete_annex),
    click.Option(["--count"], type=click.IntRange(1), help="How many machines."),
    click.Option(["--cores"], type=click.IntRange(1), help="How many cores (vCPUs) in all, of any types."),
    click.Option(
        ["--memory-per-core"],
        default="2G",
        show_default=True,
        metavar="SIZE",
        callback=parse_memory,
        help="Least memory for each core, with --cores.",
    ),
    click.Option(["--type", "types"], multiple=True, metavar="TYPE", help="Instance type, with --count; repeatable."),
    click.Option(
        ["--subnet", "subnet_ids"],
        multiple=True,
        metavar="ID",
        help="Subnet; repeatable. Default: the stack's, else one of each zone.",
    ),
    click.Option(["--spot"], is_flag=True, help="Spot machines: cheaper, and AWS may take them back."),
    click.Option(
        ["--duration"], default="8h", show_default=True, help="How long the lease lasts, such as 8h or 1d12h."
    ),
    click.Option(
        ["--max-dollars"],
        metavar="DOLLARS",
        callback=parse_dollars,
        help="What the annex may spend in all: its lease ends before that.",
    ),
    MACHINE_TAGS,
    click.Option(["--idle"], default="15m", show_default=True, help="Shut down machines that are idle this long."),
    click.Option(["--owner"], default="", metavar="USER", help="Whose jobs the machines run. Default: yours."),
    click.Option(["--open", "everybody"], is_flag=True, help="Run everybody's jobs."),
    click.Option(["--collector"], default="", metavar="HOST[:PORT]", help="The pool's collector, as AWS reaches it."),
    click.Option(["--skip-pool-check"], is_flag=True, help="Do not check that AWS reaches the pool."),
    click.Option(["--dry-run"], is_flag=True, help="Only show what would be started."),
    YES,
    *MANY_REGIONS,
    *OUTPUT,
    help="""Start machines for the annex NAME, or add some to it. They join this machine's pool.

    Shows what starts, where and at what price, and asks. The machines have a lease before the first of them starts.
    With several regions, the next one is tried where one has no machine.
    """,
)
