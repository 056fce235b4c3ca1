"""``start``: start machines for an annex, with a lease before the first of them."""

from __future__ import annotations

import getpass
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

import click

from annex_bootstrap.annexes import starting
from annex_bootstrap.annexes.joining import Pool, check_reachable, find_pool
from annex_bootstrap.annexes.planning import Plan, find_stack, make_plan
from annex_bootstrap.annexes.requests import Annex, Request, find_request
from annex_bootstrap.annexes.starting import Outcome
from annex_bootstrap.aws import Account, in_background
from annex_bootstrap.console.command import OUTPUT, Command
from annex_bootstrap.console.result import Result
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import AwsError, UserError
from annex_bootstrap.machines.capacity import Capacity
from annex_bootstrap.machines.instance_types import MIB_PER_GIB, InstanceType
from annex_bootstrap.machines.quotas import increase_command
from annex_bootstrap.options import MANY_REGIONS, YES, complete_annex, parse_memory
from annex_bootstrap.pool.collector import private_schedds
from annex_bootstrap.stack.read import Stack
from annex_bootstrap.target import Target
from annex_bootstrap.times import clock, parse_duration
from annex_contract.lease import ANNEX_ID_LENGTH
from annex_contract.stack import sweep_rule_name

MOST_NAMES = 6
"""Instance types that the preview names."""

QUOTA_CODES = ("VcpuLimitExceeded", "MaxSpotInstanceCountExceeded")
"""AWS's error codes for a quota of vCPUs:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html"""

_NAME = re.compile(rf"[A-Za-z0-9._-]{{1,{ANNEX_ID_LENGTH}}}")
_USER = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class RegionPlan:
    """What would be started in one region.

    Attributes:
        region: where.
        machines_least: by the type that AWS chooses.
        machines_most: by the type that AWS chooses.
        vcpus_most: by the type that AWS chooses.
        types: that AWS may choose from.
        dollars_per_hour_most: never more than that; None where a price is unknown.
        lease_expiration: when the annex would end.
        adds: whether the annex runs already.
        image: that the machines start from.
    """

    region: str
    machines_least: int
    machines_most: int
    vcpus_most: int
    types: tuple[str, ...]
    dollars_per_hour_most: Decimal | None
    lease_expiration: datetime
    adds: bool
    image: str


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
        types: how many machines of each instance type started.
        shortfalls: why no more came: AWS's error codes, each with one of its messages.
        lease_expiration: when the request asks the annex to end; None where nothing was to be started.
    """

    annex: str
    plans: tuple[RegionPlan, ...]
    started: int = 0
    region: str | None = None
    request: str | None = None
    types: Mapping[str, int] | None = None
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
    duration: str = "8h",
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
        duration: how long the lease lasts from now, such as ``8h``.
        idle: how long a machine without a job waits before it shuts down, such as ``15m``.
        owner: whose jobs the machines run; empty for those of the user of this process.
        everybody: whether they run everybody's jobs.
        collector: ``host`` or ``host:port`` of the pool's collector; empty to ask HTCondor.
        skip_pool_check: whether not to check that AWS reaches the pool.
        dry_run: only show what would be started.
        yes: go ahead without asking.

    Raises:
        click.UsageError: options that exclude each other.
        UserError: something that a machine needs is missing, AWS refused, or nothing started.
    """
    if (count is None) == (cores is None):
        raise click.UsageError("give either --count or --cores")
    if cores is not None and types:
        raise click.UsageError("--type goes with --count: with --cores, AWS chooses the types")
    capacity = Capacity(count or 0, cores or 0, memory_per_core, types, spot)
    seconds, idle_seconds = parse_duration(duration), parse_duration(idle)
    _check_name(name, target.stack_name)
    user = _user(owner)
    annex = Annex(name, "" if everybody else user, idle_seconds, int(time.time()) + seconds)
    places = [(account, find_stack(account, target.stack_name)) for account in target.connect_all()]
    for account, stack in places:
        earlier = find_request(account.account_id, account.region, name)
        if earlier is not None and _finishes(screen, earlier, dry_run=dry_run, yes=yes):
            pool = find_pool(collector, earlier.annex.owner or user, earlier.annex.expiration - int(time.time()))
            return _report(screen, target, earlier, _run(account, stack, earlier, pool), ())
    pool = find_pool(collector, user, seconds)
    # The function that asks the pool starts cold, so the plans are made meanwhile.
    checks = [
        in_background(partial(check_reachable, account.lambda_, stack, pool))
        for account, stack in places
        if not skip_pool_check
    ]
    plans = [make_plan(account, stack, annex, capacity) for account, stack in places]
    for check in checks:
        check.result()
    for plan in plans:
        _show(screen, plan, pool)
    _warn_of_private_schedds(screen, pool)
    if dry_run or not (yes or screen.confirm("Start them?", default=False)):
        screen.say("Nothing was started.")
        return StartResult(name, tuple(map(_summary, plans)))
    return _carry_out(screen, target, plans, pool)


def _check_name(name: str, stack_name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name!r} cannot name an annex: use at most {ANNEX_ID_LENGTH} letters, digits, points, hyphens and "
            "underscores"
        )
    if name.startswith(sweep_rule_name(stack_name).rpartition("-")[0] + "-"):
        raise UserError(f"an annex's name cannot begin with that of the stack, {stack_name}-: choose another name")


def _user(owner: str) -> str:
    """Return whose jobs the machines run, where they do not run everybody's."""
    if os.geteuid() == 0 and not owner:
        raise UserError("root cannot own jobs: add --owner USER")
    user = owner or getpass.getuser()
    if not _USER.fullmatch(user):
        raise UserError(f"{user!r} is not a user name: give --owner the name that condor_q shows under OWNER")
    return user


def _finishes(screen: Screen, earlier: Request, *, dry_run: bool, yes: bool) -> bool:
    """Return whether an interrupted request is to be finished; forget it where it is not."""
    if earlier.annex.expiration <= time.time():
        earlier.forget()
        return False
    screen.say(
        f"An earlier start of {earlier.annex.name} in {earlier.region} was interrupted: {earlier.capacity}, until "
        f"{clock(earlier.annex.expiration)}. Some of its machines may already be running."
    )
    if dry_run:
        return False
    if yes or screen.confirm("Finish that one instead of starting more?", default=True):
        return True
    earlier.forget()
    return False


def _carry_out(screen: Screen, target: Target, plans: Sequence[Plan], pool: Pool) -> StartResult:
    for plan, following in zip(plans, [*plans[1:], None], strict=True):
        outcome = _run(plan.account, plan.stack, plan.request, pool)
        if outcome.count or following is None:
            return _report(screen, target, plan.request, outcome, plans)
        screen.say(f"{plan.account.region} has none: {_reasons(outcome)}. Trying {following.account.region}.")
    raise AssertionError("there is always a plan")


def _run(account: Account, stack: Stack, request: Request, pool: Pool) -> Outcome:
    try:
        return starting.carry_out(account, stack.outputs, request, pool)
    except AwsError as error:
        if error.code in QUOTA_CODES:
            raise UserError(f"{error}. {_more_quota(request)}") from error
        raise


def _more_quota(request: Request) -> str:
    return f"Ask AWS for more with {increase_command(request.region, 'NUMBER', spot=request.capacity.spot)}"


def _reasons(outcome: Outcome) -> str:
    return "; ".join(f"{code}: {message.rstrip('.')}" for code, message in outcome.shortfalls.items()) or "no reason"


def _report(screen: Screen, target: Target, request: Request, outcome: Outcome, plans: Sequence[Plan]) -> StartResult:
    """Say what started.

    Raises:
        UserError: nothing did.
    """
    annex, capacity = request.annex.name, request.capacity
    quota = f" {_more_quota(request)}" if any(code in QUOTA_CODES for code in outcome.shortfalls) else ""
    if not outcome.count:
        raise UserError(f"no machine started in {request.region}: {_reasons(outcome)}.{quota}".rstrip("."))
    listed = ", ".join(f"{count} {name}" for name, count in sorted(outcome.machines.items()))
    screen.say(f"Started {listed} in {request.region} for the annex {annex}.")
    sizes = {machine.name: machine.vcpus for plan in plans for machine in plan.machines}
    came = capacity.reached(outcome.machines, sizes)
    if outcome.shortfalls and came is not None and came < capacity.target:
        screen.say(f"That is {came} of {capacity.target} {capacity.unit}: {_reasons(outcome)}.{quota}")
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
        tuple(map(_summary, plans)),
        outcome.count,
        request.region,
        request.request_id,
        outcome.machines,
        outcome.shortfalls,
        datetime.fromtimestamp(request.annex.expiration, UTC),
    )


def _show(screen: Screen, plan: Plan, pool: Pool) -> None:
    annex, capacity = plan.request.annex, plan.request.capacity
    least, most = plan.estimate.machines
    names = ", ".join(_sized(machine) for machine in plan.machines[:MOST_NAMES])
    more = f" and {len(plan.machines) - MOST_NAMES} more" if len(plan.machines) > MOST_NAMES else ""
    screen.item("Annex", [f"{annex.name} in {plan.account.region}, {capacity.market}"])
    if plan.lease is not None:
        running = "1 machine, which runs" if plan.running == 1 else f"{plan.running} machines, which run"
        screen.item("Adds to", [f"{running} until {clock(plan.lease.expiration or 0)}"])
    number = str(least) if least == most else f"{least} to {most}"
    screen.item("Machines", [f"{number}, at most {plan.estimate.vcpus} cores; {plan.quota or 'quota not known'}"])
    screen.item("Types", [f"{names}{more}"])
    screen.item("Price", [_price(plan)])
    idle = f"machines without a job for {annex.idle // 60} minutes shut down earlier"
    screen.item("Lease", [f"until {clock(plan.expiration)}; {idle}"])
    screen.item("Image", [f"{plan.image.image_id}, HTCondor {plan.image.condor}"])
    screen.item("Pool", [f"{pool.address}; the machines join as {pool.identity}"])
    # An access point since 24.11 gives a job with the name only machines with the token of the job's owner.
    named = f'+TargetAnnexName = "{annex.name}"'
    whose = f"of {annex.owner} that say {named}" if annex.owner else "of everybody that say +MayUseAWS = True"
    screen.say(f"Jobs     {whose}")
    screen.say(f'         and requirements = TARGET.AnnexName == "{annex.name}"')
    if plan.unpriced:
        screen.fail(f"no prices: {plan.unpriced}")
    screen.say()


def _warn_of_private_schedds(screen: Screen, pool: Pool) -> None:
    for name, address in private_schedds(pool.address):
        screen.fail(
            f"the access point {name} has the private address {address}: machines on AWS cannot reach it, and no job "
            "will start unless their network reaches yours"
        )


def _price(plan: Plan) -> str:
    cheapest, dearest = plan.estimate.cheapest, plan.estimate.dearest
    if dearest is None:
        return "unknown" if cheapest is None else f"from ${cheapest:.2f}/hour"
    hours = Decimal(plan.expiration - plan.began) / 3600
    per_hour = f"${dearest:.2f}/hour" if cheapest == dearest else f"${cheapest:.2f} to ${dearest:.2f}/hour"
    return f"{per_hour}, at most ${dearest * hours:.2f} until the lease ends"


def _sized(machine: InstanceType) -> str:
    return f"{machine.name} ({machine.vcpus} cores, {machine.memory / MIB_PER_GIB:.4g} GiB)"


def _summary(plan: Plan) -> RegionPlan:
    least, most = plan.estimate.machines
    return RegionPlan(
        region=plan.account.region,
        machines_least=least,
        machines_most=most,
        vcpus_most=plan.estimate.vcpus,
        types=tuple(machine.name for machine in plan.machines),
        dollars_per_hour_most=plan.estimate.dearest,
        lease_expiration=datetime.fromtimestamp(plan.expiration, UTC),
        adds=plan.lease is not None,
        image=plan.image.image_id,
    )


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
    click.Option(["--spot"], is_flag=True, help="Spot machines: cheaper, and AWS may take them back."),
    click.Option(
        ["--duration"], default="8h", show_default=True, help="How long the lease lasts, such as 8h or 1d12h."
    ),
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
