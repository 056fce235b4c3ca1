"""The subnets that machines can start in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from annex_bootstrap.aws import Account, explained
from annex_bootstrap.errors import UserError
from annex_bootstrap.stack.read import Stack


@dataclass(frozen=True)
class Subnet:
    """A subnet that a fleet could use.

    Attributes:
        subnet_id: its ID.
        zone: its availability zone.
        public: whether machines get a public address in it, without which they rarely reach the pool.
        free: addresses left.
    """

    subnet_id: str
    zone: str
    public: bool
    free: int


def find_subnets(account: Account, group_id: str, subnet_ids: Sequence[str]) -> dict[str, Subnet]:
    """Return one subnet for each zone.

    Args:
        account: where.
        group_id: the machines' security group; its VPC is where they go.
        subnet_ids: those to choose from; empty for all of the VPC.

    Returns:
        By zone.

    Raises:
        UserError: there is none, or AWS refused.
    """
    with explained("finding the subnets"):
        (group,) = account.ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
        vpc = group["VpcId"]
        pages = account.ec2.get_paginator("describe_subnets").paginate(Filters=[{"Name": "vpc-id", "Values": [vpc]}])
        subnets = [
            Subnet(
                described["SubnetId"],
                described["AvailabilityZone"],
                described.get("MapPublicIpOnLaunch", False),
                described.get("AvailableIpAddressCount", 0),
            )
            for page in pages
            for described in page["Subnets"]
            if not subnet_ids or described["SubnetId"] in subnet_ids
        ]
    missing = sorted(set(subnet_ids) - {subnet.subnet_id for subnet in subnets})
    if missing or not subnets:
        raise UserError(
            f"the VPC {vpc} has no subnet {', '.join(missing)}".rstrip() + ": give --subnet one of the VPC that the "
            "stack's security group is in"
        )
    return one_per_zone(subnets)


def one_per_zone(subnets: Sequence[Subnet]) -> dict[str, Subnet]:
    """Choose a subnet for each zone, since a fleet may not have two of one zone: a public one, then the emptiest."""
    return {
        subnet.zone: subnet
        for subnet in sorted(subnets, key=lambda subnet: (subnet.public, subnet.free, subnet.subnet_id))
    }


def stack_subnets(stack: Stack) -> list[str]:
    """Return the subnets that a stack's parameter names; none where it leaves the choice."""
    return [subnet.strip() for subnet in stack.parameters.get("SubnetIds", "").split(",") if subnet.strip()]
