"""CloudFormation's events come late and in bursts, and the stack's status before them.

DescribeStacks and DescribeStackEvents are separate reads, and nothing promises an order between them.
"""

from __future__ import annotations

from typing import Any

from ministack.services import cloudformation
from ministack.services.cloudformation import handlers

from local_aws.server.strict.chance import count, later, now
from local_aws.server.wire import Response

LONGEST = 10.0
"""Seconds from one burst to the next, at most."""

_shown: dict[str, tuple[float, int]] = {}
"""When the next burst of each stack comes, and how many events were shown until then."""


def install() -> None:
    """Extend MiniStack's CloudFormation."""
    table: dict[str, Any] = handlers._ACTION_HANDLERS
    describe = table["DescribeStackEvents"]

    def describe_some(params: Any) -> Response:
        stack = handlers._resolve_stack(handlers._p(params, "StackName"))
        if stack is None:
            return describe(params)  # type: ignore[no-any-return]
        stack_id = stack["StackId"]
        events = cloudformation._stack_events.get(stack_id, [])
        due, shown = _shown.get(stack_id, (0.0, 0))
        if due <= now():
            shown = len(events)
            _shown[stack_id] = (later(LONGEST), shown)
        if shown < len(events):
            count("an event that comes late")
        cloudformation._stack_events[stack_id] = events[:shown]
        try:
            return describe(params)  # type: ignore[no-any-return]
        finally:
            cloudformation._stack_events[stack_id] = events

    table["DescribeStackEvents"] = describe_some
