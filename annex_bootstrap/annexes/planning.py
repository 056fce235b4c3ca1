"""What ``start`` would start in one region, and the request that does it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial

from annex_bootstrap.annexes import limits
from annex_bootstrap.annexes.leases import Lease, Leases
from annex_bootstrap.annexes.money import cents, read_balance
from annex_bootstrap.annexes.requests import Annex, Request
from annex_bootstrap.annexes.starting import find_lease, tags_of
from annex_bootstrap.aws import Account, find_image, in_background
from annex_bootstrap.errors import UnavailableError, UserError
from annex_bootstrap.machines.capacity import (
    MOST_OVERRIDES,
    Capacity,
    Estimate,
    choose_types,
    estimate,
    fleet_arguments,
    price_caps,
)
from annex_bootstrap.machines.instance_types import InstanceType, describe_types, find_types
from annex_bootstrap.machines.money import Allowance, lasts_until
from annex_bootstrap.machines.prices import ADDRESS, DISK, LATE, find_prices
from annex_bootstrap.machines.quotas import Quota, check_room, find_quota
from annex_bootstrap.machines.subnets import Subnet, find_subnets, stack_subnets
from annex_bootstrap.stack.read import Stack, find_deployed
from annex_contract.image import CONDOR_TAG, IMAGE_TAG
from annex_contract.stack import STACK_TAG, Output
from annex_contract.tags import tags_of_stack

HOUR = 3600


@dataclass(frozen=True)
class Plan:
    """What would be started in one region.

    Attributes:
        account: where.
        stack: whose launch template it is.
        image: that the machines start from.
        subnets: in which they start, one for each zone.
        machines: the types that AWS may choose from.
        estimate: what it may come to.
        quota: of vCPUs; None where the credentials may not read it.
        unpriced: why prices are missing; empty where they are not.
        lease: that the annex has already, or None.
        running: how many machines the annex has already.
        expiration: when its lease will end, in seconds since the epoch: only money shortens it.
        most: dollars that the machines cost at most until then; None where that is unknown.
        request: what to carry out.
        limit: what the annex may spend, with these machines; None where that is not limited.
        money_end: until when that lasts, in seconds since the epoch; 0 where it is not limited.
        costs: dollars an hour that a machine of each type costs at most; those that are unknown are missing.
    """

    account: Account
    stack: Stack
    image: MachineImage
    subnets: Sequence[Subnet]
    machines: Sequence[InstanceType]
    estimate: Estimate
    quota: Quota | None
    unpriced: str
    lease: Lease | None
    running: int
    expiration: int
    most: Decimal | None
    request: Request
    limit: Allowance | None = None
    money_end: int = 0
    costs: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True)
class MachineImage:
    """The image that a stack's machines start from.

    Attributes:
        image_id: its ID.
        architecture: ``x86_64`` or ``arm64``.
        condor: the version of HTCondor in it.
        disk: GB of a machine's disk.
    """

    image_id: str
    architecture: str
    condor: str
    disk: int


def find_stack(account: Account, name: str) -> Stack:
    """Return a stack whose machines join by themselves.

    Raises:
        UserError: there is none of that name, it makes no image, or it is of an earlier version.
    """
    stack = find_deployed(account, name)
    if Output.LAUNCH_TEMPLATE_ID not in stack.outputs:
        raise UserError(
            f"the stack {name} in {account.region} makes no image of its own, and only such machines join by "
            f"themselves: run annex-bootstrap deploy --region {account.region} --param Image=yes, or start the annex "
            "with HTCondor's own command"
        )
    if Output.START_ROLE_ID not in stack.outputs:
        raise UserError(
            f"the stack {name} in {account.region} is of an earlier version, whose machines could read the secrets of "
            f"all annexes: update it with annex-bootstrap deploy --region {account.region}"
        )
    return stack


def make_plan(
    account: Account,
    stack: Stack,
    annex: Annex,
    capacity: Capacity,
    subnet_ids: Sequence[str] = (),
    request_id: str = "",
    dollars: Decimal | None = None,
    tags: Mapping[str, str] | None = None,
) -> Plan:
    """Find out what would be started, and make the request; nothing starts yet.

    Args:
        account: where.
        stack: whose launch template it is.
        annex: which annex the machines are for.
        capacity: what to start.
        subnet_ids: of the subnets to start them in; empty for the stack's SubnetIds, else all of the VPC.
        request_id: of the request; empty for a new one.
        dollars: that the annex may spend in all; None for what its lease says, if it says so.
        tags: of the machines, their disks, network interfaces and the fleet, besides those of the stack and those that
            every annex has.

    Raises:
        UnavailableError: there is no image, type, subnet, quota or money for it, it would run too long or be beyond
            another limit of the stack, a price that limits it is unknown, or AWS refused.
        UserError: the annex cannot have that name, or nobody knows what it spends.
    """
    outputs, now = stack.outputs, int(time.time())
    if stack.max_seconds is not None and annex.expiration > now + stack.max_seconds:
        longest = stack.max_seconds // 3600
        raise UnavailableError(
            f"the stack in {account.region} lets a machine run {longest} hours (MaxLeaseHours): "
            f"give --duration {longest}h or less"
        )
    leases = Leases.of(account, stack)
    leases.check_name(annex.name)
    image = machine_image(account, stack)
    # Both take several calls of EC2, whose client is made by now: it is safe in threads, the making of clients is not.
    group_id = outputs[Output.SECURITY_GROUP_ID]
    reads_subnets = in_background(partial(find_subnets, account, group_id, subnet_ids or stack_subnets(stack)))
    reads_running = in_background(leases.machines)
    quota = find_quota(account, spot=capacity.spot)
    if not (capacity.cores or capacity.types):
        capacity = replace(capacity, types=(outputs[Output.INSTANCE_TYPE],))
    machines = limits.allowed(
        account.region, stack.limits, capacity, _find_machines(account, capacity, image.architecture)
    )
    prices, unpriced = find_prices(account, [machine.name for machine in machines], spot=capacity.spot)
    subnets = reads_subnets.result()
    extras = image.disk * DISK + (ADDRESS if any(subnet.public for subnet in subnets) else 0)
    if capacity.cores:
        machines = choose_types(capacity, machines, prices, None if quota is None else quota.room, extras)
        machines = machines[: MOST_OVERRIDES // len(subnets)]
    check_room(account.region, quota, capacity, machines)
    limits.check(account, leases.profile_arns, stack.limits, capacity, machines, prices.on_demand)
    caps = price_caps(capacity, machines, prices)
    expected = estimate(capacity, machines, prices.now, caps, extras)
    lease = find_lease(leases, annex.name)
    expiration = max(annex.expiration, (lease.expiration or 0) if lease else 0)
    # What ended before a lease that has run out is another annex of the same name.
    live = lease if lease is not None and (lease.expiration or 0) > now else None
    held = None if live is None else live.allowance
    limit, money_end = None, 0
    dollars = held.dollars if dollars is None and held is not None else dollars
    if dollars is not None:
        if expected.most is None:
            raise UnavailableError(
                f"a price is not known in {account.region}, so nobody can say how long ${dollars} last: "
                f"{unpriced or 'AWS names none'}; give --type another type"
            )
        besides = max(extras, held.extras) if held is not None else extras
        found = read_balance(leases, annex.name, held, besides, now, with_ended=live is not None)
        limit = Allowance(
            dollars,
            found.spent,
            now,
            len(found.running) + expected.machines[1],
            max([caps[machine.name] + extras for machine in machines] + list(found.running)),
            besides,
        )
        money_end = lasts_until(dollars - found.spent, found.per_hour + expected.most, now)
        _check_lasts(account.region, limit, money_end, min(expiration, now + HOUR), found.per_hour + expected.most)
        expiration = min(expiration, money_end)
        annex = replace(annex, expiration=expiration, money=limit.content())
    hours = Decimal(expiration - now) / 3600 + LATE
    running = reads_running.result().get(annex.name)
    request_id = request_id or uuid.uuid4().hex
    fleet = fleet_arguments(
        capacity,
        machines,
        caps,
        request_id,
        (outputs[Output.LAUNCH_TEMPLATE_ID], outputs[Output.LAUNCH_TEMPLATE_VERSION]),
        [subnet.subnet_id for subnet in subnets],
        {**tags_of_stack(stack.parameters), **(tags or {}), **tags_of(request_id, annex.name, account.caller)},
        stack.stack_id,
    )
    return Plan(
        account=account,
        stack=stack,
        image=image,
        subnets=subnets,
        machines=machines,
        estimate=expected,
        quota=quota,
        unpriced=unpriced,
        lease=lease,
        running=running.count if running else 0,
        expiration=expiration,
        most=None if expected.most is None else expected.most * hours,
        request=Request(
            request_id=request_id,
            annex=annex,
            capacity=capacity,
            weight=capacity.weight(machines[0]),
            account_id=account.account_id,
            region=account.region,
            stack_id=stack.stack_id,
            fleet=fleet,
        ),
        limit=limit,
        money_end=money_end,
        costs={name: cap + extras for name, cap in caps.items()},
    )


def _check_lasts(region: str, limit: Allowance, end: int, least: int, per_hour: Decimal) -> None:
    """Refuse to start machines whose money lasts less than an hour, or than it is to.

    Args:
        region: where.
        limit: what the annex may spend.
        end: until when it lasts, in seconds since the epoch.
        least: until when it has to, the same.
        per_hour: dollars at most, of all machines.

    Raises:
        UnavailableError: it does not.
    """
    if end < least:
        spent = f", of which at most ${cents(limit.spent)} are spent," if limit.spent else ""
        raise UnavailableError(
            f"${limit.dollars}{spent} may not last an hour: the machines in {region} cost at most "
            f"${cents(per_hour)}/hour, and a lease may end {int(LATE * 60)} minutes late: give a larger --max-dollars, "
            "fewer machines, or a cheaper --type"
        )


def _find_machines(account: Account, capacity: Capacity, architecture: str) -> list[InstanceType]:
    """Return the types that fit, by name; at least one."""
    if not capacity.cores:
        return describe_types(account, capacity.types, architecture)
    machines = find_types(account, capacity.requirements(), architecture)
    if not machines:
        raise UnavailableError(
            f"no {architecture} instance type in {account.region} has {capacity.memory_per_core} MiB for each core: "
            "give --memory-per-core less"
        )
    return machines


def machine_image(account: Account, stack: Stack) -> MachineImage:
    """Return the image that a stack's machines start from.

    Raises:
        UnavailableError: it is gone, or the stack did not make it, or AWS refused.
    """
    image_id = stack.outputs[Output.IMAGE_ID]
    image = find_image(account, image_id)
    tags = {tag["Key"]: tag["Value"] for tag in image.get("Tags", [])} if image is not None else {}
    if image is None or image["State"] != "available":
        raise UnavailableError(
            f"the stack's image {image_id} is gone from {account.region}: run annex-bootstrap image rebuild"
        )
    if tags.get(STACK_TAG) != stack.stack_id or IMAGE_TAG not in tags:
        raise UnavailableError(
            f"the image {image_id} was not made by the stack {stack.name}, so its machines would not know how to "
            "join: run annex-bootstrap deploy --param Image=yes"
        )
    disk = sum(mapping.get("Ebs", {}).get("VolumeSize", 0) for mapping in image.get("BlockDeviceMappings", []))
    return MachineImage(image_id, image["Architecture"], tags.get(CONDOR_TAG, "unknown"), disk)
