"""Times as people write and read them."""

from __future__ import annotations

import re
from datetime import datetime

from annex_bootstrap.errors import CommandLineError

_DURATION = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?", re.ASCII)

LONGEST = 3650 * 86400
"""Seconds of the longest duration. A longer one is a slip of the hand, and most of them have no date at their end."""


def clock(seconds: int) -> str:
    """Return a time as a person reads it, in the machine's own zone.

    Args:
        seconds: since the epoch.
    """
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M %Z}"


def left(seconds: int) -> str:
    """Return a time that is left as a person reads it.

    Args:
        seconds: how long it is.
    """
    if seconds < 0:
        return "ending"
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours // 24}d {hours % 24}h" if hours >= 48 else f"{hours}h {minutes:02}m"


def parse_duration(text: str) -> int:
    """Read a duration such as ``2h``, ``1d12h`` or ``90m``.

    Returns:
        Seconds.

    Raises:
        CommandLineError: it is something else, nothing, or longer than ten years.
    """
    parts = _DURATION.fullmatch(text)
    days, hours, minutes = (int(part or 0) for part in parts.groups()) if parts else (0, 0, 0)
    seconds = days * 86400 + hours * 3600 + minutes * 60
    if not seconds:
        raise CommandLineError(f"{text!r} is not a duration: give one such as 2h, 90m or 1d12h")
    if seconds > LONGEST:
        raise CommandLineError(f"{text!r} is longer than ten years: give a duration such as 2h, 90m or 1d12h")
    return seconds
