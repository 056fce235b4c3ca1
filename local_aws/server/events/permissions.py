"""What EventBridge checks before a call on a rule or its targets: ARNs, which MiniStack does not look at there.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridge.html
"""

from __future__ import annotations

from typing import Any

from ministack.core.responses import get_account_id, get_region

from local_aws.server.iam.rules import Context, Rules, value_of
from local_aws.server.wire import Params


def resources(params: Params) -> list[str]:
    """Return the ARN of the rule that a call names, with its event bus unless that is the default one."""
    rule = value_of(params, "Rule") or value_of(params, "Name")
    bus = value_of(params, "EventBusName").rpartition("/")[2]
    path = f"{bus}/{rule}" if bus not in ("", "default") else rule
    return [f"arn:aws:events:{get_region()}:{get_account_id()}:rule/{path}"] if rule else []


def request_context(params: Params, _: str) -> Context:
    """Return the ARNs of the targets that PutTargets sets."""
    targets: Any = params.get("Targets", [])
    return {"events:TargetArn": [target["Arn"] for target in targets]} if targets else {}


RULES = Rules(resources, request_context)
