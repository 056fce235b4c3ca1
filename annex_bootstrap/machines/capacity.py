"""What somebody wants to start, and the request for it. Pure.

Source of the form: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateFleet.html
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from annex_bootstrap.machines.instance_types import MIB_A_GIB, InstanceType

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceRequirementsRequestTypeDef


@dataclass(frozen=True)
class Wanted:
    """What to start.

    Attributes:
        count: machines; 0 where cores are asked for.
        cores: vCPUs in all; 0 where machines are asked for.
        memory_per_core: MiB; only with cores.
        types: the instance types; only with machines.
        spot: whether they are spot machines.
    """

    count: int = 0
    cores: int = 0
    memory_per_core: int = 2 * MIB_A_GIB
    types: tuple[str, ...] = ()
    spot: bool = False

    @property
    def capacity(self) -> int:
        """What the fleet is asked for: machines, or vCPUs."""
        return self.cores or self.count

    def machines(self, machine: InstanceType) -> int:
        """Return how many machines of one type it takes."""
        return math.ceil(self.cores / machine.vcpus) if self.cores else self.count

    def requirements(self) -> InstanceRequirementsRequestTypeDef:
        """Return the attributes of machines that fit where cores are asked for.

        Left out by AWS's own defaults: bare metal, and types that give their full speed only for a while.
        """
        return {
            # A machine may not be much larger than all that is asked for; few types have a single vCPU.
            "VCpuCount": {"Min": 1, "Max": max(self.cores, 2)},
            "MemoryMiB": {"Min": self.memory_per_core},
            "MemoryGiBPerVCpu": {"Min": self.memory_per_core / MIB_A_GIB},
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
        dearest: dollars an hour with the most expensive type: never more than that.
    """

    machines: tuple[int, int]
    vcpus: int
    cheapest: Decimal | None
    dearest: Decimal | None


def estimate(wanted: Wanted, machines: Sequence[InstanceType], prices: Mapping[str, Decimal]) -> Estimate:
    """Return what a request may come to.

    Args:
        wanted: what is asked for.
        machines: the types that AWS may choose from; at least one.
        prices: dollars an hour, by type.
    """
    counts = [wanted.machines(machine) for machine in machines]
    costs = [prices[machine.name] * wanted.machines(machine) for machine in machines if machine.name in prices]
    known = len(costs) == len(machines)
    return Estimate(
        machines=(min(counts), max(counts)),
        vcpus=max(wanted.machines(machine) * machine.vcpus for machine in machines),
        cheapest=min(costs, default=None),
        dearest=max(costs) if known else None,
    )


def fleet_request(
    wanted: Wanted,
    request_id: str,
    launch_template: tuple[str, str],
    subnet_ids: Iterable[str],
    tags: Mapping[str, str],
) -> dict[str, Any]:
    """Return the arguments of CreateFleet.

    Args:
        wanted: what is asked for.
        request_id: its client token.
        launch_template: ID and version.
        subnet_ids: one for each zone: a fleet takes no two of one zone.
        tags: of the machines and of the fleet.
    """
    machines: list[dict[str, Any]]
    if wanted.cores:
        requirements: dict[str, Any] = {**wanted.requirements()}
        if wanted.spot:
            # No more than on demand, by the price of the cheapest type that fits.
            requirements["MaxSpotPriceAsPercentageOfOptimalOnDemandPrice"] = 100
        machines = [{"InstanceRequirements": requirements}]
    else:
        machines = [{"InstanceType": name} for name in wanted.types]
    template_id, version = launch_template
    tag_list = [{"Key": key, "Value": value} for key, value in tags.items()]
    capacity: dict[str, Any] = {
        "TotalTargetCapacity": wanted.capacity,
        "DefaultTargetCapacityType": "spot" if wanted.spot else "on-demand",
    }
    # The unit may be named only with attributes.
    capacity |= {"TargetCapacityUnitType": "vcpu"} if wanted.cores else {}
    options: dict[str, Any] = (
        {"SpotOptions": {"AllocationStrategy": "price-capacity-optimized", "InstanceInterruptionBehavior": "terminate"}}
        if wanted.spot
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
        "TargetCapacitySpecification": capacity,
        **options,
        "TagSpecifications": [{"ResourceType": kind, "Tags": tag_list} for kind in ("fleet", "instance")],
    }
