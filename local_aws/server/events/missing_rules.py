"""Asking for the targets of a rule that does not exist is an error; MiniStack answers with none.

Source: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_ListTargetsByRule.html
"""

from __future__ import annotations

from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import eventbridge


def install() -> None:
    """Answer as DescribeRule does."""
    list_targets = eventbridge._list_targets_by_rule

    def list_targets_by_rule(data: dict[str, Any]) -> Any:
        name, bus = data.get("Rule"), data.get("EventBusName", "default")
        if eventbridge._rule_key(name, bus) not in eventbridge._rules:
            message = f"Rule {name} does not exist on EventBus {bus}."
            return error_response_json("ResourceNotFoundException", message, 400)
        return list_targets(data)

    eventbridge._list_targets_by_rule = list_targets_by_rule
