"""What ``start`` would start in one region, and the request that does it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from annex_bootstrap.annexes.leases import Lease, Leases
from annex_bootstrap.annexes.requests import Annex, Request
from annex_bootstrap.annexes.starting import find_lease, tags_of
from annex_bootstrap.aws import Account, find_image
from annex_bootstrap.errors import UserError
from annex_bootstrap.machines.capacity import Capacity, Estimate, estimate, fleet_arguments
from annex_bootstrap.machines.instance_types import InstanceType, describe_types, find_types
from annex_bootstrap.machines.prices import find_prices
from annex_bootstrap.machines.quotas import check_quota
from annex_bootstrap.machines.subnets import find_subnets
from annex_bootstrap.stack.read import Stack, find_deployed
from annex_contract.image import CONDOR_TAG, IMAGE_TAG
from annex_contract.stack import STACK_TAG, Output


@dataclass(frozen=True)
class Plan:
    """What would be started in one region.

    Attributes:
        began: when it was made, in seconds since the epoch.
        account: where.
        stack: whose launch template it is.
        image: that the machines start from.
        machines: the types that AWS may choose from.
        estimate: what it may come to.
        quota: what is known of the quota of vCPUs; may be empty.
        unpriced: why prices are missing; empty where they are not.
        lease: that the annex has already, or None.
        running: how many machines the annex has already.
        request: what to carry out.
    """

    began: int
    account: Account
    stack: Stack
    image: MachineImage
    machines: Sequence[InstanceType]
    estimate: Estimate
    quota: str
    unpriced: str
    lease: Lease | None
    running: int
    request: Request

    @property
    def expiration(self) -> int:
        """When the lease will end, in seconds since the epoch: a lease is never shortened."""
        return max(self.request.annex.expiration, (self.lease.expiration or 0) if self.lease else 0)


@dataclass(frozen=True)
class MachineImage:
    """The image that a stack's machines start from.

    Attributes:
        image_id: its ID.
        architecture: ``x86_64`` or ``arm64``.
        condor: the version of HTCondor in it.
    """

    image_id: str
    architecture: str
    condor: str


def find_stack(account: Account, name: str) -> Stack:
    """Return a stack whose machines join by themselves.

    Raises:
        UserError: there is none of that name, or it makes no image.
    """
    stack = find_deployed(account, name)
    if Output.LAUNCH_TEMPLATE_ID not in stack.outputs:
        raise UserError(
            f"the stack {name} in {account.region} makes no image of its own, and only such machines join by "
            f"themselves: run annex-bootstrap deploy --region {account.region} --param Image=yes, or start the annex "
            "with HTCondor's own command"
        )
    return stack


def make_plan(account: Account, stack: Stack, annex: Annex, capacity: Capacity) -> Plan:
    """Find out what would be started, and make the request; nothing starts yet.

    Args:
        account: where.
        stack: whose launch template it is.
        annex: which annex the machines are for.
        capacity: what to start.

    Raises:
        UserError: there is no image, type, subnet or quota for it, or AWS refused.
    """
    outputs = stack.outputs
    image = machine_image(account, stack)
    if not (capacity.cores or capacity.types):
        capacity = replace(capacity, types=(outputs[Output.INSTANCE_TYPE],))
    machines = _find_machines(account, capacity, image.architecture)
    prices: Mapping[str, Decimal] = {}
    unpriced = ""
    try:
        prices = find_prices(account, [machine.name for machine in machines], spot=capacity.spot)
    except UserError as error:
        unpriced = str(error)
    expected = estimate(capacity, machines, prices)
    leases = Leases.of(account, outputs)
    running = leases.machines().get(annex.name)
    request_id = uuid.uuid4().hex
    subnets = find_subnets(account, outputs[Output.SECURITY_GROUP_ID], ())
    fleet = fleet_arguments(
        capacity,
        request_id,
        (outputs[Output.LAUNCH_TEMPLATE_ID], outputs[Output.LAUNCH_TEMPLATE_VERSION]),
        [subnet.subnet_id for subnet in subnets.values()],
        tags_of(request_id, annex.name, account.caller),
    )
    return Plan(
        began=int(time.time()),
        account=account,
        stack=stack,
        image=image,
        machines=machines,
        estimate=expected,
        quota=check_quota(account, machines, expected.vcpus, spot=capacity.spot),
        unpriced=unpriced,
        lease=find_lease(leases, annex.name),
        running=running.count if running else 0,
        request=Request(request_id, annex, capacity, account.account_id, account.region, stack.stack_id, fleet),
    )


def _find_machines(account: Account, capacity: Capacity, architecture: str) -> list[InstanceType]:
    """Return the types that AWS may choose from, by name; at least one."""
    if not capacity.cores:
        return describe_types(account, capacity.types, architecture)
    machines = find_types(account, capacity.requirements(), architecture)
    if not machines:
        raise UserError(
            f"no {architecture} instance type in {account.region} has {capacity.memory_per_core} MiB for each core: "
            "give --memory-per-core less"
        )
    return machines


def machine_image(account: Account, stack: Stack) -> MachineImage:
    """Return the image that a stack's machines start from.

    Raises:
        UserError: it is gone, or the stack did not make it, or AWS refused.
    """
    image_id = stack.outputs[Output.IMAGE_ID]
    image = find_image(account, image_id)
    tags = {tag["Key"]: tag["Value"] for tag in image.get("Tags", [])} if image is not None else {}
    if image is None or image["State"] != "available":
        raise UserError(
            f"the stack's image {image_id} is gone from {account.region}: run annex-bootstrap image rebuild"
        )
    if tags.get(STACK_TAG) != stack.stack_id or IMAGE_TAG not in tags:
        raise UserError(
            f"the image {image_id} was not made by the stack {stack.name}, so its machines would not know how to "
            "join: run annex-bootstrap deploy --param Image=yes"
        )
    return MachineImage(image_id, image["Architecture"], tags.get(CONDOR_TAG, "unknown"))
