"""What a denial says: the resource, which kind of policy denies, and from EC2 an encoded message.

MiniStack blames identity-based policies for everything. Sources:
https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html and, for EC2's sentence,
https://github.com/aws/karpenter-provider-aws/issues/7370.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

from ministack.core import iam_actions

from local_aws.server.iam.decisions import Denial, last_denial

READING = ("Describe", "Get", "List")
"""How EC2's actions begin whose denials come without an encoded message."""


def install() -> None:
    """Put the sentence into MiniStack's answers."""
    answer, sentence = iam_actions.access_denied_response, iam_actions.identity_denial_message

    def access_denied_response(service: str, action: str, principal_arn: str, request_id: str, **options: Any) -> Any:
        denial = last_denial.get()
        if denial and denial.ctx.principal_arn == principal_arn and not options.get("error_code"):
            options["message"] = options.get("message") or message(service, denial)
        return answer(service, action, principal_arn, request_id, **options)

    def identity_denial_message(action: str, principal_arn: str, resource: str, explicit_deny: bool) -> str:
        denial = last_denial.get()
        said: str = sentence(action, principal_arn, resource, explicit_deny)
        return f"{said.partition(resource)[0]}{resource} {denial.reason}" if denial else said

    iam_actions.access_denied_response = access_denied_response
    iam_actions.identity_denial_message = identity_denial_message


def message(service: str, denial: Denial) -> str:
    """Return what AWS says about a denial."""
    ctx = denial.ctx
    resource = f'"{ctx.resource_arn}"' if service == "s3" else ctx.resource_arn
    on_resource = "" if ctx.resource_arn == "*" else f" on resource: {resource}"
    said = f"User: {ctx.principal_arn} is not authorized to perform: {ctx.action}{on_resource} {denial.reason}"
    if service != "ec2":
        return said
    said = f"You are not authorized to perform this operation. {said}"
    if ctx.action.partition(":")[2].startswith(READING):
        return said
    return f"{said}. Encoded authorization failure message: {encoded(denial)}"


def encoded(denial: Denial) -> str:
    """Return what ``sts:DecodeAuthorizationMessage`` makes readable."""
    ctx = denial.ctx
    conditions = [
        {"key": key, "values": {"items": [{"value": str(each)} for each in _list(value)]}}
        for key, value in ctx.service_context.items()
        if value is not None
    ]
    document = {
        "allowed": False,
        "explicitDeny": denial.explicit,
        "matchedStatements": {"items": []},
        "failures": {"items": []},
        "context": {
            "principal": {"id": ctx.principal_keys.get("aws:userid", ""), "arn": ctx.principal_arn},
            "action": ctx.action,
            "resource": ctx.resource_arn,
            "conditions": {"items": conditions},
        },
    }
    return base64.urlsafe_b64encode(zlib.compress(json.dumps(document).encode())).decode()


def decoded(text: str) -> str | None:
    """Return the document in an encoded message, as JSON; None where it is none."""
    try:
        return zlib.decompress(base64.urlsafe_b64decode(text)).decode()
    except (ValueError, zlib.error):
        return None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
