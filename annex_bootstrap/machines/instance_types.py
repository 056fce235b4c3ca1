"""Which instance types a fleet can use: those that hold whole slots and are offered where its subnets are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from annex_bootstrap.aws import explained

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

MIB_A_GIB = 1024


@dataclass(frozen=True)
class InstanceType:
    """An instance type.

    Attributes:
        name: such as ``c7i.large``.
        vcpus: how many.
        memory: MiB.
        special: bare metal, or full CPU only for a while: taken only where somebody asks for it.
    """

    name: str
    vcpus: int
    memory: int
    special: bool = False


@dataclass(frozen=True)
class Slot:
    """What one slot of the pool gets.

    Attributes:
        cpus: how many.
        memory: MiB.
    """

    cpus: int
    memory: int

    def fit(self, machine: InstanceType) -> int:
        """Return how many of them a machine holds."""
        return min(machine.vcpus // self.cpus, machine.memory // self.memory)


def choose(
    found: Iterable[InstanceType], slot: Slot, wanted: Sequence[str] = (), excluded: Sequence[str] = ()
) -> list[InstanceType]:
    """Choose the types that hold at least one slot.

    Args:
        found: all there are.
        slot: what one slot gets.
        wanted: patterns of names, such as ``c7i.*``; none takes all but the special ones.
        excluded: patterns of names.

    Returns:
        The chosen, by name.
    """
    return sorted(
        (
            machine
            for machine in found
            if slot.fit(machine) > 0
            and (_matches(machine, wanted) if wanted else not machine.special)
            and not _matches(machine, excluded)
        ),
        key=lambda machine: machine.name,
    )


def _matches(machine: InstanceType, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(machine.name, pattern) for pattern in patterns)


def current_spot_types(ec2: EC2Client, architecture: str) -> list[InstanceType]:
    """Return the types of the current generation that are available as spot instances.

    Args:
        ec2: the client.
        architecture: ``x86_64`` or ``arm64``.

    Raises:
        UserError: AWS refused.
    """
    with explained("listing instance types"):
        pages = ec2.get_paginator("describe_instance_types").paginate(
            Filters=[
                {"Name": "current-generation", "Values": ["true"]},
                {"Name": "supported-usage-class", "Values": ["spot"]},
                {"Name": "processor-info.supported-architecture", "Values": [architecture]},
            ]
        )
        return [
            InstanceType(
                name=described["InstanceType"],
                vcpus=described["VCpuInfo"]["DefaultVCpus"],
                memory=described["MemoryInfo"]["SizeInMiB"],
                special=described["BareMetal"] or described["BurstablePerformanceSupported"],
            )
            for page in pages
            for described in page["InstanceTypes"]
        ]


def offered_zones(ec2: EC2Client, zones: Iterable[str]) -> dict[str, set[str]]:
    """Return the availability zones, of those given, that offer each instance type.

    Raises:
        UserError: AWS refused.
    """
    offered: dict[str, set[str]] = {}
    with explained("asking which zones offer which instance types"):
        pages = ec2.get_paginator("describe_instance_type_offerings").paginate(
            LocationType="availability-zone", Filters=[{"Name": "location", "Values": sorted(zones)}]
        )
        for page in pages:
            for offering in page["InstanceTypeOfferings"]:
                offered.setdefault(offering["InstanceType"], set()).add(offering["Location"])
    return offered
