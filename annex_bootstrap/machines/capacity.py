"""What somebody wants to start, which types give it, what it may cost, and the arguments of CreateFleet. Pure.

Source of the form: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateFleet.html
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Any

from annex_bootstrap.machines.instance_types import MIB_PER_GIB, InstanceType
from annex_bootstrap.machines.prices import Prices
from annex_contract.stack import STACK_TAG

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceRequirementsRequestTypeDef

MOST_OVERRIDES = 300
"""Pairs of type and subnet that a fleet may have:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/fleet-quotas.html"""

PARTS = 8
"""Machines into which cores are divided at least, where types are small enough: AWS may take one back or have none."""

DEARER = Decimal("1.2")
"""What a type may cost of the cheapest one of its size; so does AWS where it chooses types by their attributes:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-fleet-attribute-based-instance-type-selection.html"""

SMALLEST_PRICE = Decimal("0.00001")
"""Dollars: the digits of a price cap."""


@dataclass(frozen=True)
class Capacity:
    """What to start: machines of given types, or cores of any types.

    Attributes:
        count: machines; 0 where cores are asked for.
        cores: vCPUs in all; 0 where machines are asked for.
        memory_per_core: MiB; only with cores.
        types: the instance types; only with machines; empty for the stack's own.
        spot: whether they are spot machines.
    """

    count: int = 0
    cores: int = 0
    memory_per_core: int = 2 * MIB_PER_GIB
    types: tuple[str, ...] = ()
    spot: bool = False

    def __str__(self) -> str:
        """Return it as people read it, such as ``2 machines on demand``."""
        return f"{self.target} {self.unit} {self.market}"

    @property
    def target(self) -> int:
        """The number of ``unit`` that the fleet is asked for."""
        return self.cores or self.count

    @property
    def unit(self) -> str:
        """``cores`` or ``machines``."""
        return "cores" if self.cores else "machines"

    @property
    def market(self) -> str:
        """``spot`` or ``on demand``."""
        return "spot" if self.spot else "on demand"

    def weight(self, machine: InstanceType) -> int:
        """Return how many of ``unit`` one machine is."""
        return machine.vcpus if self.cores else 1

    def machines(self, machine: InstanceType) -> int:
        """Return how many machines of one type it takes."""
        return math.ceil(self.target / self.weight(machine))

    def requirements(self) -> InstanceRequirementsRequestTypeDef:
        """Return the attributes of machines that fit where cores are asked for.

        Left out by AWS's own defaults: bare metal, and types that give their full speed only for a while.
        """
        return {
            # Few types have a single vCPU.
            "VCpuCount": {"Min": 1, "Max": max(self.cores, 2)},
            "MemoryMiB": {"Min": self.memory_per_core},
            "MemoryGiBPerVCpu": {"Min": self.memory_per_core / MIB_PER_GIB},
            "InstanceGenerations": ["current"],
            "AcceleratorCount": {"Max": 0},
        }


def choose_types(
    capacity: Capacity, machines: Sequence[InstanceType], prices: Prices, room: int | None, extras: Decimal
) -> list[InstanceType]:
    """Choose the types of which a fleet gives cores: all of one size, so that they are less than one machine too many.

    A fleet rounds the number of machines up for each type that it takes, so types of several sizes may bring far more.
    Types of other quotas than that of standard machines are left out, and dear ones.

    Args:
        capacity: the cores, and the market.
        machines: the types that fit; at least one.
        prices: of them.
        room: vCPUs that the quota of standard machines has left; None where that is unknown.
        extras: dollars an hour that a machine costs besides.

    Returns:
        The cheapest first, by what they cost now.
    """
    candidates = [machine for machine in machines if machine.is_standard] or list(machines)
    known = prices.now
    candidates = [machine for machine in candidates if machine.name in known] or candidates

    def cost(machine: InstanceType) -> tuple[bool, bool, Decimal, int]:
        count = capacity.machines(machine)
        fits = room is None or count * machine.vcpus <= room
        price = known.get(machine.name, Decimal(machine.vcpus))
        return (not fits, machine.vcpus > max(capacity.cores // PARTS, 2), count * (price + extras), machine.vcpus)

    best = min(candidates, key=cost)
    same = [machine for machine in candidates if machine.vcpus == best.vcpus]
    if best.name not in known:
        return same
    cheapest = min((prices.on_demand[each.name] for each in same if each.name in prices.on_demand), default=None)
    # On the spot market the price differs by the hour: what is below the cheapest on demand may be taken.
    limit = cheapest if prices.spot is not None and cheapest is not None else known[best.name] * DEARER
    chosen = [machine for machine in same if known[machine.name] <= limit]
    return sorted(chosen, key=lambda machine: (known[machine.name], machine.name)) or [best]


def price_caps(capacity: Capacity, machines: Sequence[InstanceType], prices: Prices) -> dict[str, Decimal]:
    """Return the most that a machine of each type may cost, in dollars an hour; types without a known cap are missing.

    That is the price on demand. Of cores on the spot market it is that of the cheapest type: no type costs more than
    what one could have for sure.

    Args:
        capacity: what to start.
        machines: the types that AWS may choose from.
        prices: of them.
    """
    caps = {machine.name: prices.on_demand[machine.name] for machine in machines if machine.name in prices.on_demand}
    if not (capacity.cores and capacity.spot and caps):
        return caps
    return dict.fromkeys((machine.name for machine in machines), min(caps.values()))


@dataclass(frozen=True)
class Estimate:
    """What a request may come to.

    Attributes:
        machines: how many there are at least and at most, by the type that AWS chooses.
        vcpus: at most.
        cheapest: dollars an hour now with the cheapest type, of the machines only; None where no price is known.
        dearest: the same with the most expensive type; None where a price is unknown.
        most: dollars an hour that all of it never exceeds, addresses and disks included; None where that is unknown.
    """

    machines: tuple[int, int]
    vcpus: int
    cheapest: Decimal | None
    dearest: Decimal | None
    most: Decimal | None


def estimate(
    capacity: Capacity,
    machines: Sequence[InstanceType],
    now: Mapping[str, Decimal],
    caps: Mapping[str, Decimal],
    extras: Decimal,
) -> Estimate:
    """Return what a request may come to.

    Args:
        capacity: what to start.
        machines: the types that AWS may choose from; at least one.
        now: dollars an hour, by type.
        caps: dollars an hour that a machine never exceeds, by type.
        extras: dollars an hour that a machine costs besides.
    """
    counts = {machine: capacity.machines(machine) for machine in machines}
    costs = [now[machine.name] * count for machine, count in counts.items() if machine.name in now]
    most = [(caps[machine.name] + extras) * count for machine, count in counts.items() if machine.name in caps]
    return Estimate(
        machines=(min(counts.values()), max(counts.values())),
        vcpus=max(count * machine.vcpus for machine, count in counts.items()),
        cheapest=min(costs, default=None),
        dearest=max(costs) if len(costs) == len(machines) else None,
        most=max(most) if len(most) == len(machines) else None,
    )


def fleet_arguments(
    capacity: Capacity,
    machines: Sequence[InstanceType],
    caps: Mapping[str, Decimal],
    request_id: str,
    launch_template: tuple[str, str],
    subnet_ids: Sequence[str],
    tags: Mapping[str, str],
    stack_id: str,
) -> dict[str, Any]:
    """Return the arguments of CreateFleet.

    Args:
        capacity: what to start.
        machines: the types that AWS may choose from, at most ``MOST_OVERRIDES`` pairs of them and subnets.
        caps: dollars an hour that a spot machine may cost at most, by type.
        request_id: its client token.
        launch_template: ID and version.
        subnet_ids: one for each zone: a fleet takes no two of one zone.
        tags: of the machines and of the fleet.
        stack_id: of the stack, which the template has machines tagged with.
    """
    overrides = []
    for machine in machines:
        override: dict[str, Any] = {"InstanceType": machine.name}
        weight = capacity.weight(machine)
        if capacity.cores:
            override["WeightedCapacity"] = float(weight)
        if capacity.spot and machine.name in caps:
            # For one unit of capacity: the reference of FleetLaunchTemplateOverridesRequest.
            override["MaxPrice"] = f"{(caps[machine.name] / weight).quantize(SMALLEST_PRICE, ROUND_DOWN):f}"
        overrides += [{"SubnetId": subnet} | override for subnet in subnet_ids]
    template_id, version = launch_template
    tag_list = [{"Key": key, "Value": value} for key, value in tags.items()]
    owned = [*tag_list, {"Key": STACK_TAG, "Value": stack_id}]
    options: dict[str, Any] = (
        {"SpotOptions": {"AllocationStrategy": "price-capacity-optimized", "InstanceInterruptionBehavior": "terminate"}}
        if capacity.spot
        else {"OnDemandOptions": {"AllocationStrategy": "lowest-price"}}
    )
    return {
        "Type": "instant",
        "ClientToken": request_id,
        "LaunchTemplateConfigs": [
            {
                "LaunchTemplateSpecification": {"LaunchTemplateId": template_id, "Version": version},
                "Overrides": overrides,
            }
        ],
        "TargetCapacitySpecification": {
            "TotalTargetCapacity": capacity.target,
            "DefaultTargetCapacityType": "spot" if capacity.spot else "on-demand",
        },
        **options,
        # All kinds that an instant fleet takes; a spot request is none of them:
        # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateFleet.html
        "TagSpecifications": [
            {"ResourceType": "fleet", "Tags": owned},
            {"ResourceType": "instance", "Tags": tag_list},
            {"ResourceType": "volume", "Tags": owned},
            {"ResourceType": "network-interface", "Tags": owned},
        ],
    }
