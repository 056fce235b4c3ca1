"""What a spot fleet file is made from: images, subnets, types and prices, as AWS has them now."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from annex_bootstrap.aws import Account, explained
from annex_bootstrap.errors import UserError
from annex_bootstrap.fleet import prices
from annex_bootstrap.fleet.fleet_file import Image, Offer, Subnet, make_offers, newest, one_subnet_a_zone
from annex_bootstrap.fleet.instance_types import Slot, choose, current_spot_types, offered_zones

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import ImageTypeDef


def find_image(ec2: EC2Client, image_id: str, name: str, owners: Sequence[str], architecture: str) -> Image:
    """Return the image with that ID, or the newest whose name matches.

    Args:
        ec2: the client.
        image_id: its ID; empty to find it by name.
        name: a pattern such as ``my-annex-*``.
        owners: accounts, ``self`` or ``amazon``, whose images the name may match.
        architecture: that the image must have.

    Raises:
        UserError: there is none, or it has another architecture.
    """
    with explained("finding the image"):
        if image_id:
            found = ec2.describe_images(ImageIds=[image_id])["Images"]
        else:
            found = ec2.describe_images(
                Owners=list(owners),
                Filters=[
                    {"Name": "name", "Values": [name]},
                    {"Name": "architecture", "Values": [architecture]},
                    {"Name": "state", "Values": ["available"]},
                ],
            )["Images"]
    image = newest([_image(image) for image in found])
    if image is None:
        raise UserError(
            f"there is no {architecture} image {image_id or name!r} of {', '.join(owners)} in this region: "
            "give --image an ID, or --image-name another pattern, or --image-owner the account that shares it"
        )
    if image.architecture != architecture:
        raise UserError(
            f"the image {image.image_id} is for {image.architecture}: give --arch {image.architecture}, "
            "or another image"
        )
    return image


def _image(described: ImageTypeDef) -> Image:
    return Image(
        described["ImageId"], described.get("Name", ""), described.get("CreationDate", ""), described["Architecture"]
    )


def find_subnets(ec2: EC2Client, group_id: str, subnet_ids: Sequence[str]) -> dict[str, Subnet]:
    """Return one subnet for each zone.

    Args:
        ec2: the client.
        group_id: the machines' security group; its VPC is where they go.
        subnet_ids: those to choose from; empty for all of the VPC.

    Returns:
        By zone.

    Raises:
        UserError: there is none, or AWS refused.
    """
    with explained("finding the subnets"):
        (group,) = ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
        vpc = group["VpcId"]
        pages = ec2.get_paginator("describe_subnets").paginate(Filters=[{"Name": "vpc-id", "Values": [vpc]}])
        found = [
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
    missing = sorted(set(subnet_ids) - {subnet.subnet_id for subnet in found})
    if missing or not found:
        raise UserError(
            f"the VPC {vpc} has no subnet {', '.join(missing)}".rstrip() + ": give --subnet one of the VPC that the "
            "stack's security group is in"
        )
    return one_subnet_a_zone(found)


def find_offers(
    account: Account,
    slot: Slot,
    architecture: str,
    wanted: Sequence[str],
    excluded: Sequence[str],
    subnets: dict[str, Subnet],
    *,
    prices_needed: bool,
) -> list[Offer]:
    """Return the instance types that a fleet can use, the cheapest slot first.

    Args:
        account: where.
        slot: what one slot gets.
        architecture: of the machines.
        wanted: patterns of types; empty for all.
        excluded: patterns of types.
        subnets: by zone.
        prices_needed: whether it is an error that there are no prices.

    Raises:
        UserError: no type fits, AWS refused, or prices are needed and cannot be read.
    """
    ec2 = account.ec2
    machines = choose(current_spot_types(ec2, architecture), slot, wanted, excluded)
    known: dict[str, Decimal] = {}
    if machines:
        try:
            known = prices.on_demand(account)
        except UserError as error:
            if prices_needed:
                raise UserError(f"{error}; or give --max-price, in dollars a slot-hour") from error
    offers = make_offers(machines, slot, known, offered_zones(ec2, subnets), subnets)
    if not offers:
        raise UserError(
            f"no current {architecture} spot instance type in {account.region} holds a slot of {slot.cpus} CPUs and "
            f"{slot.memory} MiB: give --cpus or --memory less, or --types other patterns"
        )
    return offers
