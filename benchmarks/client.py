"""Measure the help of the client against a bare interpreter.

Run from a checkout: ``python -m benchmarks.client``.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence

RUNS = 15


def seconds(arguments: Sequence[str]) -> float:
    """Return the seconds of the fastest of several fresh processes of this Python."""
    found = []
    for _ in range(RUNS):
        began = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        found.append(time.perf_counter() - began)
    return min(found)


def table() -> str:
    """Return the measurements as Markdown."""
    bare = seconds(["-c", ""])
    rows = {
        "a bare interpreter": bare,
        "one that imports click": seconds(["-c", "import click"]),
        "`annex-bootstrap --help`": seconds(["-m", "annex_bootstrap", "--help"]),
    }
    lines = [f"| {name} | {taken * 1000:.0f} | {taken / bare:.1f} |" for name, taken in rows.items()]
    return "\n".join(["| process | ms | ratio |", "| --- | ---: | ---: |", *lines]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
