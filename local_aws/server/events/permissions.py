"""What EventBridge checks before a call on a rule's targets: the rule's ARN, which MiniStack misses there.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridge.html
"""

from __future__ import annotations

import json
from typing import Any

from ministack.core import iam_actions
from ministack.core.responses import get_account_id, get_region

from local_aws.server.wire import Params


def install() -> None:
    """Take the rule from the member ``Rule``, as PutTargets, RemoveTargets and ListTargetsByRule name it."""
    extract = iam_actions.extract_resource_arn

    def extract_resource_arn(
        service: str, method: str, path: str, headers: Any, body: bytes, params: Params, *scope: str
    ) -> str:
        rule = json.loads(body or b"{}").get("Rule") if service == "events" else None
        if rule:
            return f"arn:aws:events:{get_region()}:{get_account_id()}:rule/{rule}"
        found: str = extract(service, method, path, headers, body, params, *scope)
        return found

    iam_actions.extract_resource_arn = extract_resource_arn
