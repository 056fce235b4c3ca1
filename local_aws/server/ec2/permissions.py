"""What EC2 checks before a call.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ministack.services import ec2

from local_aws.server import wire
from local_aws.server.ec2 import fleets, images, instances
from local_aws.server.ec2.launch_permissions import (
    arn_of,
    creation_context,
    images_of,
    launch_resources,
    launching,
    passing,
    subnets_of,
    tagging,
    template_context,
    template_of,
    vpc_keys,
    with_template,
)
from local_aws.server.iam.rules import Check, Context, Rules, action_of
from local_aws.server.wire import Params

_TAGGED_ON_CREATION = ("CreateFleet", "CreateImage", "CreateSecurityGroup", "RunInstances")


def resources(params: Params) -> list[str]:
    """Return the ARNs that a call is authorized on."""
    action = action_of(params)
    if action not in ec2._ACTION_MAP:
        return []
    names = [arn_of(name) for name in _names(action, wire.read(action, params))]
    return names or (["*"] if action.startswith("Describe") else [])


def request_context(params: Params, arn: str) -> Context:
    """Return what a launch asks for where the resource is the machine, and the tags that the resource is created with.

    AWS lists each key with the types of resources that have it. MiniStack sees tags only where a member is named Tags.
    """
    action = action_of(params)
    if action in ("ModifyImageAttribute", "ModifyInstanceAttribute"):
        return _attribute_context(wire.read(action, params))
    if action not in _TAGGED_ON_CREATION:
        return {}
    request = wire.read(action, params)
    if action != "RunInstances" or "LaunchTemplate" not in request:
        return creation_context(request, arn)
    template_id, _ = template_of(request["LaunchTemplate"])
    return {**creation_context(with_template(request), arn), **template_context(template_id, request, arn)}


def _attribute_context(request: Mapping[str, Any]) -> Context:
    """Return which attribute of a machine or an image is modified, in either of its spellings, and to what."""
    for name, value in request.items():
        if isinstance(value, dict) and "Value" in value:
            return {"ec2:Attribute": name, f"ec2:Attribute/{name}": str(value["Value"]).lower()}
    name = request.get("Attribute", "")
    name = name[:1].upper() + name[1:]
    if "LaunchPermission" in request:
        name = "LaunchPermission"
    value = {f"ec2:Attribute/{name}": request["Value"]} if "Value" in request else {}
    return {"ec2:Attribute": name, **value} if name else {}


def resource_context(arn: str) -> Context:
    """Return a resource's tags, a machine's instance profile, an image's owner, and the VPC of what is in one."""
    kind, resource_id = arn.split(":", 5)[-1].partition("/")[::2]
    context: dict[str, str] = {
        f"{prefix}:ResourceTag/{key}": value
        for prefix in ("aws", "ec2")
        for key, value in instances.tags(resource_id).items()
    }
    profile = ec2._instances.get(resource_id, {}).get("IamInstanceProfile")
    if profile:
        context["ec2:InstanceProfile"] = profile["Arn"]
    return context | (_KEYS[kind](resource_id) if kind in _KEYS else {})


def implied_checks(params: Params) -> Iterator[Check]:
    """Yield ec2:CreateTags for tags set on creation, iam:PassRole for the role that is handed over.

    The caller of RequestSpotFleet also needs what starting and tagging the machines needs:
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-fleet-prerequisites.html
    """
    action = action_of(params)
    if action not in ec2._ACTION_MAP:
        return
    request = wire.read(action, params)
    if action in _TAGGED_ON_CREATION:
        yield from tagging(action, with_template(request))
    for specification in request.get("SpotFleetRequestConfig", {}).get("LaunchSpecifications", []):
        for arn in map(arn_of, _names("RunInstances", specification)):
            yield Check("ec2:RunInstances", arn, creation_context(specification, arn))
        yield from tagging("RunInstances", specification)
        yield from passing(specification)
    if action == "RunInstances":
        yield from passing(with_template(request))
    if action == "CreateFleet":
        yield from launching(request)
    # No document says which service EC2 names for a fleet's role. AWS's own policy for callers of RequestSpotFleet,
    # AWSThinkboxDeadlineSpotEventPluginAdminPolicy, allows this one alone.
    fleet_role = request.get("SpotFleetRequestConfig", {}).get("IamFleetRole")
    if fleet_role:
        yield Check("iam:PassRole", fleet_role, {"iam:PassedToService": "ec2.amazonaws.com"})


def _image_keys(image_id: str) -> dict[str, str]:
    view = next((view for view in images.views() if view["ImageId"] == image_id), None)
    if view is None:
        return {}
    owner = view.get("ImageOwnerAlias") or view["OwnerId"]
    return {"ec2:ImageID": image_id, "ec2:Owner": owner, "ec2:Public": view["IsPublic"]}


_KEYS: Mapping[str, Callable[[str], dict[str, str]]] = {
    "image": _image_keys,
    "security-group": lambda group_id: vpc_keys(ec2._security_groups.get(group_id)),
    "subnet": lambda subnet_id: vpc_keys(ec2._subnets.get(subnet_id)),
}
"""The condition keys that existing resources have beside their tags, by their types."""

RULES = Rules(resources, request_context, resource_context, implied_checks, fleets.refused)


def _names(action: str, request: Mapping[str, Any]) -> list[str]:
    """Return what a call is authorized on, as ``type/id``; nothing leaves the choice to MiniStack."""
    match action:
        case "RunInstances":
            wanted = with_template(request)
            templates = [f"launch-template/{template_of(request['LaunchTemplate'])[0]}"] if wanted != request else []
            return ["instance/*", "network-interface/*", "volume/*", *launch_resources(wanted), *templates]
        case "RequestSpotFleet":
            specifications = request.get("SpotFleetRequestConfig", {}).get("LaunchSpecifications", [])
            named = [name for specification in specifications for name in launch_resources(specification)]
            return ["spot-fleet-request/*", *named]
        case "CreateFleet":
            named = []
            for config in request.get("LaunchTemplateConfigs", []):
                template_id, data = template_of(config.get("LaunchTemplateSpecification", {}))
                named += [f"launch-template/{template_id}", *images_of(config, data), *subnets_of(config)]
            return ["fleet/*", "instance/*", "volume/*", *named]
        case "CreateSecurityGroup":
            return ["security-group/*", f"vpc/{request.get('VpcId', ec2._DEFAULT_VPC_ID)}"]
        case "CreateNetworkInterface":
            groups = [f"security-group/{group_id}" for group_id in request.get("Groups", [])]
            return ["network-interface/*", f"subnet/{request['SubnetId']}", *groups]
        case "DeleteNetworkInterface":
            return [f"network-interface/{request['NetworkInterfaceId']}"]
        case "CreateTags" | "DeleteTags":
            return [_typed(resource_id) for resource_id in request.get("Resources", [])]
        case "CancelSpotFleetRequests":
            return [_typed(fleet_id) for fleet_id in request.get("SpotFleetRequestIds", [])]
        case "CancelSpotInstanceRequests":
            return [f"spot-instances-request/{each}" for each in request.get("SpotInstanceRequestIds", [])]
        case "DeleteFleets":
            return [f"fleet/{fleet_id}" for fleet_id in request.get("FleetIds", [])]
        case "DescribeSpotFleetInstances" | "DescribeSpotFleetRequestHistory":
            return [_typed(request["SpotFleetRequestId"])]
        case "CreateImage":
            return ["image/*", f"instance/{request['InstanceId']}", "snapshot/*"]
        case "DeregisterImage" | "ModifyImageAttribute":
            return [f"image/{request['ImageId']}"]
        case "DeleteSnapshot":
            return [f"snapshot/{request['SnapshotId']}"]
        case "GetConsoleOutput" | "ModifyInstanceAttribute" | "ModifyInstanceMetadataOptions":
            return [f"instance/{request['InstanceId']}"]
        case "TerminateInstances" | "StartInstances" | "StopInstances" | "RebootInstances":
            return [_typed(instance_id) for instance_id in request.get("InstanceIds", [])]
    return []


def _typed(resource_id: str) -> str:
    kind = "spot-fleet-request" if resource_id.startswith("sfr-") else ec2._guess_resource_type(resource_id)
    return f"{kind}/{resource_id}"
