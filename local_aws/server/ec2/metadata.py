"""The metadata service of one machine, for which another process stands in; MiniStack's describes no machine of EC2.

The machine is the running instance that carries the tag ``STAND_IN_TAG``. The keys that it gets are its role's, so
that IAM decides what it may do. Its metadata options say whether the service answers without a token, and whether it
tells the machine's tags. The tag ``INTERRUPTION_TAG`` makes it give the notice of a spot machine's interruption.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html,
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
"""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from ministack import app as ministack
from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2, iam, imds, sts

from local_aws.launcher import INTERRUPTION_TAG, STAND_IN_TAG
from local_aws.server import wire
from local_aws.server.ec2 import instances
from local_aws.server.ec2.instances import Instance
from local_aws.server.wire import Params, RefusalError, Response

_LIFETIME = timedelta(hours=6)


def install() -> None:
    """Describe that machine, if there is one; MiniStack still handles the tokens."""
    ministack_answers = ministack.SERVICE_HANDLERS["imds"]

    async def answer(
        method: str, path: str, headers: dict[str, str], body: bytes, query_params: dict[str, Any]
    ) -> Response:
        machine = _stand_in()
        item = path.removeprefix("/latest/").rstrip("/")
        if machine is None or method != "GET" or not imds._check_token(headers):
            theirs: Response = await ministack_answers(method, path, headers, body, query_params)
            return theirs
        if options(machine)["HttpTokens"] == "required" and "x-aws-ec2-metadata-token" not in headers:
            return 401, {"Content-Type": "text/plain"}, b"Unauthorized"
        text = _item(machine, item)
        return (404, {}, b"") if text is None else (200, {"Content-Type": "text/plain"}, text.encode())

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


def _stand_in() -> Instance | None:
    for instance_id, instance in ec2._instances.items():
        if STAND_IN_TAG in instances.tags(instance_id) and instances.is_live(instance_id):
            found: Instance = instance
            return found
    return None


def _item(machine: Instance, item: str) -> str | None:
    profile_arn = (machine["IamInstanceProfile"] or {}).get("Arn", "")
    profile = iam._lookup_instance_profile(name="", arn=profile_arn) if profile_arn else None
    role = profile["Roles"][0] if profile and profile["Roles"] else ""
    tags = instances.tags(machine["InstanceId"])
    match item:
        case "meta-data/instance-id":
            return str(machine["InstanceId"])
        case "meta-data/public-ipv4":
            return str(machine["PublicIpAddress"])
        case "meta-data/iam/info" if profile:
            return _document(
                Code="Success", InstanceProfileArn=profile_arn, InstanceProfileId=profile["InstanceProfileId"]
            )
        case "meta-data/iam/security-credentials" if role:
            return str(role)
        case "meta-data/instance-life-cycle":
            return "spot" if "SpotInstanceRequestId" in machine else "on-demand"
        case "meta-data/spot/instance-action":
            return _document(action="terminate", time=tags[INTERRUPTION_TAG]) if INTERRUPTION_TAG in tags else None
        case "meta-data/placement/region":
            return str(get_region())
        case "dynamic/instance-identity/document":
            return _document(accountId=get_account_id(), instanceId=machine["InstanceId"], region=get_region())
    folder, _, key = item.partition("meta-data/tags/instance/")
    if key and not folder:
        return tags.get(key) if options(machine)["InstanceMetadataTags"] == "enabled" else None
    return _keys(machine["InstanceId"], role) if role and item == f"meta-data/iam/security-credentials/{role}" else None


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
