"""What EC2 checks before a call.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2, iam

from local_aws.server import account, wire
from local_aws.server.ec2 import fleets, images, instances
from local_aws.server.ec2.launch_templates import merged, read_template
from local_aws.server.iam.rules import Check, Context, Rules, action_of
from local_aws.server.wire import Params, RefusalError

_TAGGED_ON_CREATION = ("CreateFleet", "CreateImage", "CreateSecurityGroup", "RunInstances")

_LAUNCH_KEYS = {
    "ec2:MetadataHttpEndpoint": "HttpEndpoint",
    "ec2:MetadataHttpPutResponseHopLimit": "HttpPutResponseHopLimit",
    "ec2:MetadataHttpTokens": "HttpTokens",
}
"""Condition keys of RunInstances for its machine, and the members of its MetadataOptions that they are."""

_OVERRIDING = {
    "image": ("ImageId",),
    "instance": ("IamInstanceProfile", "ImageId", "InstanceRequirements", "InstanceType", "KeyName", "MetadataOptions"),
    "key-pair": ("KeyName",),
    "network-interface": ("NetworkInterfaces", "SecurityGroupIds", "SubnetId"),
    "security-group": ("NetworkInterfaces", "SecurityGroupIds"),
    "snapshot": ("BlockDeviceMappings", "ImageId"),
    "subnet": ("NetworkInterfaces", "SubnetId"),
    "volume": ("BlockDeviceMappings", "ImageId"),
}
"""The members of a request that put something else in the place of what its launch template says, by resource."""

_NEW = ("instance", "network-interface", "volume")
"""What a launch makes: a template cannot name it."""


def resources(params: Params) -> list[str]:
    """Return the ARNs that a call is authorized on."""
    action = action_of(params)
    if action not in ec2._ACTION_MAP:
        return []
    names = [_arn(name) for name in _names(action, wire.read(action, params))]
    return names or (["*"] if action.startswith("Describe") else [])


def request_context(params: Params, arn: str) -> Context:
    """Return what a launch asks for where the resource is the machine, and the tags that the resource is created with.

    AWS lists each key with the types of resources that have it. MiniStack sees tags only where a member is named Tags.
    """
    action = action_of(params)
    if action == "ModifyInstanceAttribute":
        return _attribute_context(wire.read(action, params))
    if action not in _TAGGED_ON_CREATION:
        return {}
    request = wire.read(action, params)
    if action != "RunInstances" or "LaunchTemplate" not in request:
        return _creation_context(request, arn)
    template_id, _ = _template_of(request["LaunchTemplate"])
    return {**_creation_context(_merged(request), arn), **_template_context(template_id, request, arn)}


def _attribute_context(request: Mapping[str, Any]) -> Context:
    """Return which attribute of a machine is modified, in either of its spellings, and to what."""
    for name, value in request.items():
        if isinstance(value, dict) and "Value" in value:
            return {"ec2:Attribute": name, f"ec2:Attribute/{name}": str(value["Value"]).lower()}
    name = request.get("Attribute", "")
    name = name[:1].upper() + name[1:]
    return {"ec2:Attribute": name, f"ec2:Attribute/{name}": request["Value"]} if "Value" in request else {}


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
        yield from _tagging(action, _merged(request))
    for specification in request.get("SpotFleetRequestConfig", {}).get("LaunchSpecifications", []):
        for arn in map(_arn, _names("RunInstances", specification)):
            yield Check("ec2:RunInstances", arn, _creation_context(specification, arn))
        yield from _tagging("RunInstances", specification)
        yield from _passing(specification)
    if action == "RunInstances":
        yield from _passing(_merged(request))
    if action == "CreateFleet":
        yield from _launching(request)
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


def _vpc_keys(found: Mapping[str, Any] | None) -> dict[str, str]:
    return {"ec2:Vpc": _arn(f"vpc/{found['VpcId']}")} if found else {}


_KEYS: Mapping[str, Callable[[str], dict[str, str]]] = {
    "image": _image_keys,
    "security-group": lambda group_id: _vpc_keys(ec2._security_groups.get(group_id)),
    "subnet": lambda subnet_id: _vpc_keys(ec2._subnets.get(subnet_id)),
}
"""The condition keys that existing resources have beside their tags, by their types."""

RULES = Rules(resources, request_context, resource_context, implied_checks, fleets.refused)


def _names(action: str, request: Mapping[str, Any]) -> list[str]:
    """Return what a call is authorized on, as ``type/id``; nothing leaves the choice to MiniStack."""
    match action:
        case "RunInstances":
            wanted = _merged(request)
            templates = [f"launch-template/{_template_of(request['LaunchTemplate'])[0]}"] if wanted != request else []
            return ["instance/*", "network-interface/*", "volume/*", *_launch_resources(wanted), *templates]
        case "RequestSpotFleet":
            specifications = request.get("SpotFleetRequestConfig", {}).get("LaunchSpecifications", [])
            named = [name for specification in specifications for name in _launch_resources(specification)]
            return ["spot-fleet-request/*", *named]
        case "CreateFleet":
            named = []
            for config in request.get("LaunchTemplateConfigs", []):
                template_id, data = _template_of(config.get("LaunchTemplateSpecification", {}))
                named += [f"launch-template/{template_id}", *_images(config, data), *_subnets(config)]
            return ["fleet/*", "instance/*", "volume/*", *named]
        case "CreateSecurityGroup":
            return ["security-group/*", f"vpc/{request.get('VpcId', ec2._DEFAULT_VPC_ID)}"]
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


def _passing(request: Mapping[str, Any]) -> Iterator[Check]:
    profile = _profile_of(request)
    for name in profile["Roles"] if profile else []:
        yield Check("iam:PassRole", iam._roles[name]["Arn"], {"iam:PassedToService": "ec2.amazonaws.com"})


def _profile_of(request: Mapping[str, Any]) -> dict[str, Any] | None:
    wanted = request.get("IamInstanceProfile", {})
    found: dict[str, Any] | None = (
        iam._lookup_instance_profile(name=wanted.get("Name", ""), arn=wanted.get("Arn", "")) if wanted else None
    )
    return found


def _launching(request: Mapping[str, Any]) -> Iterator[Check]:
    """Yield what the caller of CreateFleet needs for the machines, which start with its rights.

    Each resource but a spot request has the launch template as a condition key, and another that says whether the
    template names it or the request does:
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/permissions-for-launch-templates.html
    """
    seen = set()
    for config in request.get("LaunchTemplateConfigs", []):
        template_id, data = _template_of(config.get("LaunchTemplateSpecification", {}))
        tags = [*request.get("TagSpecifications", []), *data.get("TagSpecifications", [])]
        for override in config.get("Overrides") or [{}]:
            wanted = {**data, **override, "TagSpecifications": tags}
            for name in [*_fleet_resources(wanted), f"launch-template/{template_id}"]:
                arn = _arn(name)
                context = {**_creation_context(wanted, arn), **_template_context(template_id, override, arn)}
                check = Check("ec2:RunInstances", arn, context)
                # Most overrides differ in nothing that matters here.
                if repr(check) not in seen:
                    seen.add(repr(check))
                    yield check
            yield from _passing(wanted)
        if request["TargetCapacitySpecification"].get("DefaultTargetCapacityType") == "spot":
            yield Check("ec2:RunInstances", _arn("spot-instances-request/*"), {})
        yield from _tagging("RunInstances", data)


def _fleet_resources(wanted: Mapping[str, Any]) -> list[str]:
    image = ec2._images.get(wanted.get("ImageId", "*"), {"BlockDeviceMappings": []})
    snapshots = [mapping["Ebs"]["SnapshotId"] for mapping in image["BlockDeviceMappings"]]
    return [
        f"image/{wanted.get('ImageId', '*')}",
        *(f"snapshot/{snapshot}" for snapshot in snapshots),
        *(f"security-group/{group_id}" for group_id in wanted.get("SecurityGroupIds", [])),
        *([f"key-pair/{wanted['KeyName']}"] if wanted.get("KeyName") else []),
        *([f"subnet/{wanted['SubnetId']}"] if "SubnetId" in wanted else []),
        *(f"{kind}/*" for kind in _NEW),
    ]


def _template_context(template_id: str, given: Mapping[str, Any], arn: str) -> Context:
    """Return the keys of a launch by a template, for one resource.

    Args:
        template_id: of the template.
        given: the members of the request that stand beside it.
        arn: of the resource.
    """
    kind = arn.split(":", 5)[-1].partition("/")[0]
    named = kind in _OVERRIDING and not any(member in given for member in _OVERRIDING[kind])
    if kind in _NEW:
        named = named and account.settings().launch_template_keys_of_new
    return {
        "ec2:LaunchTemplate": _arn(f"launch-template/{template_id}"),
        "ec2:IsLaunchTemplateResource": str(named).lower(),
    }


def _template_of(specification: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return ID and data of a launch template; where there is none, EC2 refuses the call itself."""
    try:
        return read_template(specification)
    except RefusalError:
        return "*", {"ImageId": "*"}


def _merged(request: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return merged(request)
    except RefusalError:
        return dict(request)


def _images(config: Mapping[str, Any], data: Mapping[str, Any]) -> list[str]:
    overrides = config.get("Overrides") or [{}]
    return sorted({f"image/{override.get('ImageId', data.get('ImageId', '*'))}" for override in overrides})


def _subnets(config: Mapping[str, Any]) -> list[str]:
    return sorted({f"subnet/{each['SubnetId']}" for each in config.get("Overrides", []) if "SubnetId" in each})


def _tagging(action: str, request: Mapping[str, Any]) -> Iterator[Check]:
    for specification in request.get("TagSpecifications", []):
        arn = _arn(f"{specification['ResourceType']}/*")
        yield Check("ec2:CreateTags", arn, {"ec2:CreateAction": action, **_tag_context(request, arn)})


def _creation_context(request: Mapping[str, Any], arn: str) -> Context:
    context = _tag_context(request, arn)
    if arn.endswith(":instance/*"):
        options = request.get("MetadataOptions", {})
        context |= {key: str(options[member]) for key, member in _LAUNCH_KEYS.items() if member in options}
        context |= {"ec2:InstanceType": request["InstanceType"]} if "InstanceType" in request else {}
        profile = _profile_of(request)
        context |= {"ec2:InstanceProfile": profile["Arn"]} if profile else {}
    if arn.endswith(":network-interface/*"):
        context |= _vpc_keys(ec2._subnets.get(_subnet_of(request)))
    return context


def _tag_context(request: Mapping[str, Any], arn: str) -> dict[str, str | list[str]]:
    # A new resource has no ID yet.
    new = [each for each in request.get("TagSpecifications", []) if arn.endswith(f":{each['ResourceType']}/*")]
    values = {tag["Key"]: tag.get("Value", "") for specification in new for tag in specification.get("Tags", [])}
    keys: dict[str, str | list[str]] = {"aws:TagKeys": list(values)} if values else {}
    return keys | {f"aws:RequestTag/{key}": value for key, value in values.items()}


def _launch_resources(request: Mapping[str, Any]) -> list[str]:
    groups = [
        *request.get("SecurityGroupIds", []),
        *(group["GroupId"] for group in request.get("SecurityGroups", []) if isinstance(group, dict)),
        *(group_id for interface in request.get("NetworkInterfaces", []) for group_id in interface.get("Groups", [])),
    ]
    volumes = [mapping.get("Ebs", {}) for mapping in request.get("BlockDeviceMappings", [])]
    return [
        f"image/{request.get('ImageId', '*')}",
        *(f"security-group/{group_id}" for group_id in groups or [ec2._DEFAULT_SG_ID]),
        f"subnet/{_subnet_of(request)}",
        *([f"key-pair/{request['KeyName']}"] if request.get("KeyName") else []),
        # A snapshot that the request names, not those of its image:
        # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ExamplePolicies_EC2.html#iam-example-runinstances
        *(f"snapshot/{volume['SnapshotId']}" for volume in volumes if "SnapshotId" in volume),
    ]


def _subnet_of(request: Mapping[str, Any]) -> str:
    named = [each["SubnetId"] for each in (request, *request.get("NetworkInterfaces", [])) if "SubnetId" in each]
    return str(named[0] if named else ec2._DEFAULT_SUBNET_ID)


def _typed(resource_id: str) -> str:
    kind = "spot-fleet-request" if resource_id.startswith("sfr-") else ec2._guess_resource_type(resource_id)
    return f"{kind}/{resource_id}"


def _arn(name: str) -> str:
    # The ARNs of images and snapshots name no account: most belong to somebody else.
    account = "" if name.startswith(("image/", "snapshot/")) else get_account_id()
    return f"arn:aws:ec2:{get_region()}:{account}:{name}"
