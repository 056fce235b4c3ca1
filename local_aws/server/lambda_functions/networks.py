"""Functions that CloudFormation puts into a VPC: Lambda makes a network interface for them in each subnet.

It makes and deletes them with the rights of the function's role, and takes up to 20 minutes for the latter, here a few
seconds. What it may not delete stays. CloudFormation waits where it deletes a function, if its caller may see network
interfaces. Sources: https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html and
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-lambda-function-vpcconfig.html
"""

from __future__ import annotations

import contextvars
import hashlib
import secrets
import threading
from collections.abc import Mapping
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2, lambda_svc, sts
from ministack.services.cloudformation import provisioners

from local_aws.server.iam.caller import CALLER

LINGER = 3.0
"""Seconds that an interface stays where CloudFormation does not wait for it."""

ON_ALL = ("DescribeNetworkInterfaces", "DescribeSubnets")
ON_INTERFACES = ("AssignPrivateIpAddresses", "DeleteNetworkInterface", "UnassignPrivateIpAddresses")

Properties = Mapping[str, Any]


def install() -> None:
    """Extend MiniStack's CloudFormation, for what makes and updates functions."""
    handlers = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    create, update = handlers["create"], handlers["update"]

    def create_function(logical_id: str, properties: Properties, stack_name: str) -> Any:
        _check(properties)
        physical_id, attributes = create(logical_id, properties, stack_name)
        _attach(physical_id, properties)
        return physical_id, attributes

    def update_function(physical_id: str, old: Properties, new: Properties, *more: Any) -> Any:
        moves = old.get("VpcConfig") != new.get("VpcConfig")
        if moves:
            _check(new)
        updated = update(physical_id, old, new, *more)
        if moves:
            release(physical_id, str(new["Role"]), waits=False)
            _attach(physical_id, new)
        return updated

    handlers["create"], handlers["update"] = create_function, update_function


def release(function: str, role: str, *, waits: bool) -> None:
    """Let Lambda delete the interfaces of a function that no longer needs them.

    Args:
        function: its name.
        role: the ARN of its role.
        waits: whether CloudFormation waits for it, if its caller may see them.
    """
    found = [each for each, made in ec2._network_interfaces.items() if _is_of(function, made)]
    sees = bool(found) and waits and _may(CALLER.get(), "DescribeNetworkInterfaces", "*")
    for interface_id in found:
        if sees:
            _delete(interface_id, role)
        else:
            later = contextvars.copy_context()
            timer = threading.Timer(LINGER, later.run, (_delete, interface_id, role))
            timer.daemon = True
            timer.start()


def _is_of(function: str, interface: Mapping[str, Any]) -> bool:
    return str(interface["Description"]).rpartition("-")[0] == f"AWS Lambda VPC ENI-{function}"


def _delete(interface_id: str, role: str) -> None:
    if _may(_session(role), "DeleteNetworkInterface", _arn(f"network-interface/{interface_id}")):
        ec2._network_interfaces.pop(interface_id, None)
    elif interface_id in ec2._network_interfaces:
        ec2._network_interfaces[interface_id]["Status"] = "available"


def _check(properties: Properties) -> None:
    """Raise ValueError, which fails the resource, where Lambda could not make the interfaces."""
    network = properties.get("VpcConfig")
    if not network:
        return
    subnets, groups = ([each for each in network[kind] if each] for kind in ("SubnetIds", "SecurityGroupIds"))
    if not subnets or not groups:
        _refuse("SubnetIds and SecurityIds must coexist or be both empty list.")
    for kind, named, known in (("subnet", subnets, ec2._subnets), ("securityGroup", groups, ec2._security_groups)):
        for each in named:
            if each not in known:
                _refuse(f"The {kind} ID '{each}' does not exist")
    if len({known["VpcId"] for known in (*map(ec2._subnets.get, subnets), *map(ec2._security_groups.get, groups))}) > 1:
        _refuse("Security Groups are required to be in the same VPC.")
    parts = [
        "network-interface/*",
        *(f"subnet/{each}" for each in subnets),
        *(f"security-group/{each}" for each in groups),
    ]
    needed = [
        *(("CreateNetworkInterface", _arn(part)) for part in parts),
        *((action, "*") for action in ON_ALL),
        *((action, _arn(parts[0])) for action in ON_INTERFACES),
    ]
    session = _session(str(properties["Role"]))
    for action, resource in needed:
        if not _may(session, action, resource):
            _refuse(f"The provided execution role does not have permissions to call {action} on EC2")


def _refuse(why: str) -> None:
    raise ValueError(f'Resource handler returned message: "{why} (Service: Lambda, Status Code: 400)"')


def _attach(function: str, properties: Properties) -> None:
    network = properties.get("VpcConfig") or {"SubnetIds": [], "SecurityGroupIds": []}
    lambda_svc._functions[function]["config"]["VpcConfig"] = lambda_svc._vpc_config_with_id(network)
    for subnet in network["SubnetIds"]:
        interface_id = f"eni-{secrets.token_hex(9)[:17]}"
        ec2._network_interfaces[interface_id] = {
            "NetworkInterfaceId": interface_id,
            "SubnetId": subnet,
            "VpcId": ec2._subnets[subnet]["VpcId"],
            "AvailabilityZone": ec2._subnets[subnet]["AvailabilityZone"],
            "Description": f"AWS Lambda VPC ENI-{function}-{secrets.token_hex(4)}",
            "OwnerId": get_account_id(),
            "Status": "in-use",
            "PrivateIpAddress": ec2._random_ip("10.0"),
            "InterfaceType": "lambda",
            "SourceDestCheck": True,
            "MacAddress": "02:00:00:00:00:00",
            "Groups": [
                {"GroupId": group, "GroupName": ec2._security_groups[group]["GroupName"]}
                for group in network["SecurityGroupIds"]
            ],
            "Attachment": None,
        }


def _session(role: str) -> str:
    """Return the access key with which Lambda itself acts as a function's role; the function's code has another one."""
    name = role.rpartition("/")[2]
    key_id = f"ASIA{hashlib.sha256(f'lambda:{role}'.encode()).hexdigest()[:16].upper()}"
    session = f"arn:aws:sts::{get_account_id()}:assumed-role/{name}/awslambda"
    secret = {"SecretAccessKey": secrets.token_hex(), "SessionToken": secrets.token_hex()}
    sts.register_session(key_id, {"Arn": session, "UserId": f"{sts._role_id(role)}:awslambda", **secret})
    return key_id


def _may(key_id: str, action: str, resource: str) -> bool:
    denied = iam_evaluator.enforce(key_id, f"ec2:{action}", "ec2", get_region(), resource_arn=resource)
    return denied is None


def _arn(resource: str) -> str:
    return f"arn:aws:ec2:{get_region()}:{get_account_id()}:{resource}"
