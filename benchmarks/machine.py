"""What was measured on, and what else it did meanwhile."""

from __future__ import annotations

import os
import platform

_AT_FIRST = os.getloadavg()[0]


def table() -> str:
    """Return a sentence: call it last."""
    return (
        f"Measured on {platform.python_implementation()} {platform.python_version()} with {os.cpu_count()} processors. "
        f"Load average {_AT_FIRST:.1f} in the minute before, {os.getloadavg()[0]:.1f} in the last minute.\n"
    )
