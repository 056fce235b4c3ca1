"""What PutRule does that MiniStack's does not: the quota of rules on an event bus, and the tags of a rule that exists.

Source: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html
"""

from __future__ import annotations

from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import eventbridge

from local_aws.server import account


def install() -> None:
    """Refuse one rule more than the quota, and leave the tags of a rule as they are."""
    put = eventbridge._put_rule

    def put_rule(data: dict[str, Any]) -> Any:
        bus = data.get("EventBusName", "default")
        others = [rule for rule in eventbridge._rules.values() if rule["EventBusName"] == bus]
        is_new = all(rule["Name"] != data.get("Name") for rule in others)
        if is_new and len(others) >= account.settings().event_rules:
            message = "The requested resource exceeds the maximum number allowed."
            return error_response_json("LimitExceededException", message, 400)
        return put(data if is_new else {**data, "Tags": []})

    eventbridge._put_rule = put_rule
