"""A faster clock for EventBridge's ``rate()`` rules."""

from __future__ import annotations

import os

from ministack.services import eventbridge

SCHEDULE_SPEED = "ANNEX_BOOTSTRAP_SCHEDULE_SPEED"
"""The environment variable that says how many times as often rules fire: 60 turns minutes into seconds."""


def install() -> None:
    """Make rate() rules fire as often as ``SCHEDULE_SPEED`` says.

    Raises:
        ValueError: the speed is not above 0.
    """
    speed = float(os.environ.get(SCHEDULE_SPEED, "1"))
    if not speed > 0:
        raise ValueError(f"the schedule's speed must be above 0, not {speed}")
    seconds = eventbridge._parse_rate_seconds

    def faster(expression: str) -> float | None:
        interval = seconds(expression)
        return None if interval is None else interval / speed

    eventbridge._parse_rate_seconds = faster
    # The scheduler checks its rules once in this many seconds, so it has to check more often as well.
    eventbridge._SCHEDULER_TICK_INTERVAL = min(10, max(0.1, 10 / speed))
