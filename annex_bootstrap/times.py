"""Times as people write and read them."""

from __future__ import annotations

import re
from datetime import datetime

from annex_bootstrap.errors import UserError

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?")


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
        UserError: it is something else, or nothing.
    """
    found = _DURATION.fullmatch(text)
    days, hours, minutes = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    seconds = days * 86400 + hours * 3600 + minutes * 60
    if not seconds:
        raise UserError(f"{text!r} is not a duration: give one such as 2h, 90m or 1d12h")
    return seconds
