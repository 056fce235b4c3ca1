"""``start``: start machines for an annex, with a lease before the first of them."""

from __future__ import annotations

import getpass
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from annex_bootstrap.annexes import starting
from annex_bootstrap.annexes.joining import Pool, check_reachable, find_pool
from annex_bootstrap.annexes.planning import Annex, Plan, find_stack, make_plan
from annex_bootstrap.annexes.requests import Request, find_request
from annex_bootstrap.annexes.starting import Outcome, UncertainError
from annex_bootstrap.aws import Account, connect_all, in_background
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError
from annex_bootstrap.machines.capacity import Wanted
from annex_bootstrap.machines.instance_types import MIB_A_GIB, InstanceType
from annex_bootstrap.machines.quotas import increase_command
from annex_bootstrap.pool.collector import private_schedds
from annex_bootstrap.pool.machine_config import MachineConfig
from annex_bootstrap.stack.read import Stack
from annex_bootstrap.target import our_command
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
class StartOptions:
    """The options of ``start``.

    Attributes:
        name: of the annex.
        stack_name: the stack's name.
        regions: where, in the order in which to try them; empty for the one that the environment or the profile names.
        profile: the AWS profile, or None for the environment's.
        wanted: what to start; without a type, the stack's own is taken.
        duration: how long the lease is to last from now, such as ``8h``.
        idle: seconds without a job after which a machine goes, such as ``15m``.
        owner: whose jobs the machines run; empty for those of the user of this process.
        everybody: whether they run everybody's jobs.
        collector: ``host`` or ``host:port`` of the pool's collector; empty to ask HTCondor.
        check_pool: whether to check that AWS reaches the pool.
        dry_run: only show what would be done.
        yes: go ahead without asking.
    """

    name: str
    stack_name: str
    regions: Sequence[str]
    profile: str | None
    wanted: Wanted
    duration: str
    idle: str
    owner: str
    everybody: bool
    collector: str
    check_pool: bool
    dry_run: bool
    yes: bool


def start(options: StartOptions, screen: Screen) -> None:
    """Start machines for an annex, or add some to one that runs.

    Raises:
        UserError: something that a machine needs is missing, AWS refused, or nothing started.
    """
    seconds, idle = parse_duration(options.duration), parse_duration(options.idle)
    _check_name(options)
    owner, own = _owner(options)
    accounts = connect_all(options.regions, options.profile)
    stacks = [find_stack(account, options.stack_name) for account in accounts]
    left = next(filter(None, (find_request(a.account_id, a.region, options.name) for a in accounts)), None)
    if left is not None and _finishes(left, options, screen):
        place = [account.region for account in accounts].index(left.region)
        _finish(left, accounts[place], stacks[place], options, own, screen)
        return
    pool = find_pool(options.collector, owner, seconds, own=own)
    annex = Annex(options.name, "" if options.everybody else owner, seconds, idle)
    places = list(zip(accounts, stacks, strict=True))
    # The function that asks the pool starts cold, so the plans are made meanwhile.
    asked = [
        in_background(partial(check_reachable, account.lambda_, stack, pool))
        for account, stack in places
        if options.check_pool
    ]
    plans = [make_plan(account, stack, annex, options.wanted) for account, stack in places]
    for reached in asked:
        reached.result()
    _show(plans, options, pool, screen)
    if options.dry_run:
        screen.say("Nothing was started.")
        screen.document({"annex": options.name, "started": 0, "plans": [_document(plan) for plan in plans]})
        return
    if not (options.yes or screen.confirm("Start them?", default=False)):
        screen.say("Nothing was started.")
        screen.document({"annex": options.name, "started": 0, "plans": []})
        return
    _carry_out(plans, pool, options, screen)


def _check_name(options: StartOptions) -> None:
    name = options.name
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name!r} cannot name an annex: use at most {ANNEX_ID_LENGTH} letters, digits, points, hyphens and "
            "underscores"
        )
    if name.startswith(sweep_rule_name(options.stack_name).rpartition("-")[0] + "-"):
        raise UserError(f"an annex's name cannot begin with that of the stack, {options.stack_name}-: give another one")


def _owner(options: StartOptions) -> tuple[str, bool]:
    """Return whose jobs the machines run, and whether that is the user of this process."""
    user = getpass.getuser()
    owner = options.owner or user
    if os.geteuid() == 0 and not options.owner:
        raise UserError("root has no jobs: say with --owner whose jobs the machines are for")
    if not _USER.fullmatch(owner):
        raise UserError(f"{owner!r} is no user's name: give --owner the name that condor_q shows under OWNER")
    return owner, owner == user


def _finishes(left: Request, options: StartOptions, screen: Screen) -> bool:
    """Return whether an interrupted request is to be finished; forget it where it is not."""
    if left.expiration <= time.time():
        left.forget()
        return False
    screen.say(
        f"An earlier start of {left.annex_id} in {left.region} was interrupted: {left.summary}, until "
        f"{clock(left.expiration)}. Some of its machines may run already."
    )
    if options.dry_run:
        return False
    if options.yes or screen.confirm("Finish that one instead of starting more?", default=True):
        return True
    left.forget()
    return False


def _finish(left: Request, account: Account, stack: Stack, options: StartOptions, own: bool, screen: Screen) -> None:
    owner = left.owner or _owner(options)[0]
    seconds = left.expiration - int(time.time())
    pool = find_pool(options.collector, owner, seconds, own=own or not left.owner)
    _report(_run(account, stack, left, pool), left, [], options, screen)


def _carry_out(plans: Sequence[Plan], pool: Pool, options: StartOptions, screen: Screen) -> None:
    for place, plan in enumerate(plans):
        outcome = _run(plan.account, plan.stack, plan.request, pool)
        if outcome.count or place == len(plans) - 1:
            _report(outcome, plan.request, plan.machines, options, screen)
            return
        screen.say(f"{plan.account.region} has none: {_reasons(outcome)}. Trying {plans[place + 1].account.region}.")


def _run(account: Account, stack: Stack, request: Request, pool: Pool) -> Outcome:
    config = MachineConfig(request.annex_id, pool.address, request.owner, request.idle, request.request_id)
    request.save()
    try:
        outcome = starting.carry_out(account, stack.outputs, request, config.pack(pool.token))
    except UncertainError:
        raise
    except UserError as error:
        request.forget()
        raise _explain(error, request) from error
    request.forget()
    return outcome


def _explain(error: UserError, request: Request) -> UserError:
    if any(code in str(error) for code in QUOTA_CODES):
        return UserError(f"{error}. {_more_quota(request)}")
    return error


def _more_quota(request: Request) -> str:
    spot = request.fleet["TargetCapacitySpecification"]["DefaultTargetCapacityType"] == "spot"
    return f"Ask AWS for more with {increase_command(request.region, 'NUMBER', spot=spot)}"


def _reasons(outcome: Outcome) -> str:
    return "; ".join(f"{code}: {message.rstrip('.')}" for code, message in outcome.shortfalls.items()) or "no reason"


def _report(
    outcome: Outcome, request: Request, machines: Sequence[InstanceType], options: StartOptions, screen: Screen
) -> None:
    target = request.fleet["TargetCapacitySpecification"]
    sizes = {machine.name: machine.vcpus for machine in machines}
    by_core = target.get("TargetCapacityUnitType") == "vcpu"
    came = sum(count * (sizes.get(name, 0) if by_core else 1) for name, count in outcome.machines.items())
    screen.document(
        {
            "annex": request.annex_id,
            "region": request.region,
            "request": request.request_id,
            "started": outcome.count,
            "types": dict(outcome.machines),
            "lease_expiration": request.expiration,
            "shortfalls": dict(outcome.shortfalls),
        }
    )
    quota = f" {_more_quota(request)}" if any(code in QUOTA_CODES for code in outcome.shortfalls) else ""
    if not outcome.count:
        raise UserError(f"no machine started in {request.region}: {_reasons(outcome)}.{quota}".rstrip("."))
    listed = ", ".join(f"{count} {name}" for name, count in sorted(outcome.machines.items()))
    screen.say(f"Started {listed} in {request.region} for the annex {request.annex_id}.")
    if outcome.shortfalls and (not by_core or sizes) and came < target["TotalTargetCapacity"]:
        unit = "cores" if by_core else "machines"
        screen.say(f"That is {came} of {target['TotalTargetCapacity']} {unit}: {_reasons(outcome)}.{quota}")
    if target["DefaultTargetCapacityType"] == "spot":
        screen.say("When AWS takes a spot machine back, HTCondor runs its jobs again elsewhere.")
    region = request.region if options.regions else None
    names = (options.stack_name, region, options.profile, None)
    screen.next_steps(
        {
            our_command(f"watch {request.annex_id}", *names): "see the machines join",
            our_command(f"leases end {request.annex_id}", *names): "end it early",
        }
    )


def _show(plans: Sequence[Plan], options: StartOptions, pool: Pool, screen: Screen) -> None:
    for plan in plans:
        request = plan.request
        least, most = plan.estimate.machines
        number = str(least) if least == most else f"{least} to {most}"
        kind = "spot" if options.wanted.spot else "on demand"
        names = [machine.name for machine in plan.machines]
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        until = max(request.expiration, (plan.held.expiration or 0) if plan.held else 0)
        hours = Decimal(until - request.began) / 3600
        screen.item("Annex", [f"{request.annex_id} in {plan.account.region}, {kind}"])
        if plan.held is not None:
            running = "1 machine, which runs" if plan.running == 1 else f"{plan.running} machines, which run"
            screen.item("Adds to", [f"{running} until {clock(plan.held.expiration or 0)}"])
        screen.item("Machines", [f"{number}, at most {plan.estimate.vcpus} cores; {plan.quota or 'quota not known'}"])
        screen.item("Types", [f"{', '.join(_sized(machine) for machine in plan.machines[:MOST_NAMES])}{more}"])
        screen.item("Price", [f"{_price(plan, hours)}"])
        screen.item("Lease", [f"until {clock(until)}; a machine without a job for {options.idle} goes earlier"])
        screen.item("Image", [f"{plan.image[0]}, HTCondor {plan.image[1]}"])
        screen.item("Pool", [f"{pool.address}; the machines join as {pool.identity}"])
        # An access point since 24.11 gives a job with the name only machines with the token of the job's owner.
        named = f'+TargetAnnexName = "{request.annex_id}"'
        whose = f"of {request.owner} that say {named}" if request.owner else "of everybody that say +MayUseAWS = True"
        screen.say(f"Jobs     {whose}")
        screen.say(f'         and requirements = TARGET.AnnexName == "{request.annex_id}"')
        if plan.unpriced:
            screen.fail(f"no prices: {plan.unpriced}")
        screen.say()
    for name, address in private_schedds(pool.address):
        screen.fail(
            f"the access point {name} has the private address {address}: machines on AWS cannot reach it, and no job "
            "will start unless their network reaches yours"
        )


def _price(plan: Plan, hours: Decimal) -> str:
    cheapest, dearest = plan.estimate.cheapest, plan.estimate.dearest
    if dearest is None:
        return "not known" if cheapest is None else f"from {cheapest:.2f} $ an hour"
    each = f"{dearest:.2f} $" if cheapest == dearest else f"{cheapest:.2f} to {dearest:.2f} $"
    return f"{each} an hour, at most {dearest * hours:.2f} $ until the lease ends"


def _sized(machine: InstanceType) -> str:
    return f"{machine.name} ({machine.vcpus} cores, {machine.memory / MIB_A_GIB:.4g} GiB)"


def _document(plan: Plan) -> dict[str, Any]:
    least, most = plan.estimate.machines
    return {
        "region": plan.account.region,
        "machines_least": least,
        "machines_most": most,
        "vcpus_most": plan.estimate.vcpus,
        "types": [machine.name for machine in plan.machines],
        "dollars_an_hour_most": None if plan.estimate.dearest is None else f"{plan.estimate.dearest:.4f}",
        "lease_expiration": plan.request.expiration,
        "adds": plan.held is not None,
        "image": plan.image[0],
    }
