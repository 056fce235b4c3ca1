"""What ``start`` would start in one region, and the request that does it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from annex_bootstrap.annexes import starting
from annex_bootstrap.annexes.leases import Lease, Leases
from annex_bootstrap.annexes.requests import Request
from annex_bootstrap.aws import Account, find_image
from annex_bootstrap.errors import UserError
from annex_bootstrap.machines import offers, sources
from annex_bootstrap.machines.capacity import Estimate, Wanted, estimate, fleet_request
from annex_bootstrap.machines.instance_types import InstanceType
from annex_bootstrap.stack.read import Stack, find_deployed
from annex_contract.image import CONDOR_TAG, IMAGE_TAG
from annex_contract.stack import STACK_TAG, Output


@dataclass(frozen=True)
class Annex:
    """The annex that machines are for.

    Attributes:
        name: its name.
        owner: whose jobs its machines run; empty for everybody's.
        seconds: how long its lease is to last from now.
        idle: seconds without a job after which a machine goes.
    """

    name: str
    owner: str
    seconds: int
    idle: int


@dataclass(frozen=True)
class Plan:
    """What would be started in one region.

    Attributes:
        account: where.
        stack: whose launch template it is.
        image: ID, and the version of HTCondor in it.
        machines: the types that AWS may choose from.
        estimate: what it may come to.
        quota: what is known of the quota of vCPUs; may be empty.
        unpriced: why prices are missing; empty where they are not.
        held: the lease that the annex has already, or None.
        running: how many machines the annex has already.
        request: what to carry out.
    """

    account: Account
    stack: Stack
    image: tuple[str, str]
    machines: Sequence[InstanceType]
    estimate: Estimate
    quota: str
    unpriced: str
    held: Lease | None
    running: int
    request: Request


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


def make_plan(account: Account, stack: Stack, annex: Annex, wanted: Wanted) -> Plan:
    """Find out what would be started, and make the request; nothing starts yet.

    Args:
        account: where.
        stack: whose launch template it is.
        annex: which annex the machines are for.
        wanted: what to start; without a type, the stack's own is taken.

    Raises:
        UserError: there is no image, type, subnet or quota for it, or AWS refused.
    """
    outputs, now = stack.outputs, int(time.time())
    image_id, architecture, condor = _check_image(account, stack)
    if not (wanted.cores or wanted.types):
        wanted = Wanted(count=wanted.count, types=(outputs[Output.INSTANCE_TYPE],), spot=wanted.spot)
    machines = offers.find_types(account, wanted, architecture)
    known: Mapping[str, Decimal] = {}
    unpriced = ""
    try:
        known = offers.find_prices(account, machines, spot=wanted.spot)
    except UserError as error:
        unpriced = str(error)
    come_to = estimate(wanted, machines, known)
    leases = Leases.of(account, outputs)
    held = starting.find_lease(leases, annex.name)
    running = leases.machines().get(annex.name)
    request_id = uuid.uuid4().hex
    subnets = sources.find_subnets(account.ec2, outputs[Output.SECURITY_GROUP_ID], ())
    fleet = fleet_request(
        wanted,
        request_id,
        (outputs[Output.LAUNCH_TEMPLATE_ID], outputs[Output.LAUNCH_TEMPLATE_VERSION]),
        [subnet.subnet_id for subnet in subnets.values()],
        starting.tags_of(request_id, annex.name, account.caller),
    )
    return Plan(
        account=account,
        stack=stack,
        image=(image_id, condor),
        machines=machines,
        estimate=come_to,
        quota=offers.check_quota(account, machines, come_to.vcpus, spot=wanted.spot),
        unpriced=unpriced,
        held=held,
        running=running.count if running else 0,
        request=Request(
            request_id=request_id,
            annex_id=annex.name,
            account_id=account.account_id,
            region=account.region,
            stack_id=stack.stack_id,
            began=now,
            expiration=now + annex.seconds,
            owner=annex.owner,
            idle=annex.idle,
            fleet=fleet,
        ),
    )


def _check_image(account: Account, stack: Stack) -> tuple[str, str, str]:
    """Return the image's ID, architecture and version of HTCondor; refuse one that is not the stack's."""
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
    return image_id, image["Architecture"], tags.get(CONDOR_TAG, "unknown")
