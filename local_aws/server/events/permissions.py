"""What EventBridge checks before a call on a rule or its targets: ARNs and tags, which MiniStack does not look at.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridge.html, where rules have
the key aws:ResourceTag.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from ministack.core.responses import get_account_id, get_region
from ministack.services import eventbridge

from local_aws.server.iam.rules import Check, Context, Rules, value_of
from local_aws.server.wire import Params


def resources(params: Params) -> list[str]:
    """Return the ARN of the rule that a call names, with its event bus unless that is the default one."""
    if given := value_of(params, "ResourceARN"):
        return [given]
    rule = value_of(params, "Rule") or value_of(params, "Name")
    bus = value_of(params, "EventBusName").rpartition("/")[2]
    path = f"{bus}/{rule}" if bus not in ("", "default") else rule
    return [f"arn:aws:events:{get_region()}:{get_account_id()}:rule/{path}"] if rule else []


def request_context(params: Params, _: str) -> Context:
    """Return the ARNs of the targets that PutTargets sets."""
    targets: Any = params.get("Targets", [])
    return {"events:TargetArn": [target["Arn"] for target in targets]} if targets else {}


def resource_context(arn: str) -> Context:
    """Return a rule's tags."""
    return {f"aws:ResourceTag/{key}": value for key, value in eventbridge._tags.get(arn, {}).items()}


def implied_checks(params: Params) -> Iterator[Check]:
    """Yield tagging, for the tags that PutRule sets.

    Source: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html. It does not say whether that
    is checked where the rule exists, whose tags PutRule leaves. Here it is.
    """
    tags = cast("list[dict[str, str]]", params.get("Tags") or [])
    if tags and ("ScheduleExpression" in params or "EventPattern" in params):
        context: dict[str, str | list[str]] = {f"aws:RequestTag/{tag['Key']}": tag["Value"] for tag in tags}
        context["aws:TagKeys"] = [tag["Key"] for tag in tags]
        yield Check("events:TagResource", resources(params)[0], context)


RULES = Rules(resources, request_context, resource_context, implied_checks)
