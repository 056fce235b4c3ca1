"""What starting machines needs: on each resource of the launch, with what the request and its template ask for.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2, iam

from local_aws.server.ec2.encryption import key_of
from local_aws.server.ec2.launch_templates import merged, read_template
from local_aws.server.iam.rules import Check, Context
from local_aws.server.wire import RefusalError

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


def vpc_keys(found: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the VPC that something is in, as a condition key."""
    return {"ec2:Vpc": arn_of(f"vpc/{found['VpcId']}")} if found else {}


def passing(request: Mapping[str, Any]) -> Iterator[Check]:
    """Yield iam:PassRole for the role of the machines that a launch starts."""
    profile = profile_of(request)
    for name in profile["Roles"] if profile else []:
        yield Check("iam:PassRole", iam._roles[name]["Arn"], {"iam:PassedToService": "ec2.amazonaws.com"})


def profile_of(request: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return MiniStack's record of the instance profile that a launch names, or None."""
    wanted = request.get("IamInstanceProfile", {})
    found: dict[str, Any] | None = (
        iam._lookup_instance_profile(name=wanted.get("Name", ""), arn=wanted.get("Arn", "")) if wanted else None
    )
    return found


def launching(request: Mapping[str, Any]) -> Iterator[Check]:
    """Yield what the caller of CreateFleet needs for the machines, which start with its rights.

    Each resource but a spot request has the launch template as a condition key, and another that says whether the
    template names it or the request does:
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/permissions-for-launch-templates.html
    """
    seen = set()
    for config in request.get("LaunchTemplateConfigs", []):
        template_id, data = template_of(config.get("LaunchTemplateSpecification", {}))
        # Those of the request are for the fleet, where it is of another type.
        own = request.get("TagSpecifications", []) if request.get("Type") == "instant" else []
        tags = [*own, *data.get("TagSpecifications", [])]
        for override in config.get("Overrides") or [{}]:
            wanted = {**data, **override, "TagSpecifications": tags}
            for name in [*_fleet_resources(wanted), f"launch-template/{template_id}"]:
                arn = arn_of(name)
                context = {**creation_context(wanted, arn), **template_context(template_id, override, arn)}
                check = Check("ec2:RunInstances", arn, context)
                # Most overrides differ in nothing that matters here.
                if repr(check) not in seen:
                    seen.add(repr(check))
                    yield check
            yield from passing(wanted)
        if request["TargetCapacitySpecification"].get("DefaultTargetCapacityType") == "spot":
            yield Check("ec2:RunInstances", arn_of("spot-instances-request/*"), {})
        yield from tagging("RunInstances", data)


def _fleet_resources(wanted: Mapping[str, Any]) -> list[str]:
    image = ec2._images.get(wanted.get("ImageId", "*"), {"BlockDeviceMappings": []})
    volumes = [
        mapping.get("Ebs", {}) for mapping in (*image["BlockDeviceMappings"], *wanted.get("BlockDeviceMappings", []))
    ]
    return [
        f"image/{wanted.get('ImageId', '*')}",
        *(f"snapshot/{volume['SnapshotId']}" for volume in volumes if "SnapshotId" in volume),
        *(f"security-group/{group_id}" for group_id in wanted.get("SecurityGroupIds", [])),
        *([f"key-pair/{wanted['KeyName']}"] if wanted.get("KeyName") else []),
        *([f"subnet/{wanted['SubnetId']}"] if "SubnetId" in wanted else []),
        "instance/*",
        "network-interface/*",
        "volume/*",
    ]


def template_context(template_id: str, given: Mapping[str, Any], arn: str) -> Context:
    """Return the keys of a launch by a template, for one resource.

    What a launch makes counts as the template's, too, unless the request overrides it: the example of the user guide
    works only so, and a decoded authorization message of a launch by EKS has the key as true for its machine.
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/use-launch-templates-to-control-launching-instances.html

    Args:
        template_id: of the template.
        given: the members of the request that stand beside it.
        arn: of the resource.
    """
    kind = arn.split(":", 5)[-1].partition("/")[0]
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html has neither key there.
    if kind == "spot-instances-request":
        return {}
    named = kind in _OVERRIDING and not any(member in given for member in _OVERRIDING[kind])
    return {
        "ec2:LaunchTemplate": arn_of(f"launch-template/{template_id}"),
        "ec2:IsLaunchTemplateResource": str(named).lower(),
    }


def template_of(specification: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return ID and data of a launch template; where there is none, EC2 refuses the call itself."""
    try:
        return read_template(specification)
    except RefusalError:
        return "*", {"ImageId": "*"}


def with_template(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a launch with what its template says; where there is no template, EC2 refuses the call itself."""
    try:
        return merged(request)
    except RefusalError:
        return dict(request)


def images_of(config: Mapping[str, Any], data: Mapping[str, Any]) -> list[str]:
    """Return the images of a member of LaunchTemplateConfigs, as ``image/id``."""
    overrides = config.get("Overrides") or [{}]
    return sorted({f"image/{override.get('ImageId', data.get('ImageId', '*'))}" for override in overrides})


def subnets_of(config: Mapping[str, Any]) -> list[str]:
    """Return the subnets of a member of LaunchTemplateConfigs, as ``subnet/id``."""
    return sorted({f"subnet/{each['SubnetId']}" for each in config.get("Overrides", []) if "SubnetId" in each})


def tagging(action: str, request: Mapping[str, Any]) -> Iterator[Check]:
    """Yield ec2:CreateTags for the tags that a call sets on what it creates."""
    for specification in request.get("TagSpecifications", []):
        arn = arn_of(f"{specification['ResourceType']}/*")
        yield Check("ec2:CreateTags", arn, {"ec2:CreateAction": action, **_tag_context(request, arn)})


def creation_context(request: Mapping[str, Any], arn: str) -> Context:
    """Return the condition keys of what a request creates, for the resource with an ARN."""
    context = _tag_context(request, arn)
    if arn.endswith(":instance/*"):
        options = request.get("MetadataOptions", {})
        context |= {key: str(options[member]) for key, member in _LAUNCH_KEYS.items() if member in options}
        context |= {"ec2:InstanceType": request["InstanceType"]} if "InstanceType" in request else {}
        profile = profile_of(request)
        context |= {"ec2:InstanceProfile": profile["Arn"]} if profile else {}
    if arn.endswith(":volume/*"):
        volumes = request.get("BlockDeviceMappings") or [{}]
        encrypted = all(key_of(request, volume) for volume in volumes if "VirtualName" not in volume)
        context |= {"ec2:Encrypted": str(encrypted).lower()}
    if arn.endswith(":network-interface/*"):
        context |= vpc_keys(ec2._subnets.get(subnet_of(request)))
    return context


def _tag_context(request: Mapping[str, Any], arn: str) -> dict[str, str | list[str]]:
    # A new resource has no ID yet.
    new = [each for each in request.get("TagSpecifications", []) if arn.endswith(f":{each['ResourceType']}/*")]
    values = {tag["Key"]: tag.get("Value", "") for specification in new for tag in specification.get("Tags", [])}
    keys: dict[str, str | list[str]] = {"aws:TagKeys": list(values)} if values else {}
    return keys | {f"aws:RequestTag/{key}": value for key, value in values.items()}


def launch_resources(request: Mapping[str, Any]) -> list[str]:
    """Return what a launch names, as ``type/id``."""
    groups = [
        *request.get("SecurityGroupIds", []),
        *(group["GroupId"] for group in request.get("SecurityGroups", []) if isinstance(group, dict)),
        *(group_id for interface in request.get("NetworkInterfaces", []) for group_id in interface.get("Groups", [])),
    ]
    volumes = [mapping.get("Ebs", {}) for mapping in request.get("BlockDeviceMappings", [])]
    return [
        f"image/{request.get('ImageId', '*')}",
        *(f"security-group/{group_id}" for group_id in groups or [ec2._DEFAULT_SG_ID]),
        f"subnet/{subnet_of(request)}",
        *([f"key-pair/{request['KeyName']}"] if request.get("KeyName") else []),
        *(["spot-instances-request/*"] if request.get("InstanceMarketOptions", {}).get("MarketType") == "spot" else []),
        # A snapshot that the request names, not those of its image:
        # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ExamplePolicies_EC2.html#iam-example-runinstances
        *(f"snapshot/{volume['SnapshotId']}" for volume in volumes if "SnapshotId" in volume),
    ]


def subnet_of(request: Mapping[str, Any]) -> str:
    named = [each["SubnetId"] for each in (request, *request.get("NetworkInterfaces", [])) if "SubnetId" in each]
    return str(named[0] if named else ec2._DEFAULT_SUBNET_ID)


def arn_of(name: str) -> str:
    """Return the ARN of something in this region."""
    # The ARNs of images and snapshots name no account: most belong to somebody else.
    account = "" if name.startswith(("image/", "snapshot/")) else get_account_id()
    return f"arn:aws:ec2:{get_region()}:{account}:{name}"
