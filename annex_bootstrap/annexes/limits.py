"""The limits of a stack on all its machines together: what is in use, by whom, and what would be beyond.

The lease function holds them in AWS; here nothing starts that it would end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from annex_bootstrap.annexes.leases import starter
from annex_bootstrap.aws import Account, explained
from annex_bootstrap.errors import UnavailableError
from annex_bootstrap.machines import prices
from annex_bootstrap.machines.capacity import Capacity
from annex_bootstrap.machines.instance_types import InstanceType, describe_types
from annex_contract.lease import MACHINE_RUNNING
from annex_contract.limits import Limits
from annex_contract.stack import STARTED_BY_TAG

NOBODY = "condor_annex"
"""Who started machines that do not say it: only ``start`` and ``grow`` tag them with that."""


@dataclass(frozen=True)
class Use:
    """What the machines of a stack have that one person started.

    Attributes:
        who: the user or session, as far as their tags say.
        cores: vCPUs; None where they are not limited.
        dollars: an hour by the prices of their types on demand; None where they are not limited, or one is unknown.
    """

    who: str
    cores: int | None
    dollars: Decimal | None


def read_uses(account: Account, profile_arns: frozenset[str], limits: Limits) -> list[Use]:
    """Return who uses how much of what a stack limits, the most first.

    Args:
        account: where.
        profile_arns: the instance profiles of the stack's machines, by which they count, whatever their tags say.
        limits: of the stack.

    Raises:
        UserError: AWS refused.
    """
    types: dict[str, Counter[str]] = {}
    with explained("listing the machines"):
        for page in account.ec2.get_paginator("describe_instances").paginate(
            Filters=[
                {"Name": "instance-state-name", "Values": list(MACHINE_RUNNING)},
                {"Name": "iam-instance-profile.arn", "Values": sorted(profile_arns)},
            ]
        ):
            for machine in (machine for reservation in page["Reservations"] for machine in reservation["Instances"]):
                tags = {tag["Key"]: tag["Value"] for tag in machine.get("Tags", [])}
                who = starter(tags[STARTED_BY_TAG]) if STARTED_BY_TAG in tags else NOBODY
                types.setdefault(who, Counter())[machine["InstanceType"]] += 1
    names = sorted({name for counts in types.values() for name in counts})
    sizes = {each.name: each.vcpus for each in describe_types(account, names)} if limits.cores is not None else None
    known = prices.on_demand(account, names) if limits.dollars is not None and names else {}
    uses = [
        Use(
            who,
            None if sizes is None else sum(sizes[name] * count for name, count in counts.items()),
            _cost(counts, known) if limits.dollars is not None else None,
        )
        for who, counts in types.items()
    ]
    return sorted(uses, key=lambda use: (-(use.cores or 0), -(use.dollars or 0), use.who))


def allowed(region: str, limits: Limits, capacity: Capacity, machines: Sequence[InstanceType]) -> list[InstanceType]:
    """Return the types that a stack allows, of those that were found, or refuse those that were asked for.

    Args:
        region: where.
        limits: of the stack.
        capacity: what to start: types that it names must all be allowed.
        machines: the types that fit.

    Raises:
        UnavailableError: none is allowed, or one is not that was asked for.
    """
    kept = [machine for machine in machines if limits.allows(machine.name)]
    patterns = ", ".join(limits.types)
    if not capacity.cores and len(kept) < len(machines):
        wrong = ", ".join(machine.name for machine in machines if machine not in kept)
        raise UnavailableError(
            f"the stack in {region} allows no {wrong}, only {patterns} (InstanceTypes): give --type one of these"
        )
    if not kept:
        raise UnavailableError(
            f"none of the instance types in {region} that fit is one of {patterns}, which the stack allows "
            "(InstanceTypes): give --memory-per-core less, or --type one of these with --count"
        )
    return kept


def check(
    account: Account,
    profile_arns: frozenset[str],
    limits: Limits,
    capacity: Capacity,
    machines: Sequence[InstanceType],
    on_demand: Mapping[str, Decimal],
) -> None:
    """Refuse machines with which a stack would have more cores, or cost more an hour, than it may.

    Args:
        account: where.
        profile_arns: the instance profiles of the stack's machines.
        limits: of the stack.
        capacity: what to start.
        machines: the types that AWS may choose from: the largest and the dearest count.
        on_demand: dollars an hour by type; spot machines count like others.

    Raises:
        UnavailableError: it would, or a price is unknown; or AWS refused.
    """
    if limits.cores is None and limits.dollars is None:
        return
    uses = read_uses(account, profile_arns, limits)
    end = "ask for less, or end an annex with annex-bootstrap leases end"
    if limits.cores is not None:
        used = sum(use.cores or 0 for use in uses)
        cores = max(capacity.machines(machine) * machine.vcpus for machine in machines)
        if used + cores > limits.cores:
            raise UnavailableError(
                f"the stack in {account.region} may have {limits.cores} cores in all (MaxCores), of which {used} are "
                f"in use, and this would take {cores}: {end}"
            )
    if limits.dollars is not None:
        unpriced = sorted(machine.name for machine in machines if machine.name not in on_demand)
        if unpriced or any(use.dollars is None for use in uses):
            which, then = (", ".join(unpriced), "give --type another type") if unpriced else ("one that runs", end)
            raise UnavailableError(
                f"the stack in {account.region} limits what its machines cost an hour (MaxDollarsPerHour), and AWS "
                f"names no price of {which}: {then}"
            )
        spent = sum((use.dollars or Decimal(0) for use in uses), Decimal(0))
        cost = max(capacity.machines(machine) * on_demand[machine.name] for machine in machines)
        if spent + cost > limits.dollars:
            raise UnavailableError(
                f"the machines of the stack in {account.region} may cost ${limits.dollars} an hour in all "
                f"(MaxDollarsPerHour), of which ${spent:.4f} are in use, and this would take ${cost:.4f}: {end}"
            )


def _cost(counts: Mapping[str, int], known: Mapping[str, Decimal]) -> Decimal | None:
    if any(name not in known for name in counts):
        return None
    return sum((known[name] * count for name, count in counts.items()), Decimal(0))
