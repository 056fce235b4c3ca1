"""Run ``make test`` and tell what it takes.

Run from a checkout: ``python -m benchmarks.suite``.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

from benchmarks.processes import Taken, busy_seconds

ROOT = Path(__file__).parents[1]


@cache
def make_test() -> tuple[int, Taken]:
    """Return how many tests there were, and what all of it took.

    Raises:
        SystemExit: a linter or a test failed.
    """
    began, before = time.perf_counter(), busy_seconds()
    done = subprocess.run(["make", "test"], cwd=ROOT, capture_output=True, text=True, check=False)
    taken = Taken(time.perf_counter() - began, busy_seconds() - before)
    passed = re.search(r"(\d+) passed", done.stdout)
    if done.returncode or not passed:
        raise SystemExit(done.stdout + done.stderr)
    return int(passed[1]), taken


def table() -> str:
    """Return the measurement as Markdown."""
    tests, taken = make_test()
    return (
        "| tests | minutes | processor minutes | minutes on two processors that do nothing else, at least |\n"
        "| ---: | ---: | ---: | ---: |\n"
        f"| {tests:,} | {taken.seconds / 60:.1f} | {taken.busy / 60:.1f} | {taken.busy / 60 / 2:.1f} |\n"
    )


if __name__ == "__main__":
    sys.stdout.write(table())
