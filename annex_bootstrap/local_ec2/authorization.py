"""What AWS checks before an EC2 call and MiniStack does not: all resources, their tags, implied permissions.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ministack import app as ministack  # type: ignore[import-untyped]  # MiniStack ships no types
from ministack.core import iam_actions, iam_evaluator  # type: ignore[import-untyped]  # the same
from ministack.core.responses import get_account_id, get_region  # type: ignore[import-untyped]  # the same
from ministack.services import ec2, iam  # type: ignore[import-untyped]  # the same

from annex_bootstrap.local_ec2 import instances, wire
from annex_bootstrap.local_ec2.wire import Params, Response

_TAGGED_ON_CREATION = {"RunInstances": "instance", "CreateSecurityGroup": "security-group"}
_ministack_handler = ministack.SERVICE_HANDLERS["ec2"]
_ministack_enforce = iam_evaluator.enforce
_ministack_resource = iam_actions.extract_resource_arn
_ministack_more_resources = iam_actions.verified_access_resource_arns


@dataclass(frozen=True)
class Check:
    """A permission that a call needs beside its own action's.

    Attributes:
        action: an IAM action.
        resource: the ARN that it is checked on.
        context: condition keys of this check alone.
    """

    action: str
    resource: str
    context: Mapping[str, str | list[str]]


def install() -> None:
    """Put these checks where MiniStack makes its own; without ``AUTH=true`` it makes none."""
    ministack.SERVICE_HANDLERS["ec2"] = _handle
    iam_evaluator.enforce = _enforce
    iam_actions.extract_resource_arn = _first_resource
    iam_actions.verified_access_resource_arns = _resources
    # MiniStack finds aws:RequestTag only where the member is named Tags; here it is TagSpecifications.
    iam_actions._TAG_OPERATIONS["ec2"] = iam_actions._tag_operations("ec2") | _TAGGED_ON_CREATION.keys()


def resource_names(action: str, request: Mapping[str, Any]) -> list[str]:
    """Return what a call is authorized on, as ``type/id``; an empty list where AWS has no resource for it."""
    match action:
        case "RunInstances":
            return ["instance/*", "network-interface/*", "volume/*", *_launch_resources(request)]
        case "RequestSpotFleet":
            specifications = request.get("SpotFleetRequestConfig", {}).get("LaunchSpecifications", [])
            named = [name for each in specifications for name in _launch_resources(each)]
            return ["spot-fleet-request/*", *named]
        case "CreateSecurityGroup":
            return ["security-group/*", f"vpc/{request.get('VpcId', ec2._DEFAULT_VPC_ID)}"]
        case "CreateTags" | "DeleteTags":
            return [_typed(resource_id) for resource_id in request.get("Resources", [])]
        case "CancelSpotFleetRequests":
            return [_typed(fleet_id) for fleet_id in request.get("SpotFleetRequestIds", [])]
        case "DescribeSpotFleetInstances" | "DescribeSpotFleetRequestHistory":
            return [_typed(request["SpotFleetRequestId"])]
        case "TerminateInstances" | "StartInstances" | "StopInstances" | "RebootInstances":
            return [_typed(instance_id) for instance_id in request.get("InstanceIds", [])]
    return []


def implied_checks(action: str, params: Params) -> Iterator[Check]:
    """Yield ec2:CreateTags for tags set on creation, iam:PassRole for the role that is handed over."""
    request = wire.read(action, params)
    for specification in request.get("TagSpecifications", []) if action in _TAGGED_ON_CREATION else []:
        tags = {tag["Key"]: tag.get("Value", "") for tag in specification.get("Tags", [])}
        yield Check(
            "ec2:CreateTags",
            _arn(f"{specification['ResourceType']}/*"),
            {
                "ec2:CreateAction": action,
                "aws:TagKeys": list(tags),
                **{f"aws:RequestTag/{key}": value for key, value in tags.items()},
            },
        )
    if action == "RunInstances" and "IamInstanceProfile" in request:
        wanted = request["IamInstanceProfile"]
        profile = iam._lookup_instance_profile(name=wanted.get("Name", ""), arn=wanted.get("Arn", ""))
        for name in profile["Roles"] if profile else []:
            yield Check("iam:PassRole", iam._roles[name]["Arn"], {"iam:PassedToService": "ec2.amazonaws.com"})
    fleet_role = request.get("SpotFleetRequestConfig", {}).get("IamFleetRole")
    if fleet_role:
        yield Check("iam:PassRole", fleet_role, {"iam:PassedToService": "spotfleet.amazonaws.com"})


def _launch_resources(request: Mapping[str, Any]) -> list[str]:
    groups = request.get("SecurityGroupIds") or [
        group["GroupId"] for group in request.get("SecurityGroups", []) if isinstance(group, dict)
    ]
    return [
        f"image/{request.get('ImageId', '*')}",
        *(f"security-group/{group_id}" for group_id in groups or [ec2._DEFAULT_SG_ID]),
        f"subnet/{request.get('SubnetId', ec2._DEFAULT_SUBNET_ID)}",
        *([f"key-pair/{request['KeyName']}"] if request.get("KeyName") else []),
    ]


def _typed(resource_id: str) -> str:
    kind = "spot-fleet-request" if resource_id.startswith("sfr-") else ec2._guess_resource_type(resource_id)
    return f"{kind}/{resource_id}"


def _arn(name: str) -> str:
    # An image's ARN names no account: most belong to somebody else.
    account = "" if name.startswith("image/") else get_account_id()
    return f"arn:aws:ec2:{get_region()}:{account}:{name}"


def _action(params: Params) -> str:
    action = params.get("Action", "")
    return action if isinstance(action, str) else action[0]


def _resources(params: Params, region: str, account_id: str) -> list[str]:
    """MiniStack checks every resource of this list but the first, which it takes from `_first_resource`."""
    action = _action(params)
    names = resource_names(action, wire.read(action, params)) if action in ec2._ACTION_MAP else []
    more: list[str] = _ministack_more_resources(params, region, account_id)
    return [_arn(name) for name in names] or more


def _first_resource(
    service: str,
    method: str,
    path: str,
    headers: Any,
    body: bytes,
    params: Params,
    region: str,
    account_id: str,
) -> str:
    if service == "ec2":
        listed = _resources(params, region, account_id)
        if listed:
            return listed[0]
        if _action(params).startswith("Describe"):
            return "*"
    found: str = _ministack_resource(service, method, path, headers, body, params, region, account_id)
    return found


def _enforce(
    access_key_id: str,
    iam_action: str,
    service: str,
    region: str,
    resource_arn: str = "*",
    service_context: Mapping[str, Any] | None = None,
) -> Any:
    context = {**(service_context or {}), **(_resource_context(resource_arn) if service == "ec2" else {})}
    return _ministack_enforce(
        access_key_id, iam_action, service, region, resource_arn=resource_arn, service_context=context
    )


def _resource_context(arn: str) -> dict[str, str]:
    resource_id = re.sub(r".*/", "", arn)
    context = {
        f"{prefix}:ResourceTag/{key}": value
        for prefix in ("aws", "ec2")
        for key, value in instances.tags(resource_id).items()
    }
    profile = ec2._instances.get(resource_id, {}).get("IamInstanceProfile")
    if profile:
        context["ec2:InstanceProfile"] = profile["Arn"]
    return context


async def _handle(
    method: str, path: str, headers: dict[str, str], body: bytes, query_params: dict[str, Any]
) -> Response:
    params = ministack._routing_params(method, path, headers, body, query_params)
    action = _action(params)
    if action in ec2._ACTION_MAP:
        for check in implied_checks(action, params):
            denied: Response | None = ministack._enforce_data_plane(
                "ec2",
                check.action,
                headers,
                query_params,
                str(uuid.uuid4()),
                resource_arn=check.resource,
                service_context=check.context,
            )
            if denied:
                return denied
    answer: Response = await _ministack_handler(method, path, headers, body, query_params)
    return answer
