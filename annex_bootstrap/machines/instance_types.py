"""Instance types: their sizes, which of them fit, and which zones offer them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from annex_bootstrap.aws import Account, explained
from annex_bootstrap.errors import AwsError, UnavailableError

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceRequirementsRequestTypeDef, InstanceTypeInfoTypeDef

MIB_PER_GIB = 1024

NAMES_PER_CALL = 100
"""Types that one call of DescribeInstanceTypes takes:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceTypes.html"""

STANDARD = ("a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z")
"""The families of types that share a quota."""


@dataclass(frozen=True)
class InstanceType:
    """An instance type.

    Attributes:
        name: such as ``c7i.large``.
        vcpus: how many.
        memory: MiB.
        special: bare metal, or full CPU only for a while: taken only where somebody asks for it.
        gpus: how many.
    """

    name: str
    vcpus: int
    memory: int
    special: bool = False
    gpus: int = 0

    @property
    def is_standard(self) -> bool:
        """Whether it counts for the quota of standard machines: by the letters before its generation."""
        family = self.name.partition(".")[0]
        digit = next((place for place, letter in enumerate(family) if letter.isdigit()), len(family))
        return family[:digit] in STANDARD


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
    machines: Iterable[InstanceType], slot: Slot, wanted: Sequence[str] = (), excluded: Sequence[str] = ()
) -> list[InstanceType]:
    """Choose the types that hold at least one slot.

    Args:
        machines: all there are.
        slot: what one slot gets.
        wanted: patterns of names, such as ``c7i.*``; none takes all but the special ones.
        excluded: patterns of names.

    Returns:
        The chosen, by name.
    """
    return sorted(
        (
            machine
            for machine in machines
            if slot.fit(machine) > 0
            and (_matches(machine, wanted) if wanted else not machine.special)
            and not _matches(machine, excluded)
        ),
        key=lambda machine: machine.name,
    )


def _matches(machine: InstanceType, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(machine.name, pattern) for pattern in patterns)


def spot_types(account: Account, architecture: str) -> list[InstanceType]:
    """Return the types of the current generation that are available as spot instances.

    Args:
        account: where.
        architecture: ``x86_64`` or ``arm64``.

    Raises:
        UserError: AWS refused.
    """
    with explained("listing instance types"):
        pages = account.ec2.get_paginator("describe_instance_types").paginate(
            Filters=[
                {"Name": "current-generation", "Values": ["true"]},
                {"Name": "supported-usage-class", "Values": ["spot"]},
                {"Name": "processor-info.supported-architecture", "Values": [architecture]},
            ]
        )
        return [_instance_type(described) for page in pages for described in page["InstanceTypes"]]


def find_types(
    account: Account, requirements: InstanceRequirementsRequestTypeDef, architecture: str
) -> list[InstanceType]:
    """Return the types that have some attributes, by name; none where there are none.

    Args:
        account: where.
        requirements: the attributes.
        architecture: ``x86_64`` or ``arm64``.

    Raises:
        UserError: AWS refused.
    """
    with explained("asking which instance types fit"):
        pages = account.ec2.get_paginator("get_instance_types_from_instance_requirements").paginate(
            ArchitectureTypes=["arm64" if architecture == "arm64" else "x86_64"],
            VirtualizationTypes=["hvm"],
            InstanceRequirements=requirements,
        )
        names = [found["InstanceType"] for page in pages for found in page["InstanceTypes"]]
    return describe_types(account, names)


def describe_types(account: Account, names: Sequence[str], architecture: str = "") -> list[InstanceType]:
    """Return the sizes of types, by name.

    Args:
        account: where.
        names: of the types.
        architecture: that they must have; empty for any.

    Raises:
        UserError: there is no such type, it has another architecture, or AWS refused.
    """
    machines = []
    for first in range(0, len(names), NAMES_PER_CALL):
        batch = [*names[first : first + NAMES_PER_CALL]]
        try:
            with explained("describing instance types"):
                described = account.ec2.describe_instance_types(InstanceTypes=batch)["InstanceTypes"]  # type: ignore[arg-type]  # names are text to us
        except AwsError as error:
            if error.code != "InvalidInstanceType":
                raise
            raise UnavailableError(
                f"{account.region} has no instance type {', '.join(batch)}: give another --type"
            ) from error
        for one in described:
            architectures = one["ProcessorInfo"]["SupportedArchitectures"]
            if architecture and architecture not in architectures:
                raise UnavailableError(
                    f"{one['InstanceType']} is for {', '.join(architectures)}, and the stack's image for "
                    f"{architecture}: give another --type"
                )
            machines.append(_instance_type(one))
    return sorted(machines, key=lambda machine: machine.name)


def _instance_type(described: InstanceTypeInfoTypeDef) -> InstanceType:
    return InstanceType(
        name=described["InstanceType"],
        vcpus=described["VCpuInfo"]["DefaultVCpus"],
        memory=described["MemoryInfo"]["SizeInMiB"],
        special=described["BareMetal"] or described["BurstablePerformanceSupported"],
        gpus=sum(gpu.get("Count", 0) for gpu in described.get("GpuInfo", {}).get("Gpus", [])),
    )


def offered_zones(account: Account, zones: Iterable[str]) -> dict[str, set[str]]:
    """Return the availability zones, of those given, that offer each instance type.

    Raises:
        UserError: AWS refused.
    """
    offered: dict[str, set[str]] = {}
    with explained("asking which zones offer which instance types"):
        pages = account.ec2.get_paginator("describe_instance_type_offerings").paginate(
            LocationType="availability-zone", Filters=[{"Name": "location", "Values": sorted(zones)}]
        )
        for page in pages:
            for offering in page["InstanceTypeOfferings"]:
                offered.setdefault(offering["InstanceType"], set()).add(offering["Location"])
    return offered
