"""What somebody wants to start, what it may cost, and the arguments of CreateFleet for it. Pure.

Source of the form: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateFleet.html
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from annex_bootstrap.machines.instance_types import MIB_PER_GIB, InstanceType

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceRequirementsRequestTypeDef


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

    def machines(self, machine: InstanceType) -> int:
        """Return how many machines of one type it takes."""
        return math.ceil(self.cores / machine.vcpus) if self.cores else self.count

    def reached(self, started: Mapping[str, int], sizes: Mapping[str, int]) -> int | None:
        """Return how much of the target machines come to; None where that is unknown.

        Args:
            started: machines, by type.
            sizes: vCPUs of each type, as far as known.
        """
        if not self.cores:
            return sum(started.values())
        if not sizes.keys() >= started.keys():
            return None
        return sum(count * sizes[name] for name, count in started.items())

    def requirements(self) -> InstanceRequirementsRequestTypeDef:
        """Return the attributes of machines that fit where cores are asked for.

        Left out by AWS's own defaults: bare metal, and types that give their full speed only for a while.
        """
        return {
            # A machine may not be much larger than all that is asked for; few types have a single vCPU.
            "VCpuCount": {"Min": 1, "Max": max(self.cores, 2)},
            "MemoryMiB": {"Min": self.memory_per_core},
            "MemoryGiBPerVCpu": {"Min": self.memory_per_core / MIB_PER_GIB},
            "InstanceGenerations": ["current"],
            "AcceleratorCount": {"Max": 0},
        }


@dataclass(frozen=True)
class Estimate:
    """What a request may come to.

    Attributes:
        machines: how many there are at least and at most, by the type that AWS chooses.
        vcpus: at most.
        cheapest: dollars an hour with the cheapest type; None where no price is known.
        dearest: dollars an hour with the most expensive type: never more than that; None where a price is unknown.
    """

    machines: tuple[int, int]
    vcpus: int
    cheapest: Decimal | None
    dearest: Decimal | None


def estimate(capacity: Capacity, machines: Sequence[InstanceType], prices: Mapping[str, Decimal]) -> Estimate:
    """Return what a request may come to.

    Args:
        capacity: what to start.
        machines: the types that AWS may choose from; at least one.
        prices: dollars an hour, by type.
    """
    counts = [capacity.machines(machine) for machine in machines]
    costs = [
        prices[machine.name] * count for machine, count in zip(machines, counts, strict=True) if machine.name in prices
    ]
    return Estimate(
        machines=(min(counts), max(counts)),
        vcpus=max(count * machine.vcpus for machine, count in zip(machines, counts, strict=True)),
        cheapest=min(costs, default=None),
        dearest=max(costs) if len(costs) == len(machines) else None,
    )


def fleet_arguments(
    capacity: Capacity,
    request_id: str,
    launch_template: tuple[str, str],
    subnet_ids: Iterable[str],
    tags: Mapping[str, str],
) -> dict[str, Any]:
    """Return the arguments of CreateFleet.

    Args:
        capacity: what to start.
        request_id: its client token.
        launch_template: ID and version.
        subnet_ids: one for each zone: a fleet takes no two of one zone.
        tags: of the machines and of the fleet.
    """
    machines: list[dict[str, Any]]
    if capacity.cores:
        requirements: dict[str, Any] = {**capacity.requirements()}
        if capacity.spot:
            # No more than on demand, by the price of the cheapest type that fits.
            requirements["MaxSpotPriceAsPercentageOfOptimalOnDemandPrice"] = 100
        machines = [{"InstanceRequirements": requirements}]
    else:
        machines = [{"InstanceType": name} for name in capacity.types]
    template_id, version = launch_template
    tag_list = [{"Key": key, "Value": value} for key, value in tags.items()]
    target: dict[str, Any] = {
        "TotalTargetCapacity": capacity.target,
        "DefaultTargetCapacityType": "spot" if capacity.spot else "on-demand",
    }
    # The unit may be named only with attributes.
    target |= {"TargetCapacityUnitType": "vcpu"} if capacity.cores else {}
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
                "Overrides": [{"SubnetId": subnet, **machine} for subnet in subnet_ids for machine in machines],
            }
        ],
        "TargetCapacitySpecification": target,
        **options,
        "TagSpecifications": [{"ResourceType": kind, "Tags": tag_list} for kind in ("fleet", "instance")],
    }
