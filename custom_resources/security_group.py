"""The security group of the machines: who may reach them on HTCondor's port and over SSH.

An empty ``VpcId`` means the default VPC; another VPC comes with another ``GroupName``. Ranges are IPv4 or IPv6.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from annex_contract.resources import SECURITY_GROUP, Attribute, Property
from annex_contract.stack import STACK_TAG
from custom_resources.lifecycle import NotYetError, Request, ResourceError, client, error_code, serve

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import (
        FilterTypeDef,
        IpPermissionOutputTypeDef,
        IpPermissionTypeDef,
        SecurityGroupTypeDef,
        TagSpecificationTypeDef,
    )

logger = logging.getLogger(__name__)

SSH_PORT = 22

Rule = tuple[int, str]
"""A TCP port that is open, and the range that may reach it."""


def put(request: Request) -> Mapping[str, str]:
    """Make the group, or bring ours to the rules that the properties ask for.

    Raises:
        ResourceError: there is no VPC, or a group of that name is not this stack's.
        ClientError: AWS refused a call.
    """
    ec2: EC2Client = client("ec2")
    wanted = set(wanted_rules(request.properties))
    vpc_id = str(request.properties[Property.VPC_ID]) or _default_vpc(ec2)
    # A name is unique in a VPC.
    group = next(iter(_describe(ec2, [("group-name", request.name), ("vpc-id", vpc_id)])), None)
    if group is None:
        group_id = _create(ec2, request, vpc_id)
        current: set[Rule] = set()
    elif not request.owns(group.get("Tags", [])):
        raise ResourceError(
            f"a security group {request.name} exists in {vpc_id} and was not made by this stack; delete or rename it"
        )
    else:
        group_id, current = group["GroupId"], set(_rules_of(group["IpPermissions"]))
    if wanted - current:
        ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=_permissions(wanted - current))
    if current - wanted:
        ec2.revoke_security_group_ingress(GroupId=group_id, IpPermissions=_permissions(current - wanted))
    return {Attribute.GROUP_ID: group_id, Attribute.VPC_ID: vpc_id}


def delete(request: Request) -> str:
    """Delete the group if this stack made it.

    Raises:
        NotYetError: something still uses it; the text names it.
        ClientError: AWS refused a call.
    """
    ec2: EC2Client = client("ec2")
    for group in _describe(ec2, [("group-name", request.name), (f"tag:{STACK_TAG}", request.stack_id)]):
        try:
            ec2.delete_security_group(GroupId=group["GroupId"])
        except ClientError as error:
            if error_code(error) != "DependencyViolation":
                raise
            users = ", ".join(_users(ec2, group["GroupId"])) or "a rule of another group"
            raise NotYetError(
                f"{group['GroupId']} is still in use; end what uses it, then delete the stack again: {users}"
            ) from error
    return ""


def wanted_rules(properties: Mapping[str, Any]) -> Iterator[Rule]:
    """Return the rules that the properties ask for. An empty list closes the port.

    Raises:
        ResourceError: a range is invalid.
    """
    for port, ranges in (
        (int(properties[Property.CONDOR_PORT]), properties[Property.CONDOR_CIDRS]),
        (SSH_PORT, properties[Property.SSH_CIDRS]),
    ):
        for text in filter(None, map(str.strip, ranges)):
            try:
                # EC2 stores ranges in this form, so rules can be compared.
                yield port, str(ipaddress.ip_network(text))
            except ValueError as error:
                raise ResourceError(f"{text!r} is not a range of addresses such as 192.0.2.0/24: {error}") from error


def _default_vpc(ec2: EC2Client) -> str:
    vpcs = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not vpcs:
        raise ResourceError("this region has no default VPC; give the parameter VpcId")
    return vpcs[0]["VpcId"]


def _describe(ec2: EC2Client, by: Iterable[tuple[str, str]]) -> list[SecurityGroupTypeDef]:
    filters: list[FilterTypeDef] = [{"Name": key, "Values": [value]} for key, value in by]
    return ec2.describe_security_groups(Filters=filters)["SecurityGroups"]


def _create(ec2: EC2Client, request: Request, vpc_id: str) -> str:
    # Tagged in the same call, so that an interruption cannot leave a group without an owner.
    tagged: TagSpecificationTypeDef = {
        "ResourceType": "security-group",
        "Tags": request.tags,  # type: ignore[typeddict-item]  # EC2's own tag type has optional members
    }
    return ec2.create_security_group(
        GroupName=request.name,
        Description="Machines of HTCondor annexes",
        VpcId=vpc_id,
        TagSpecifications=[tagged],
    )["GroupId"]


def _permissions(rules: Iterable[Rule]) -> list[IpPermissionTypeDef]:
    permissions: list[IpPermissionTypeDef] = []
    for port, cidr in sorted(rules):
        permission: IpPermissionTypeDef = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port}
        if ":" in cidr:
            permission["Ipv6Ranges"] = [{"CidrIpv6": cidr}]
        else:
            permission["IpRanges"] = [{"CidrIp": cidr}]
        permissions.append(permission)
    return permissions


def _rules_of(permissions: Iterable[IpPermissionOutputTypeDef]) -> Iterator[Rule]:
    for permission in permissions:
        if permission["IpProtocol"] == "tcp" and permission["FromPort"] == permission["ToPort"]:
            for v4 in permission["IpRanges"]:
                yield permission["FromPort"], v4["CidrIp"]
            for v6 in permission["Ipv6Ranges"]:
                yield permission["FromPort"], v6["CidrIpv6"]


def _users(ec2: EC2Client, group_id: str) -> list[str]:
    """Return what keeps a group from being deleted: machines, and other things with a network interface."""
    machines = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "instance.group-id", "Values": [group_id]}]
    )
    interfaces = ec2.get_paginator("describe_network_interfaces").paginate(
        Filters=[{"Name": "group-id", "Values": [group_id]}]
    )
    return [
        *(
            machine["InstanceId"]
            for page in machines
            for reservation in page["Reservations"]
            for machine in reservation["Instances"]
        ),
        *(
            interface["NetworkInterfaceId"]
            for page in interfaces
            for interface in page["NetworkInterfaces"]
            if not interface.get("Attachment", {}).get("InstanceId")
        ),
    ]


handler = serve(SECURITY_GROUP.name_property, put, delete)
