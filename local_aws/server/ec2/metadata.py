"""The metadata service of machines, for which other processes stand in; MiniStack's describes no machine of EC2.

The machine is the running instance from whose public address the request comes, or else the one that carries the tag
``STAND_IN_TAG``. Each version of the service answers the same. The keys that a machine gets are its role's, so that IAM
decides what it may do. Its metadata options say whether the service answers without a token, and whether it tells the
machine's tags. The tag ``INTERRUPTION_TAG`` makes it give the notice of a spot machine's interruption.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html,
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
"""

from __future__ import annotations

import base64
import functools
import json
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from ministack import app as ministack
from ministack.core.responses import get_account_id, get_region, get_request_client_ip
from ministack.services import ec2, iam, imds, sts

from local_aws.launcher import INTERRUPTION_TAG, STAND_IN_TAG
from local_aws.machines.qemu import mac_of
from local_aws.server import wire
from local_aws.server.ec2 import instances, machines
from local_aws.server.ec2.instances import Instance
from local_aws.server.wire import Params, RefusalError, Response

Node: TypeAlias = "dict[str, Node] | str | bytes | Callable[[], str]"
Tree: TypeAlias = dict[str, Node]
"""Folders of items; one that is made only when it is asked for is a function."""

_LIFETIME = timedelta(hours=6)


def install() -> None:
    """Describe that machine, if there is one; MiniStack still handles the tokens."""
    ministack_answers = ministack.SERVICE_HANDLERS["imds"]

    async def answer(
        method: str, path: str, headers: dict[str, str], body: bytes, query_params: dict[str, Any]
    ) -> Response:
        machine = _machine()
        if machine is not None and not machines.hardware().metadata:
            return 503, {}, b""
        if machine is None or method != "GET" or not imds._check_token(headers):
            theirs: Response = await ministack_answers(method, path, headers, body, query_params)
            return theirs
        if options(machine)["HttpTokens"] == "required" and "x-aws-ec2-metadata-token" not in headers:
            return 401, {"Content-Type": "text/plain"}, b"Unauthorized"
        found = _look_up(machine, path.removeprefix("/latest/").rstrip("/"))
        if found is None:
            return 404, {}, b""
        return 200, {"Content-Type": "text/plain"}, found if isinstance(found, bytes) else found.encode()

    ministack.SERVICE_HANDLERS["imds"] = answer
    wire.install({"ModifyInstanceMetadataOptions": modify_instance_metadata_options})


def options(machine: Instance) -> dict[str, Any]:
    """Return the metadata options of an instance: as modified, or as it was launched with, or else the defaults.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-options.html
    """
    launched = machine.get("LaunchRequest", {}).get("MetadataOptions", {})
    defaults = {"HttpTokens": "optional", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"}
    return {**defaults, "InstanceMetadataTags": "disabled", **launched, **machine.get("MetadataOptions", {})}


def modify_instance_metadata_options(params: Params) -> Response:
    """ModifyInstanceMetadataOptions; it holds from the next request on."""
    request = wire.read("ModifyInstanceMetadataOptions", params)
    instance_id = request.pop("InstanceId")
    if not instances.is_live(instance_id):
        raise RefusalError("InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
    request.pop("DryRun", None)
    machine = ec2._instances[instance_id]
    machine["MetadataOptions"] = {**machine.get("MetadataOptions", {}), **request}
    return wire.answer(
        "ModifyInstanceMetadataOptions",
        InstanceId=instance_id,
        InstanceMetadataOptions={"State": "applied", **options(machine)},
    )


def _machine() -> Instance | None:
    """Return who asks: the instance with that address, or else the one with the tag."""
    peer = get_request_client_ip()
    for instance_id, instance in ec2._instances.items():
        if instances.is_live(instance_id) and (
            instance["PublicIpAddress"] == peer or STAND_IN_TAG in instances.tags(instance_id)
        ):
            found: Instance = instance
            return found
    return None


def _look_up(machine: Instance, item: str) -> str | bytes | None:
    """Return an item, or the list of what is in a folder; the name of a folder in it ends with a slash."""
    node: Node | None = _tree(machine)
    for step in item.split("/") if item else []:
        node = node.get(step) if isinstance(node, dict) else None
    if callable(node):
        return node()
    if isinstance(node, dict):
        return "\n".join(f"{name}/" if isinstance(below, dict) else name for name, below in node.items())
    return node


def _tree(machine: Instance) -> Tree:
    """Return what a machine may ask, as folders."""
    identity = _document(
        accountId=get_account_id(),
        instanceId=machine["InstanceId"],
        region=get_region(),
        imageId=machine["ImageId"],
        instanceType=machine["InstanceType"],
    )
    tree: Tree = {"dynamic": {"instance-identity": {"document": identity}}, "meta-data": _meta_data(machine)}
    data = base64.b64decode(machine.get("UserData") or "")
    return {**tree, "user-data": data} if data else tree


def _meta_data(machine: Instance) -> Tree:
    tags = instances.tags(machine["InstanceId"])
    mac = mac_of(machine["InstanceId"])
    zone = machine["Placement"]["AvailabilityZone"]
    names = "\n".join(group["GroupName"] for group in machine["SecurityGroups"])
    addresses: Tree = {
        "local-hostname": machine["PrivateDnsName"],
        "mac": mac,
        "public-hostname": machine["PublicDnsName"],
        "security-groups": names,
    }
    interface: Tree = {
        **addresses,
        "device-number": "0",
        "interface-id": f"eni-{machine['InstanceId'][2:]}",
        "local-ipv4s": machine["PrivateIpAddress"],
        "owner-id": get_account_id(),
        "public-ipv4s": machine["PublicIpAddress"],
        "security-group-ids": "\n".join(instances.group_ids(machine)),
        "subnet-id": machine["SubnetId"],
        "subnet-ipv4-cidr-block": "10.0.0.0/16",
        "vpc-id": machine["VpcId"],
        "vpc-ipv4-cidr-block": "10.0.0.0/16",
        "vpc-ipv4-cidr-blocks": "10.0.0.0/16",
    }
    found: Tree = {
        **addresses,
        "ami-id": machine["ImageId"],
        "ami-launch-index": "0",
        "block-device-mapping": {"ami": machine["RootDeviceName"], "root": machine["RootDeviceName"]},
        "hostname": machine["PrivateDnsName"],
        "instance-action": "none",
        "instance-id": machine["InstanceId"],
        "instance-life-cycle": "spot" if "SpotInstanceRequestId" in machine else "on-demand",
        "instance-type": machine["InstanceType"],
        "local-ipv4": machine["PrivateIpAddress"],
        "network": {"interfaces": {"macs": {mac: interface}}},
        "placement": {"availability-zone": zone, "region": get_region()},
        "public-ipv4": machine["PublicIpAddress"],
        "reservation-id": f"r-{machine['InstanceId'][2:]}",
        "services": {"domain": "amazonaws.com", "partition": "aws"},
    }
    if INTERRUPTION_TAG in tags:
        found["spot"] = {"instance-action": _document(action="terminate", time=tags[INTERRUPTION_TAG])}
    if options(machine)["InstanceMetadataTags"] == "enabled":
        found["tags"] = {"instance": dict(tags)}
    profile_arn = (machine["IamInstanceProfile"] or {}).get("Arn", "")
    profile = iam._lookup_instance_profile(name="", arn=profile_arn) if profile_arn else None
    if profile:
        info = _document(Code="Success", InstanceProfileArn=profile_arn, InstanceProfileId=profile["InstanceProfileId"])
        roles = [str(role) for role in profile["Roles"]]
        # Nobody makes keys by looking at the list of them.
        keys: Tree = {role: functools.partial(_keys, machine["InstanceId"], role) for role in roles}
        found["iam"] = {"info": info, "security-credentials": keys} if roles else {"info": info}
    return found


def _keys(instance_id: str, role: str) -> str:
    key_id, secret, token = (f"ASIA{secrets.token_hex(8).upper()}", secrets.token_hex(20), secrets.token_hex(40))
    now = datetime.now(UTC)
    session = {
        "Arn": f"arn:aws:sts::{get_account_id()}:assumed-role/{role}/{instance_id}",
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#principaltable
        "UserId": f"{iam._roles[role]['RoleId']}:{instance_id}",
        "SecretAccessKey": secret,
        "SessionToken": token,
    }
    sts.register_session(key_id, session)
    return _document(
        Code="Success",
        LastUpdated=f"{now:%Y-%m-%dT%H:%M:%SZ}",
        Type="AWS-HMAC",
        AccessKeyId=key_id,
        SecretAccessKey=secret,
        Token=token,
        Expiration=f"{now + _LIFETIME:%Y-%m-%dT%H:%M:%SZ}",
    )


def _document(**members: str) -> str:
    """Return JSON laid out as by the real service, because shell scripts read it line by line."""
    return json.dumps(members, indent=2, separators=(",", " : "))
