"""What fresh processes of this Python take."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

RUNS = 7


@dataclass(frozen=True)
class Taken:
    """What a process took.

    Attributes:
        seconds: from its start to its end, of the fastest: the others had to share the machine.
        busy: seconds of a processor, of the most frugal.
    """

    seconds: float
    busy: float


def busy_seconds() -> float:
    """Return the processor seconds of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(arguments: Sequence[str], environ: Mapping[str, str] | None = None) -> Taken:
    """Return what several fresh processes took.

    Args:
        arguments: of Python.
        environ: their variables; by default this process's.
    """
    seconds, busy = [], []
    for _ in range(RUNS):
        began, before = time.perf_counter(), busy_seconds()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=environ)
        seconds.append(time.perf_counter() - began)
        busy.append(busy_seconds() - before)
    return Taken(min(seconds), min(busy))
