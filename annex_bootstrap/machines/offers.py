"""What AWS has for a request: the types that it may choose from, what they cost, and the account's quota of vCPUs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from annex_bootstrap.aws import Account, explained
from annex_bootstrap.errors import AwsError, UserError
from annex_bootstrap.machines import prices
from annex_bootstrap.machines.capacity import Wanted
from annex_bootstrap.machines.instance_types import InstanceType
from annex_bootstrap.machines.quotas import increase_command, read_quota

MOST_NAMES = 100
"""Types that one call of DescribeInstanceTypes takes:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceTypes.html"""

FEW = 8
"""Types whose prices are asked for one by one; more come with those of the whole region."""

STANDARD = ("a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z")
"""The families of types that share a quota."""

RUNNING = ("pending", "running")


def find_types(account: Account, wanted: Wanted, architecture: str) -> list[InstanceType]:
    """Return the types that AWS may choose from for a request, by name.

    Args:
        account: where.
        wanted: what is asked for.
        architecture: of the image, ``x86_64`` or ``arm64``.

    Raises:
        UserError: there is no such type, it cannot run the image, or AWS refused.
    """
    if not wanted.cores:
        return describe_types(account, wanted.types, architecture)
    with explained("asking which instance types fit"):
        pages = account.ec2.get_paginator("get_instance_types_from_instance_requirements").paginate(
            ArchitectureTypes=["arm64" if architecture == "arm64" else "x86_64"],
            VirtualizationTypes=["hvm"],
            InstanceRequirements=wanted.requirements(),
        )
        names = [found["InstanceType"] for page in pages for found in page["InstanceTypes"]]
    if not names:
        raise UserError(
            f"no {architecture} instance type in {account.region} has {wanted.memory_per_core} MiB for each core: "
            "give --memory-per-core less"
        )
    return describe_types(account, names, architecture)


def describe_types(account: Account, names: Sequence[str], architecture: str = "") -> list[InstanceType]:
    """Return the sizes of types, by name.

    Args:
        account: where.
        names: of the types.
        architecture: that they must have; empty for any.

    Raises:
        UserError: there is no such type, it has another architecture, or AWS refused.
    """
    found = []
    for first in range(0, len(names), MOST_NAMES):
        batch = [*names[first : first + MOST_NAMES]]
        try:
            with explained("describing instance types"):
                described = account.ec2.describe_instance_types(InstanceTypes=batch)["InstanceTypes"]  # type: ignore[arg-type]  # names are text to us
        except AwsError as error:
            if error.code != "InvalidInstanceType":
                raise
            raise UserError(
                f"{account.region} has no instance type {', '.join(batch)}: give --type another one"
            ) from error
        for each in described:
            architectures = each["ProcessorInfo"]["SupportedArchitectures"]
            if architecture and architecture not in architectures:
                raise UserError(
                    f"{each['InstanceType']} is for {', '.join(architectures)}, and the stack's image for "
                    f"{architecture}: give --type another one"
                )
            found.append(
                InstanceType(each["InstanceType"], each["VCpuInfo"]["DefaultVCpus"], each["MemoryInfo"]["SizeInMiB"])
            )
    return sorted(found, key=lambda machine: machine.name)


def find_prices(account: Account, machines: Iterable[InstanceType], *, spot: bool) -> dict[str, Decimal]:
    """Return what types cost: dollars an hour, on the spot market the highest price of the region's zones now.

    Args:
        account: where.
        machines: the types.
        spot: whether spot prices are wanted.

    Raises:
        UserError: AWS refused, or has no price list in this partition.
    """
    names = [machine.name for machine in machines]
    if not spot:
        return prices.on_demand(account, names if len(names) <= FEW else None)
    found: dict[str, Decimal] = {}
    now = datetime.now(UTC)
    with explained("reading the spot prices"):
        for page in account.ec2.get_paginator("describe_spot_price_history").paginate(
            InstanceTypes=names,  # type: ignore[arg-type]  # names are text to us
            ProductDescriptions=["Linux/UNIX"],
            StartTime=now,
            EndTime=now,
        ):
            for entry in page["SpotPriceHistory"]:
                name, price = entry["InstanceType"], Decimal(entry["SpotPrice"])
                found[name] = max(price, found.get(name, price))
    return found


def check_quota(account: Account, machines: Sequence[InstanceType], vcpus: int, *, spot: bool) -> str:
    """Check that the account's quota of vCPUs has room for a request.

    Args:
        account: where.
        machines: the types that AWS may choose from.
        vcpus: that the request takes at most.
        spot: whether they are spot machines.

    Returns:
        What is known of the quota, as a short text; empty where nothing is.

    Raises:
        UserError: there is no room, or AWS refused to say what runs.
    """
    if any(not is_standard(machine.name) for machine in machines):
        return ""
    try:
        limit = read_quota(account, spot=spot)
    except UserError:
        # Then EC2 has the last word.
        return ""
    used = _used(account, spot=spot)
    if used + vcpus > limit:
        raise UserError(quota_problem(account.region, limit, used, vcpus, spot=spot))
    return f"{used} of {limit} vCPUs in use"


def quota_problem(region: str, limit: int, used: int, vcpus: int, *, spot: bool) -> str:
    """Return the sentence that says that a quota has no room, and how to ask for more."""
    kind = "spot" if spot else "on-demand"
    return (
        f"the quota of {kind} vCPUs in {region} is {limit}, of which {used} are in use, and this would take {vcpus}: "
        f"ask for less, or ask AWS for more with {increase_command(region, used + vcpus, spot=spot)}"
    )


def is_standard(name: str) -> bool:
    """Tell whether a type counts for the quota of standard machines: by the letters before its generation."""
    family = name.partition(".")[0]
    letters = family[: next((place for place, each in enumerate(family) if each.isdigit()), len(family))]
    return letters in STANDARD


def _used(account: Account, *, spot: bool) -> int:
    counts: dict[str, int] = {}
    with explained("counting the vCPUs in use"):
        for page in account.ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": "instance-state-name", "Values": list(RUNNING)}]
        ):
            for held in page["Reservations"]:
                for machine in held["Instances"]:
                    if (machine.get("InstanceLifecycle") == "spot") is spot and is_standard(machine["InstanceType"]):
                        counts[machine["InstanceType"]] = counts.get(machine["InstanceType"], 0) + 1
    sizes = {machine.name: machine.vcpus for machine in describe_types(account, sorted(counts))}
    return sum(sizes.get(name, 0) * count for name, count in counts.items())
