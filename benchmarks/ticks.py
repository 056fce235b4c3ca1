"""Simulate an hour of as many annexes as EventBridge has rules for, with the real lease function.

Run from a checkout: ``python -m benchmarks ticks``. One process runs the inline code of the template for every tick of
that hour, as an environment of Lambda that is kept warm does; its first tick is a cold start. How long ticks wait for
one another follows from that, where all annexes started in the same second and the account runs ten functions at a
time, as a new one does. A processor of Lambda is smaller than ours by the function's share of memory.
"""

from __future__ import annotations

import heapq
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from statistics import median

from annex_bootstrap.launch.verify import read_code
from annex_contract.lease import TICK_MINUTES
from annex_contract.stack import LogicalId
from benchmarks.lease import EVENT, FUNCTION, NEVER, environ
from template_gen.template import build_text

ANNEXES = 300
"""Rules of an event bus: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html"""

ENVIRONMENTS = 10
"""Functions that a new account runs at the same time; others run 1,000:
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

FULL_MEMORY = 1769
"""MB with which a function has a whole processor: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html"""

GB_SECOND, REQUEST = Decimal("0.0000133334"), Decimal("0.20") / 1_000_000
"""Dollars on arm64 in us-east-1, without the free tier: https://aws.amazon.com/lambda/pricing/"""

HOURS = 730
"""Hours of AWS's month."""

TICKS = ANNEXES * 60 // TICK_MINUTES
"""Ticks an hour."""

HOUR = """
import io, json, os, sys, time
events = json.loads(sys.stdin.read())
out, sys.stdout = sys.stdout, io.StringIO()
begun = time.perf_counter()
{function}
seconds = [time.perf_counter() - begun]
for event in events[1:]:
    sys.stdout.seek(0)
    begun = time.perf_counter()
    handler(event, context)
    seconds.append(time.perf_counter() - begun)
json.dump(seconds, out)
"""


def run_hour() -> list[float]:
    """Return the seconds that each tick of an hour takes, on a processor of this machine; the first is a cold start."""
    events = [EVENT | {"AnnexID": f"annex-{number % ANNEXES}", "LeaseExpiration": NEVER} for number in range(TICKS)]
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "index.py").write_text(read_code(build_text())[LogicalId.LEASE_FUNCTION])
        ended = subprocess.run(
            [sys.executable, "-c", HOUR.format(function=f"event = events[0]\n{FUNCTION}")],
            input=json.dumps(events),
            env=environ(0, directory),
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    return [float(each) for each in json.loads(ended.stdout)]


def latest_start(cold: float, warm: Sequence[float], environments: int) -> float:
    """Return the seconds that the last of some ticks waits, which all begin at the same moment.

    Args:
        cold: seconds of the first tick of each environment.
        warm: seconds of every other tick.
        environments: how many ticks run at the same time, at most.
    """
    free = [cold] * environments
    waited = 0.0
    for seconds in warm[environments:]:
        waited = heapq.heappop(free)
        heapq.heappush(free, waited + seconds)
    return waited


def table() -> str:
    """Return the measurements as Markdown."""
    share = memory() / FULL_MEMORY
    cold, *rest = [seconds / share for seconds in run_hour()]
    gigabyte_seconds = Decimal(sum(rest) + cold * ENVIRONMENTS) * memory() / 1024 * HOURS
    dollars = gigabyte_seconds * GB_SECOND + TICKS * HOURS * REQUEST
    waited = latest_start(cold, rest[:ANNEXES], ENVIRONMENTS)
    rows = {
        "ticks an hour": f"{TICKS:,}",
        "a cold tick, ms": f"{cold * 1000:,.0f}",
        "a warm tick, ms": f"{median(rest) * 1000:,.1f}",
        "the last of 300 ticks at once begins after, s": f"{waited:.1f}",
        f"ticks that begin later than their {TICK_MINUTES} minutes": "none" if waited < TICK_MINUTES * 60 else "some",
        "dollars a month": f"{dollars:.2f}",
    }
    lines = ["| what | |", "| --- | ---: |", *(f"| {name} | {value} |" for name, value in rows.items())]
    return "\n".join(lines) + "\n"


def memory() -> int:
    """Return the MB of the lease function's memory, as the template has it."""
    return int(json.loads(build_text())["Resources"][LogicalId.LEASE_FUNCTION]["Properties"]["MemorySize"])
