"""The metadata service of one machine, for which another process stands in; MiniStack's describes no machine of EC2.

The machine is the running instance that carries the tag ``STAND_IN_TAG``. The keys that it gets are its role's, so
that IAM decides what it may do.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html
"""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from ministack import app as ministack
from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2, iam, imds, sts

from local_aws.launcher import STAND_IN_TAG
from local_aws.server.ec2 import instances
from local_aws.server.ec2.instances import Instance
from local_aws.server.wire import Response

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
        text = _item(machine, item)
        return (404, {}, b"") if text is None else (200, {"Content-Type": "text/plain"}, text.encode())

    ministack.SERVICE_HANDLERS["imds"] = answer


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
        case "meta-data/placement/region":
            return str(get_region())
        case "dynamic/instance-identity/document":
            return _document(accountId=get_account_id(), instanceId=machine["InstanceId"], region=get_region())
    return _keys(machine["InstanceId"], role) if role and item == f"meta-data/iam/security-credentials/{role}" else None


def _keys(instance_id: str, role: str) -> str:
    key_id, secret, token = (f"ASIA{secrets.token_hex(8).upper()}", secrets.token_hex(20), secrets.token_hex(40))
    now = datetime.now(UTC)
    session = {
        "Arn": f"arn:aws:sts::{get_account_id()}:assumed-role/{role}/{instance_id}",
        "UserId": f"{role}:{instance_id}",
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
