"""Requests about security groups that EC2 refuses and MiniStack accepts."""

from __future__ import annotations

from typing import Any

from ministack.services import ec2

from local_aws.server import wire
from local_aws.server.ec2 import instances
from local_aws.server.ec2.network_interfaces import groups_of
from local_aws.server.wire import Params, RefusalError, Response

_ministack: dict[str, wire.Handler] = dict(ec2._ACTION_MAP)


def install() -> None:
    """Extend MiniStack's EC2."""
    wire.install(
        {
            "AuthorizeSecurityGroupIngress": authorize_ingress,
            "CreateSecurityGroup": create,
            "DeleteSecurityGroup": delete,
            "DescribeSecurityGroups": describe,
        }
    )


def create(params: Params) -> Response:
    """CreateSecurityGroup; the VPC must exist."""
    vpc_id = wire.read("CreateSecurityGroup", params).get("VpcId")
    if vpc_id and vpc_id not in ec2._vpcs:
        raise RefusalError("InvalidVpcID.NotFound", f"The vpc ID '{vpc_id}' does not exist")
    return _ministack["CreateSecurityGroup"](params)


def authorize_ingress(params: Params) -> Response:
    """AuthorizeSecurityGroupIngress; a rule that the group has already refuses the whole call."""
    request = wire.read("AuthorizeSecurityGroupIngress", params)
    group = ec2._security_groups.get(request.get("GroupId"), {"IpPermissions": []})
    repeated = _cidr_rules([request, *request.get("IpPermissions", [])]) & _cidr_rules(group["IpPermissions"])
    if repeated:
        raise RefusalError("InvalidPermission.Duplicate", f"the specified rule {min(repeated)} already exists")
    return _ministack["AuthorizeSecurityGroupIngress"](params)


def delete(params: Params) -> Response:
    """DeleteSecurityGroup; a group that a live instance or a network interface uses stays."""
    group_id = wire.read("DeleteSecurityGroup", params).get("GroupId", "")
    if any(group_id in groups_of(interface) for interface in ec2._network_interfaces.values()):
        raise RefusalError("DependencyViolation", f"resource {group_id} has a dependent object")
    for instance in ec2._instances.values():
        if group_id in instances.group_ids(instance) and instances.is_live(instance["InstanceId"]):
            raise RefusalError("DependencyViolation", f"resource {group_id} has a dependent object")
    return _ministack["DeleteSecurityGroup"](params)


def describe(params: Params) -> Response:
    """DescribeSecurityGroups; MiniStack ignores the filters that it does not know."""
    for filter_ in wire.read("DescribeSecurityGroups", params).get("Filters", []):
        name = filter_["Name"]
        if name not in ("group-name", "vpc-id", "tag-key") and not name.startswith("tag:"):
            raise RefusalError("InvalidParameterValue", f"The filter '{name}' is invalid")
    return _ministack["DescribeSecurityGroups"](params)


def _cidr_rules(permissions: list[dict[str, Any]]) -> set[str]:
    return {
        f"{cidr} {permission['IpProtocol']} {permission.get('FromPort')}-{permission.get('ToPort')}"
        for permission in permissions
        for cidr in (
            permission.get("CidrIp"),
            *(ip_range["CidrIp"] for ip_range in permission.get("IpRanges", [])),
            *(ip_range["CidrIpv6"] for ip_range in permission.get("Ipv6Ranges", [])),
        )
        if cidr
    }
