"""Instances as condor_annex and the lease see them: client tokens, filters, pages, protection, addresses."""

from __future__ import annotations

import contextlib
import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias
from xml.sax.saxutils import escape

from ministack.services import ec2

from local_aws.server import account, wire
from local_aws.server.ec2 import encryption, refusals, scripts
from local_aws.server.ec2.launch_templates import merged
from local_aws.server.wire import Params, RefusalError, Response

Instance: TypeAlias = dict[str, Any]
"""MiniStack's record of an instance, with these more: ClientToken, LaunchRequest, DisableApiTermination,
SpotInstanceRequestId, Started, StateReason, EndsFor."""

_ministack: dict[str, wire.Handler] = dict(ec2._ACTION_MAP)
_ministack_xml: Callable[[Instance], str] = ec2._instance_xml

STARTING: list[Callable[[str], None]] = []
"""What is to be called with an image's ID before machines start from it, and raises RefusalError where none can."""

REPLACING: list[Callable[[], None]] = []
"""What is to be called after machines may have ended, because it may replace them."""

FILTERS: dict[str, Callable[[Instance], Iterable[str]]] = {
    "availability-zone": lambda i: [i["Placement"]["AvailabilityZone"]],
    "client-token": lambda i: [i.get("ClientToken", "")],
    "iam-instance-profile.arn": lambda i: [(i["IamInstanceProfile"] or {}).get("Arn", "")],
    "image-id": lambda i: [i["ImageId"]],
    "instance-id": lambda i: [i["InstanceId"]],
    "instance-lifecycle": lambda i: ["spot"] if "SpotInstanceRequestId" in i else [],
    "instance-state-code": lambda i: [str(i["State"]["Code"])],
    "instance-state-name": lambda i: [i["State"]["Name"]],
    "instance-type": lambda i: [i["InstanceType"]],
    "instance.group-id": lambda i: group_ids(i),
    "instance.group-name": lambda i: [group["GroupName"] for group in i["SecurityGroups"]],
    "key-name": lambda i: [i["KeyName"]],
    "network-interface.group-id": lambda i: group_ids(i),
    "spot-instance-request-id": lambda i: [i.get("SpotInstanceRequestId", "")],
    "subnet-id": lambda i: [i["SubnetId"]],
    "tag-key": lambda i: list(tags(i["InstanceId"])),
    "vpc-id": lambda i: [i["VpcId"]],
}
"""The filters of DescribeInstances known here, beside ``tag:<key>``: the values that an instance has."""


def install() -> None:
    """Extend MiniStack's EC2."""
    ec2._instance_xml = _instance_xml
    wire.install(
        {
            "RunInstances": run_instances,
            "DescribeInstances": describe_instances,
            "TerminateInstances": terminate_instances,
            "ModifyInstanceAttribute": modify_instance_attribute,
            "DescribeInstanceAttribute": describe_instance_attribute,
        }
    )


def tags(resource_id: str) -> dict[str, str]:
    """Return the tags of any EC2 resource."""
    return {tag["Key"]: tag["Value"] for tag in ec2._tags.get(resource_id, [])}


def tags_of(kind: str, request: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the tags that a request sets on the resources of a kind that it creates."""
    return [
        {"Key": tag["Key"], "Value": tag.get("Value", "")}
        for specification in request.get("TagSpecifications", [])
        if specification["ResourceType"] == kind
        for tag in specification.get("Tags", [])
    ]


def group_ids(instance: Instance) -> list[str]:
    """Return the security groups of an instance."""
    return [group["GroupId"] for group in instance["SecurityGroups"]]


def is_live(instance_id: str) -> bool:
    """Tell whether an instance exists and is not terminated."""
    return bool(ec2._instances.get(instance_id, {"State": {"Name": "terminated"}})["State"]["Name"] != "terminated")


def start(request: Mapping[str, Any], count: int, *, spot: bool = False) -> list[Instance]:
    """Start so many machines, all or none.

    Args:
        request: what RunInstances would be asked, with what a launch template says.
        count: how many.
        spot: whether they are spot machines.

    Raises:
        RefusalError: MiniStack refused the form.
    """
    for check in STARTING:
        check(request.get("ImageId", ""))
    before = set(ec2._instances)
    status, _, body = _ministack["RunInstances"](_form(request, count))
    if status != 200:
        code, message = (re.search(f"<{tag}>(.*?)</{tag}>", body.decode(), re.DOTALL) for tag in ("Code", "Message"))
        raise RefusalError(code[1] if code else "InternalError", message[1] if message else "")
    started = [instance for instance_id, instance in ec2._instances.items() if instance_id not in before]
    failure = account.settings().launch_failure or encryption.failure(request)
    for instance in started:
        instance |= {
            "LaunchRequest": request,
            "DisableApiTermination": request.get("DisableApiTermination", False),
            "Started": time.monotonic(),
        }
        if spot:
            instance["SpotInstanceRequestId"] = f"sir-{uuid.uuid4().hex[:8]}"
        if failure:
            # The call has succeeded: the machine ends afterwards.
            instance |= {"State": {"Code": 0, "Name": "pending"}, "EndsFor": failure}
        _settle(instance, request)
        tag_volumes(instance, request)
        _encrypt_volumes(instance, request)
    return started


def run_instances(params: Params) -> Response:
    """RunInstances; a client token that was seen before answers with the instances that it started then."""
    request = merged(wire.read("RunInstances", params))
    # Its caller has been found to have the right.
    if request.pop("DryRun", False):
        raise RefusalError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", status=412)
    token = request.get("ClientToken", "")
    started = [i for i in ec2._instances.values() if token and i.get("ClientToken") == token]
    if any(instance["LaunchRequest"] != request for instance in started):
        raise RefusalError("IdempotentParameterMismatch", "The client token was used before, with other parameters.")
    if not started:
        spot = request.get("InstanceMarketOptions", {}).get("MarketType") == "spot"
        kind, lifecycle = request.get("InstanceType", ""), "spot" if spot else "on-demand"
        refusals.check_account()
        # It starts as many as it can of those wanted.
        count = min(request["MaxCount"], max(request["MinCount"], refusals.left(kind, lifecycle)))
        refusals.check_type(kind, lifecycle, count)
        started = start(request, count, spot=spot)
        for instance in started:
            instance["ClientToken"] = token
    reservation: Response = ec2._xml(200, "RunInstancesResponse", _reservation_xml(started))
    return reservation


def describe_instances(params: Params) -> Response:
    """DescribeInstances with AWS's filters and pages; MiniStack answers for IDs that do not exist."""
    request = wire.read("DescribeInstances", params)
    wanted = set(request.get("InstanceIds", []))
    if wanted and "MaxResults" in request:
        raise RefusalError(
            "InvalidParameterCombination",
            "The parameter instancesSet cannot be used with the parameter maxResults",
        )
    ec2._cleanup_terminated()
    scripts.advance()
    replace_ended()
    if not wanted <= set(ec2._instances):
        return _ministack["DescribeInstances"](params)
    conditions = [_condition(filter_["Name"], filter_.get("Values", [])) for filter_ in request.get("Filters", [])]
    found = {
        instance_id: instance
        for instance_id, instance in ec2._instances.items()
        if (not wanted or instance_id in wanted) and all(condition(instance) for condition in conditions)
    }
    shown, token = wire.page(found.items(), request, minimum=5)
    reservations = "".join(f"<item>{_reservation_xml([instance])}</item>" for instance in shown)
    following = f"<nextToken>{token}</nextToken>" if token else ""
    described: Response = ec2._xml(
        200, "DescribeInstancesResponse", f"<reservationSet>{reservations}</reservationSet>{following}"
    )
    return described


def terminate_instances(params: Params) -> Response:
    """TerminateInstances; one protected instance keeps all, as on AWS within an availability zone.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TerminateInstances.html
    """
    for instance_id in wire.read("TerminateInstances", params).get("InstanceIds", []):
        if ec2._instances.get(instance_id, {}).get("DisableApiTermination"):
            raise RefusalError(
                "OperationNotPermitted",
                f"The instance '{instance_id}' may not be terminated. "
                "Modify its 'disableApiTermination' instance attribute and try again.",
            )
    answer = _ministack["TerminateInstances"](params)
    replace_ended()
    return answer


def replace_ended() -> None:
    """Replace the machines that ended, where their fleet does that, as far as machines can start now."""
    for replace in REPLACING:
        with contextlib.suppress(RefusalError):
            replace()


def modify_instance_attribute(params: Params) -> Response:
    """ModifyInstanceAttribute, for termination protection and nothing else."""
    request = wire.read("ModifyInstanceAttribute", params)
    if request.get("Attribute") == "disableApiTermination":
        protect = request.get("Value", "").lower() == "true"
    elif "DisableApiTermination" in request:
        protect = request["DisableApiTermination"].get("Value", False)
    else:
        raise RefusalError("UnsupportedOperation", "The local AWS modifies only disableApiTermination.")
    instance = ec2._instances.get(request["InstanceId"])
    if instance is None:
        raise RefusalError("InvalidInstanceID.NotFound", f"The instance ID '{request['InstanceId']}' does not exist")
    if "SpotInstanceRequestId" in instance:
        raise RefusalError(
            "UnsupportedOperation", "Modifying 'disableApiTermination' is not supported for spot instances."
        )
    instance["DisableApiTermination"] = protect
    return wire.answer("ModifyInstanceAttribute")


def describe_instance_attribute(params: Params) -> Response:
    """DescribeInstanceAttribute; MiniStack knows every attribute but termination protection and user data."""
    request = wire.read("DescribeInstanceAttribute", params)
    instance = ec2._instances.get(request["InstanceId"])
    if instance is None or request["Attribute"] not in ("disableApiTermination", "userData"):
        return _ministack["DescribeInstanceAttribute"](params)
    found = {"DisableApiTermination": {"Value": instance.get("DisableApiTermination", False)}}
    if request["Attribute"] == "userData":
        found = {"UserData": {"Value": instance["UserData"]} if instance.get("UserData") else {}}
    return wire.answer("DescribeInstanceAttribute", InstanceId=request["InstanceId"], **found)


def tag_volumes(instance: Instance, request: Mapping[str, Any]) -> None:
    """Put the tags on an instance's volumes that the request for it asks for."""
    volume_tags = tags_of("volume", request)
    for mapping in instance["BlockDeviceMappings"] if volume_tags else []:
        ec2._tags[mapping["Ebs"]["VolumeId"]] = volume_tags


def _encrypt_volumes(instance: Instance, request: Mapping[str, Any]) -> None:
    """Have an instance's volumes say whether they are encrypted."""
    asked = {mapping.get("DeviceName"): mapping for mapping in request.get("BlockDeviceMappings", [])}
    for mapping in instance["BlockDeviceMappings"]:
        key = encryption.key_of(request, asked.get(mapping["DeviceName"], {}))
        ec2._volumes[mapping["Ebs"]["VolumeId"]]["Encrypted"] = bool(key)


def _condition(name: str, patterns: list[str]) -> Callable[[Instance], bool]:
    matches = [_wildcards(pattern).fullmatch for pattern in patterns]
    key = name.removeprefix("tag:")

    def values(instance: Instance) -> Iterable[str]:
        if name in FILTERS:
            return FILTERS[name](instance)
        return [value for tag, value in tags(instance["InstanceId"]).items() if tag == key]

    if name not in FILTERS and key == name:
        raise RefusalError("InvalidParameterValue", f"The filter '{name}' is invalid")
    return lambda instance: any(match(value) for match in matches for value in values(instance))


def _wildcards(pattern: str) -> re.Pattern[str]:
    """Source: "Filter using wildcards" in the EC2 user guide: ``*``, ``?``, with a backslash to escape."""
    special = {"*": ".*", "?": "."}
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    return re.compile("".join(special.get(part, re.escape(part[-1])) for part in parts), re.DOTALL)


def _form(request: Mapping[str, Any], count: int) -> Params:
    profile, groups = request.get("IamInstanceProfile", {}), request.get("SecurityGroupIds", [])
    names = ("ImageId", "InstanceType", "KeyName", "PrivateIpAddress", "UserData")
    form = {
        **{name: request[name] for name in names if request.get(name)},
        "SubnetId": _subnet(request)["SubnetId"],
        "MinCount": str(count),
        "MaxCount": str(count),
        **{f"IamInstanceProfile.{name}": value for name, value in profile.items()},
        **{f"SecurityGroupId.{n}": group for n, group in enumerate(groups, start=1)},
    }
    for n, specification in enumerate(request.get("TagSpecifications", []), start=1):
        form[f"TagSpecification.{n}.ResourceType"] = specification["ResourceType"]
        for m, tag in enumerate(specification.get("Tags", []), start=1):
            form |= {f"TagSpecification.{n}.Tag.{m}.{name}": tag.get(name, "") for name in ("Key", "Value")}
    return form


def _interface(request: Mapping[str, Any]) -> Mapping[str, Any]:
    first: Mapping[str, Any] = next(iter(request.get("NetworkInterfaces", [])), {})
    return first


def _subnet(request: Mapping[str, Any]) -> Mapping[str, Any]:
    subnet_id = request.get("SubnetId") or _interface(request).get("SubnetId") or ec2._DEFAULT_SUBNET_ID
    found: Mapping[str, Any] = ec2._subnets.get(subnet_id, {"SubnetId": subnet_id})
    return found


def _settle(instance: Instance, request: Mapping[str, Any]) -> None:
    """Put a machine into its subnet's zone, and give it a public address only where its subnet or its request says so.

    MiniStack has all in one zone, each with an address. Source:
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-instance-addressing.html#concepts-public-addresses
    """
    subnet = _subnet(request)
    if "AvailabilityZone" in subnet:
        instance["Placement"]["AvailabilityZone"] = subnet["AvailabilityZone"]
    asked = _interface(request).get("AssociatePublicIpAddress", subnet.get("MapPublicIpOnLaunch", True))
    if not asked:
        instance |= {"PublicIpAddress": "", "PublicDnsName": ""}


def _reservation_xml(members: list[Instance]) -> str:
    items = "".join(ec2._instance_xml(instance) for instance in members)
    return (
        f"<reservationId>r-{members[0]['InstanceId'][2:]}</reservationId><ownerId>{ec2.get_account_id()}</ownerId>"
        f"<groupSet/><instancesSet>{items}</instancesSet>"
    )


def _instance_xml(instance: Instance) -> str:
    token = f"<clientToken>{escape(instance.get('ClientToken', ''))}</clientToken>"
    request_id = instance.get("SpotInstanceRequestId")
    spot = (
        f"<spotInstanceRequestId>{request_id}</spotInstanceRequestId><instanceLifecycle>spot</instanceLifecycle>"
        if request_id
        else ""
    )
    why = instance.get("StateReason")
    reason = (
        f"<stateReason><code>{why['Code']}</code><message>{escape(why['Message'])}</message></stateReason>"
        if why
        else ""
    )
    # Without an address AWS leaves the member out.
    described = _ministack_xml(instance).replace("<ipAddress></ipAddress>", "").removesuffix("</item>")
    return f"{described}{token}{spot}{reason}</item>"
