"""When something goes wrong, and how often it did."""

from __future__ import annotations

import os
import random
import time

from local_aws.server import recording

STRICTNESS = "ANNEX_BOOTSTRAP_STRICTNESS"
"""The variable with seed and speed, as ``7:20``; without it, AWS is at its best."""

_seed, _, _speed = os.environ.get(STRICTNESS, "").partition(":")
_random = random.Random(_seed)


def is_strict() -> bool:
    """Tell whether AWS is at its worst."""
    return bool(_speed)


def now() -> float:
    """Return seconds of this clock, which `later` counts with."""
    return time.monotonic()


def later(longest: float) -> float:
    """Return a moment between now and, uniformly, so many seconds of AWS's time later."""
    return now() + _random.uniform(0.0, longest) / float(_speed)


def strikes(probability: float) -> bool:
    """Tell whether something of that probability happens now."""
    return _random.random() < probability


def count(fault: str) -> None:
    """Record that something went wrong."""
    recording.write(recording.FAULTS, {"fault": fault})
