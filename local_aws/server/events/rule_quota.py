"""The quota of rules on an event bus; MiniStack has none.

Source: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html
"""

from __future__ import annotations

from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import eventbridge

from local_aws.server import account


def install() -> None:
    """Refuse one rule more than the quota."""
    put = eventbridge._put_rule

    def put_rule(data: dict[str, Any]) -> Any:
        bus = data.get("EventBusName", "default")
        others = [rule for rule in eventbridge._rules.values() if rule["EventBusName"] == bus]
        is_new = all(rule["Name"] != data.get("Name") for rule in others)
        if is_new and len(others) >= account.settings().event_rules:
            message = "The requested resource exceeds the maximum number allowed."
            return error_response_json("LimitExceededException", message, 400)
        return put(data)

    eventbridge._put_rule = put_rule
