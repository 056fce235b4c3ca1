"""The subnets that machines can start in, and whether machines there reach anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from annex_bootstrap.aws import Account, explained
from annex_bootstrap.errors import DeniedError, UnavailableError
from annex_bootstrap.stack.read import Stack
from annex_contract.stack import Parameter

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import RouteTableTypeDef

EVERYWHERE = "0.0.0.0/0"


@dataclass(frozen=True)
class Endpoint:
    """A way to a service of AWS that does not lead out of a VPC.

    Attributes:
        endpoint_id: its ID.
        service: to which it leads, such as ``ec2``.
        gateway: whether only subnets with a route to it reach it; otherwise it is for the whole VPC.
    """

    endpoint_id: str
    service: str
    gateway: bool


@dataclass(frozen=True)
class Subnet:
    """A subnet that a fleet could use.

    Attributes:
        subnet_id: its ID.
        zone: its availability zone.
        public: whether machines get a public address in it.
        free: addresses left.
        way_out: whether a machine in it reaches the internet; None where the credentials may not read routes.
    """

    subnet_id: str
    zone: str
    public: bool
    free: int
    way_out: bool | None = None


def find_subnets(account: Account, group_id: str, subnet_ids: Sequence[str]) -> list[Subnet]:
    """Return the subnets to start machines in, one for each zone.

    Args:
        account: where.
        group_id: the machines' security group; its VPC is where they go.
        subnet_ids: those to choose from; empty for all of the VPC.

    Raises:
        UnavailableError: there is none, or AWS refused.
    """
    with explained("finding the subnets"):
        (group,) = account.ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
        vpc = group["VpcId"]
        filters = [{"Name": "vpc-id", "Values": [vpc]}]
        pages = account.ec2.get_paginator("describe_subnets").paginate(Filters=filters)  # type: ignore[arg-type]  # as the reference has it
        described = [
            subnet for page in pages for subnet in page["Subnets"] if not subnet_ids or subnet["SubnetId"] in subnet_ids
        ]
    missing = sorted(set(subnet_ids) - {subnet["SubnetId"] for subnet in described})
    if missing or not described:
        raise UnavailableError(
            f"the VPC {vpc} has no subnet {', '.join(missing)}".rstrip() + ": give --subnet one of the VPC that the "
            "stack's security group is in"
        )
    tables = route_tables(account, vpc)
    subnets = []
    for each in described:
        subnet_id, public = each["SubnetId"], each.get("MapPublicIpOnLaunch", False)
        way_out = None if tables is None else has_way_out(subnet_id, tables, public=public)
        subnets.append(
            Subnet(subnet_id, each["AvailabilityZone"], public, each.get("AvailableIpAddressCount", 0), way_out)
        )
    chosen = one_per_zone(subnets)
    # Nobody chose the subnets, so those that lead nowhere are left out, unless there are no others.
    return chosen if subnet_ids else [subnet for subnet in chosen if subnet.way_out is not False] or chosen


def route_tables(account: Account, vpc: str) -> list[RouteTableTypeDef] | None:
    """Return the route tables of a VPC; None where the credentials may not read them."""
    try:
        with explained("reading the route tables"):
            pages = account.ec2.get_paginator("describe_route_tables").paginate(
                Filters=[{"Name": "vpc-id", "Values": [vpc]}]
            )
            return [table for page in pages for table in page["RouteTables"]]
    except DeniedError:
        return None


def find_endpoints(account: Account, vpc: str) -> list[Endpoint] | None:
    """Return the endpoints by which machines in a VPC may reach a service of AWS under its usual name.

    Source: https://docs.aws.amazon.com/vpc/latest/privatelink/privatelink-access-aws-services.html

    Args:
        account: where.
        vpc: the ID of the VPC.

    Returns:
        None where the credentials may not read them.
    """
    try:
        with explained("reading the VPC's endpoints"):
            pages = account.ec2.get_paginator("describe_vpc_endpoints").paginate(
                Filters=[{"Name": "vpc-id", "Values": [vpc]}]
            )
            found = [each for page in pages for each in page["VpcEndpoints"] if each["State"].lower() == "available"]
    except DeniedError:
        return None
    return [
        Endpoint(
            each["VpcEndpointId"],
            # com.amazonaws.us-east-1.ec2, in China with another prefix.
            each["ServiceName"].rpartition(f".{account.region}.")[2],
            gateway=each["VpcEndpointType"] == "Gateway",
        )
        for each in found
        if each["VpcEndpointType"] == "Gateway" or each.get("PrivateDnsEnabled")
    ]


def has_way_out(subnet_id: str, tables: Iterable[Mapping[str, Any]], *, public: bool) -> bool:
    """Return whether a machine in a subnet reaches the internet. The arguments are those of ``find_ways``."""
    return EVERYWHERE in find_ways(subnet_id, tables, public=public)


def find_ways(subnet_id: str, tables: Iterable[Mapping[str, Any]], *, public: bool) -> dict[str, str]:
    """Return what a machine in a subnet reaches outside of its VPC, and through what.

    Source: https://docs.aws.amazon.com/vpc/latest/userguide/VPC_Route_Tables.html

    Args:
        subnet_id: its ID.
        tables: all of the VPC, as DescribeRouteTables returns them. A subnet that none names has the main one.
        public: whether machines get a public address in it, without which an internet gateway leads nowhere.

    Returns:
        The ID of each route's target by its destination: a CIDR range, or the ID of a gateway endpoint's prefix list.
    """
    main: Mapping[str, Any] = {}
    own: Mapping[str, Any] = {}
    for table in tables:
        for association in table.get("Associations", []):
            if association.get("SubnetId") == subnet_id:
                own = table
            elif association.get("Main"):
                main = table
    ways = {}
    for route in (own or main).get("Routes", []):
        destination = route.get("DestinationCidrBlock") or route.get("DestinationPrefixListId")
        targets = [value for name, value in route.items() if name.endswith("Id") and name != "DestinationPrefixListId"]
        target = next((each for each in targets if each != "local"), "")
        leads = target and route.get("State") != "blackhole" and (public or not target.startswith("igw-"))
        if destination and leads:
            ways[destination] = target
    return ways


def one_per_zone(subnets: Sequence[Subnet]) -> list[Subnet]:
    """Choose a subnet for each zone, since a fleet may not have two of one zone.

    One that leads somewhere is better, then a public one, then the emptiest.
    """
    chosen = {
        subnet.zone: subnet
        for subnet in sorted(
            subnets, key=lambda subnet: (subnet.way_out is not False, subnet.public, subnet.free, subnet.subnet_id)
        )
    }
    return [chosen[zone] for zone in sorted(chosen)]


def stack_subnets(stack: Stack) -> list[str]:
    """Return the subnets that a stack's parameter names; none where it leaves the choice."""
    given = stack.parameters.get(Parameter.SUBNET_IDS, "")
    return [subnet.strip() for subnet in given.split(",") if subnet.strip()]
