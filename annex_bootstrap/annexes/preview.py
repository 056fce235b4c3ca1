"""What ``start`` shows before it asks: what would start in each region, at what price, and for whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from annex_bootstrap.annexes.joining import NO_POOL, Pool
from annex_bootstrap.annexes.money import cents
from annex_bootstrap.annexes.planning import Plan
from annex_bootstrap.machines.capacity import Estimate
from annex_bootstrap.machines.instance_types import MIB_PER_GIB, InstanceType
from annex_bootstrap.machines.money import Allowance
from annex_bootstrap.machines.subnets import Subnet
from annex_bootstrap.times import clock

MOST_NAMES = 6
"""Instance types that the preview names."""


@dataclass(frozen=True)
class RegionPlan:
    """What would be started in one region.

    Attributes:
        region: where.
        machines_least: by the type that AWS chooses.
        machines_most: by the type that AWS chooses.
        vcpus_most: by the type that AWS chooses.
        types: that AWS may choose from.
        dollars_per_hour_most: never more than that, disks and addresses included; None where a price is unknown.
        dollars_most: the same for all the time until the lease has ended.
        lease_expiration: when the annex would end.
        subnets: in which they start.
        adds: whether the annex runs already.
        image_id: of what the machines start from.
        dollars_limit: that the annex may spend in all; None where that is not limited.
        dollars_spent_most: of them, at most, by now; None where that is not limited.
        money_end: until when they last; None where that is not limited.
    """

    region: str
    machines_least: int
    machines_most: int
    vcpus_most: int
    types: tuple[str, ...]
    dollars_per_hour_most: Decimal | None
    dollars_most: Decimal | None
    lease_expiration: datetime
    subnets: tuple[str, ...]
    adds: bool
    image_id: str
    dollars_limit: Decimal | None = None
    dollars_spent_most: Decimal | None = None
    money_end: datetime | None = None


def _pool(pool: Pool) -> str:
    if pool == NO_POOL:
        return "none, as there is no HTCondor on this machine: start on the pool's access point or central manager"
    return f"{pool.address}; the machines join as {pool.identity}"


def preview(plan: Plan, pool: Pool) -> list[tuple[str, list[str]]]:
    """Return what would start in one region, as people read it: a word and its lines for each fact."""
    annex, capacity, estimate = plan.request.annex, plan.request.capacity, plan.estimate
    least, most = estimate.machines
    number = str(least) if least == most else f"{least} to {most}"
    names = ", ".join(_sized(machine) for machine in plan.machines[:MOST_NAMES])
    more = f" and {len(plan.machines) - MOST_NAMES} more" if len(plan.machines) > MOST_NAMES else ""
    idle = f"machines without a job for {annex.idle // 60} minutes shut down earlier"
    # An access point since 24.11 gives a job with the name only machines with the token of the job's owner.
    named = f'+TargetAnnexName = "{annex.name}"'
    whose = f"of {annex.owner} that say {named}" if annex.owner else "of everybody that say +MayUseAWS = True"
    return [
        ("Annex", [f"{annex.name} in {plan.account.region}, {capacity.market}"]),
        *([("Adds to", [_running(plan)])] if plan.lease is not None else []),
        ("Machines", [f"{number}, at most {estimate.vcpus} cores; {plan.quota or 'quota not known'}"]),
        ("Types", [f"{names}{more}"]),
        ("Subnets", [", ".join(f"{subnet.subnet_id} ({subnet.zone})" for subnet in plan.subnets)]),
        ("Price", [_price(estimate, plan.most, "/hour now" if capacity.spot else "/hour")]),
        *([("Money", [_money(plan.limit, plan)])] if plan.limit is not None else []),
        ("Lease", [f"until {clock(plan.expiration)}; {idle}"]),
        ("Image", [f"{plan.image.image_id}, HTCondor {plan.image.condor}"]),
        ("Pool", [_pool(pool)]),
        ("Jobs", [whose, f'and requirements = TARGET.AnnexName == "{annex.name}"']),
    ]


def warnings(subnets: Sequence[Subnet], unpriced: str) -> list[str]:
    """Return what somebody should know before machines start in one region, each in a sentence.

    Args:
        subnets: in which they start.
        unpriced: why prices are missing; empty where they are not.
    """
    isolated = [subnet.subnet_id for subnet in subnets if subnet.way_out is False]
    which = f"the subnets {', '.join(isolated)} have" if len(isolated) > 1 else f"the subnet {''.join(isolated)} has"
    no_way_out = (
        f"{which} no way out: no route to the internet that machines there could use. They join only if the pool is "
        "reached within the VPC, and S3 there or through the stack's HttpProxy: give --subnet another one, or set the "
        "stack's SubnetIds"
    )
    return [*([no_way_out] if isolated else []), *([f"no prices: {unpriced}"] if unpriced else [])]


def _running(plan: Plan) -> str:
    until = (plan.lease.expiration or 0) if plan.lease else 0
    running = "1 machine, which runs" if plan.running == 1 else f"{plan.running} machines, which run"
    word = "then" if plan.expiration > until else "now only"
    later = f", {word} until {clock(plan.expiration)}" if plan.expiration != until else ""
    return f"{running} until {clock(until)}{later}"


def _money(limit: Allowance, plan: Plan) -> str:
    spent = f", at most ${cents(limit.spent)} of it spent" if limit.spent else ""
    ends = "so the lease ends then" if plan.expiration == plan.money_end else "and the lease ends earlier"
    return (
        f"${limit.dollars} in all{spent}; lasts until {clock(plan.money_end)}, {ends}; traffic and the stored image "
        "are not counted"
    )


def _price(estimate: Estimate, most: Decimal | None, unit: str) -> str:
    cheapest, dearest = estimate.cheapest, estimate.dearest
    if cheapest is None:
        price = "unknown"
    elif dearest is None:
        price = f"from ${cheapest:.2f}{unit}"
    else:
        price = f"${dearest:.2f}{unit}" if cheapest == dearest else f"${cheapest:.2f} to ${dearest:.2f}{unit}"
    if most is None:
        return f"{price}; at most: unknown"
    return f"{price}; at most ${cents(most)} until the lease ends, with disks and addresses"


def _sized(machine: InstanceType) -> str:
    return f"{machine.name} ({machine.vcpus} cores, {machine.memory / MIB_PER_GIB:.4g} GiB)"


def summary(plan: Plan) -> RegionPlan:
    """Return a plan as the JSON document has it."""
    least, most = plan.estimate.machines
    return RegionPlan(
        region=plan.account.region,
        machines_least=least,
        machines_most=most,
        vcpus_most=plan.estimate.vcpus,
        types=tuple(machine.name for machine in plan.machines),
        dollars_per_hour_most=plan.estimate.most,
        dollars_most=plan.most,
        lease_expiration=datetime.fromtimestamp(plan.expiration, UTC),
        subnets=tuple(subnet.subnet_id for subnet in plan.subnets),
        adds=plan.lease is not None,
        image_id=plan.image.image_id,
        dollars_limit=None if plan.limit is None else plan.limit.dollars,
        dollars_spent_most=None if plan.limit is None else plan.limit.spent,
        money_end=None if plan.limit is None else datetime.fromtimestamp(plan.money_end, UTC),
    )
