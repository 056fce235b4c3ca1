"""What AWS says: the stack in each region, its machines, its leases, and what could start."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from annex_bootstrap.annexes.leases import Leases, ended_at, starter
from annex_bootstrap.annexes.planning import MachineImage, find_stack, machine_image
from annex_bootstrap.aws import Account, explained
from annex_bootstrap.errors import UserError
from annex_bootstrap.growth.model import Lease, Offer, Room
from annex_bootstrap.machines.instance_types import MIB_PER_GIB, InstanceType, find_types
from annex_bootstrap.machines.prices import ADDRESS, DISK, find_prices
from annex_bootstrap.machines.subnets import Subnet, find_subnets, stack_subnets
from annex_bootstrap.pool.tokens import MARGIN
from annex_bootstrap.stack.read import Stack
from annex_contract.lease import MACHINE_ENDED, annex_of_machine
from annex_contract.outputs import profiles_of
from annex_contract.stack import REQUEST_TAG, STARTED_BY_TAG, Output, Parameter

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceRequirementsRequestTypeDef

SYSTEM_DISK = 4
"""GiB of a machine's disk that its system needs."""

LARGE_DISK = 100
"""GB that a machine's disk counts where its image is gone."""

LARGEST = 192
"""vCPUs of the largest machine that is taken."""


@dataclass(frozen=True)
class Place:
    """The stack in one region, and what its machines start from.

    Attributes:
        account: where.
        stack: the stack.
        image: of its machines; None where nothing can start.
        subnets: in which they start, one for each zone.
        problem: why nothing can start here; empty where it can.
    """

    account: Account
    stack: Stack
    image: MachineImage | None
    subnets: Sequence[Subnet] = ()
    problem: str = ""

    @property
    def region(self) -> str:
        """Where."""
        return self.account.region

    @property
    def profiles(self) -> frozenset[str]:
        """The instance profiles of the machines."""
        return profiles_of(self.stack.outputs)

    @property
    def zones(self) -> dict[str, str]:
        """The zone of each subnet."""
        return {subnet.subnet_id: subnet.zone for subnet in self.subnets}

    @property
    def extras(self) -> Decimal:
        """Dollars an hour that a machine costs besides its type's price."""
        if self.image is None:
            return LARGE_DISK * DISK + ADDRESS
        return self.image.disk * DISK + (ADDRESS if any(subnet.public for subnet in self.subnets) else 0)


@dataclass(frozen=True)
class Instance:
    """A machine of the stack, as EC2 describes it.

    Attributes:
        instance_id: its ID.
        annex: its annex.
        region: where.
        type: its instance type.
        spot: whether AWS may take it back.
        launched: when, in seconds since the epoch.
        runs: whether it runs or starts.
        request: the ID of the request that started it; empty where nobody knows.
        reason: AWS's code of why it ended; empty where it runs.
        ended: when it ended, in seconds since the epoch; None where it runs, or nobody knows.
        starter: the user or session that started it, as far as its tags say.
    """

    instance_id: str
    annex: str
    region: str
    type: str
    spot: bool
    launched: int
    runs: bool
    request: str = ""
    reason: str = ""
    ended: int | None = None
    starter: str = ""


def read_place(account: Account, stack_name: str) -> Place:
    """Return the stack in one region.

    Raises:
        AwsError: AWS refused, so that nobody knows what runs there.
        UserError: there is none whose machines join by themselves.
    """
    stack = find_stack(account, stack_name)
    try:
        subnets = find_subnets(account, stack.outputs[Output.SECURITY_GROUP_ID], stack_subnets(stack))
        return Place(account, stack, machine_image(account, stack), subnets)
    except UserError as error:
        return Place(account, stack, None, problem=str(error))


def parse_instance(described: Mapping[str, Any], region: str, profiles: frozenset[str]) -> Instance | None:
    """Return a machine as DescribeInstances describes it; None where it belongs to no annex of the stack."""
    annex = annex_of_machine(described, profiles)
    if annex is None:
        return None
    tags = {tag["Key"]: tag["Value"] for tag in described.get("Tags", [])}
    runs = described["State"]["Name"] not in (*MACHINE_ENDED, "stopping", "stopped")
    return Instance(
        described["InstanceId"],
        annex,
        region,
        described["InstanceType"],
        described.get("InstanceLifecycle") == "spot",
        int(described["LaunchTime"].timestamp()),
        runs,
        tags.get(REQUEST_TAG, ""),
        "" if runs else described.get("StateReason", {}).get("Code", ""),
        None if runs else ended_at(described),
        starter(tags[STARTED_BY_TAG]) if STARTED_BY_TAG in tags else "",
    )


def read_instances(account: Account, profiles: frozenset[str]) -> list[Instance]:
    """Return the machines of the stack, also those that ended lately.

    Args:
        account: where.
        profiles: the instance profiles of its machines.

    Raises:
        UserError: AWS refused.
    """
    with explained("listing the machines"):
        pages = account.ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": "iam-instance-profile.arn", "Values": sorted(profiles)}]
        )
        found = [
            parse_instance(described, account.region, profiles)
            for page in pages
            for reservation in page["Reservations"]
            for described in reservation["Instances"]
        ]
    return [instance for instance in found if instance is not None]


def read_leases(place: Place, instances: Sequence[Instance]) -> list[Lease]:
    """Return the leases of the stack's annexes.

    Raises:
        UserError: AWS refused, or one cannot be read, so that nobody knows when it ends.
    """
    found = []
    for lease in Leases.of(place.account, place.stack).list():
        launched = [each.launched for each in instances if each.annex == lease.annex_id and each.runs and each.request]
        if lease.expiration is None:
            raise UserError(f"the lease of {lease.annex_id} cannot be read: run annex-bootstrap doctor")
        token_end = min(launched) + MARGIN if launched else None
        found.append(Lease(lease.annex_id, place.region, lease.expiration, token_end))
    return found


def offered_memory(machine: InstanceType) -> int:
    """Return the MiB that HTCondor finds on a machine, before one of its type has joined; rather less.

    The kernel and the hypervisor keep a part: a c5.large, which is sold with 4096 MiB, has about 3780.
    """
    return machine.memory * 95 // 100 - 64


def room_of(machine: InstanceType, place: Place, known: Mapping[str, Room]) -> Room:
    """Return what jobs may have of a machine.

    Args:
        machine: its type.
        place: where it would start.
        known: what machines that have joined have, by type.
    """
    if machine.name in known:
        return known[machine.name]
    gpus = machine.gpus if place.stack.parameters.get(Parameter.IMAGE_GPU) == "yes" else 0
    disk = max((place.image.disk if place.image else 0) - SYSTEM_DISK, 1) * MIB_PER_GIB * 1024
    return Room(machine.vcpus, offered_memory(machine), disk, gpus)


def find_machine_types(place: Place, needs: Collection[Room], cores: int) -> list[InstanceType]:
    """Return the types of the current generation that the stack allows and that may hold one of the jobs.

    Args:
        place: where they would start.
        needs: what jobs ask for.
        cores: vCPUs that a machine may have at most.

    Raises:
        UserError: AWS refused.
    """
    found: dict[str, InstanceType] = {}
    for with_gpus in sorted({each.gpus > 0 for each in needs}):
        asked = [each for each in needs if (each.gpus > 0) == with_gpus]
        least = min(each.cpus for each in asked)
        most = min(cores, LARGEST)
        if most < least:
            continue
        requirements: InstanceRequirementsRequestTypeDef = {
            "VCpuCount": {"Min": least, "Max": max(most, 2)},
            "MemoryMiB": {"Min": min(each.memory for each in asked)},
            "InstanceGenerations": ["current"],
            "AcceleratorCount": {"Min": 1} if with_gpus else {"Max": 0},
        }
        if with_gpus:
            requirements["AcceleratorTypes"] = ["gpu"]
        types = find_types(place.account, requirements, place.image.architecture if place.image else "x86_64")
        found |= {
            machine.name: machine
            for machine in types
            if not machine.special and machine.vcpus <= most and place.stack.limits.allows(machine.name)
        }
    return list(found.values())


def make_offers(
    place: Place,
    machines: Sequence[InstanceType],
    rooms: Mapping[str, Room],
    fits: Mapping[Room, frozenset[str]],
    demand: Mapping[str, Decimal],
    spot: Mapping[str, Decimal] | None,
) -> list[Offer]:
    """Put together what is known about each type.

    Args:
        place: where.
        machines: the types.
        rooms: what jobs may have of each type.
        fits: the keys of the groups that match a machine with that room.
        demand: dollars an hour on demand, by type.
        spot: the same on the spot market; None where it is not wanted.
    """
    zones = tuple(subnet.zone for subnet in place.subnets)

    def plus(price: Decimal | None) -> Decimal | None:
        return None if price is None else price + place.extras

    offers = []
    for machine in machines:
        # The highest price of a spot machine is that on demand: see price_caps.
        most = plus(demand.get(machine.name))
        offer = Offer(
            machine.name,
            place.region,
            False,
            machine.vcpus,
            rooms[machine.name],
            most,
            most,
            fits.get(rooms[machine.name], frozenset()),
            zones,
            machine.is_standard,
        )
        offers.append(offer)
        if spot is not None and machine.name in spot:
            offers.append(replace(offer, spot=True, now=plus(spot[machine.name])))
    return offers


def read_prices(
    place: Place, names: Sequence[str], *, spot: bool
) -> tuple[Mapping[str, Decimal], Mapping[str, Decimal] | None]:
    """Return what types cost an hour, on demand and on the spot market; what is unknown is missing."""
    prices, _ = find_prices(place.account, names, spot=spot)
    return prices.on_demand, prices.spot
