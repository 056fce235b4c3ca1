"""What EventBridge checks before a call on a rule's targets: the rule's ARN, which MiniStack does not look at there.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridge.html
"""

from __future__ import annotations

from ministack.core.responses import get_account_id, get_region

from local_aws.server.iam.rules import Rules, value_of
from local_aws.server.wire import Params


def resources(params: Params) -> list[str]:
    """Return the ARN of the member ``Rule``, as PutTargets, RemoveTargets and ListTargetsByRule name it."""
    rule = value_of(params, "Rule")
    return [f"arn:aws:events:{get_region()}:{get_account_id()}:rule/{rule}"] if rule else []


RULES = Rules(resources)
