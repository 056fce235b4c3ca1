"""Measure a decision about 100,000 idle jobs and 2,000 slots against reading them with ``json.load`` alone.

HTCondor's own processes are left out: the files are what they print, and its verdicts are given.

Run from a checkout: ``python -m benchmarks.growth``.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from annex_bootstrap.growth.matching import kinds_of
from annex_bootstrap.growth.model import Readings, Rules, Slot
from annex_bootstrap.growth.plan import plan
from annex_bootstrap.growth.queue import group_of, needs_of, room_of, sort_jobs

JOBS, GROUPS, SLOTS, ATTRIBUTES = 100_000, 100, 2_000, 200
"""How many jobs in how many groups, and how many slots with how many attributes."""

NOW = 1_800_000_000

RUNS = 3


@dataclass(frozen=True)
class Taken:
    """What a process took.

    Attributes:
        seconds: of a processor, of the most frugal.
        megabytes: at its peak.
    """

    seconds: float
    megabytes: float


def write(directory: Path) -> None:
    """Write what condor_q and condor_status print."""
    requirements = '/Expr((TARGET.Arch == "X86_64") && (TARGET.OpSys == "LINUX") && (TARGET.Memory >= RequestMemory))/'
    jobs = [
        {
            "ClusterId": number // 1000 + 1,
            "ProcId": number % 1000,
            "AutoClusterId": number % GROUPS,
            "Owner": f"user{number % GROUPS % 10}",
            "MayUseAWS": True,
            "NumJobStarts": 0,
            "QDate": NOW - number,
            "EnteredCurrentStatus": NOW - number,
            "RequestCpus": 1,
            "RequestMemory": 1024 + number % GROUPS,
            "RequestDisk": 1000,
            "Requirements": requirements,
        }
        for number in range(JOBS)
    ]
    slots = [
        {
            "Name": f"slot1@host{number}",
            "State": "Unclaimed",
            "Arch": "X86_64",
            "OpSys": "LINUX",
            "PartitionableSlot": True,
            "Cpus": number % 16,
            "Memory": 1000 * (number % 16),
            "Disk": 10_000_000,
            "Requirements": "/Expr(START && WithinResourceLimits)/",
            "START": "/Expr(KeyboardIdle > 900)/",
            "KeyboardIdle": 1000,
            **{f"Attribute{place}": "/Expr(MY.Cpus > 1)/" if place % 5 else place for place in range(ATTRIBUTES)},
        }
        for number in range(SLOTS)
    ]
    (directory / "jobs").write_text(json.dumps(jobs))
    (directory / "slots").write_text(json.dumps(slots))


def decide(directory: Path, *, only_load: bool) -> None:
    """Load both files, and without ``only_load`` decide what to start."""
    with (directory / "jobs").open() as jobs_file, (directory / "slots").open() as slots_file:
        jobs, slots = json.load(jobs_file), json.load(slots_file)
    if only_load:
        return
    groups = []
    for sort in sort_jobs(jobs):
        first = sort.ads[0]
        needs = needs_of([first["RequestCpus"], first["RequestMemory"], first["RequestDisk"], None])
        if needs is not None:
            groups.append(group_of(sort, needs))
    keys = frozenset(group.key for group in groups)
    kinds_of([jobs[0]], slots)
    free = [Slot(room_of(slot), keys) for slot in slots]
    plan(Readings(groups=groups, slots=free), Rules(1000), NOW)


@cache
def measured() -> tuple[Taken, Taken]:
    """Return what loading takes, and what loading and deciding take."""
    with tempfile.TemporaryDirectory() as directory:
        write(Path(directory))
        return _run([directory, "load"]), _run([directory, "decide"])


def _run(arguments: Sequence[str]) -> Taken:
    printed = [
        json.loads(
            subprocess.run(
                [sys.executable, "-m", "benchmarks.growth", *arguments], check=True, capture_output=True, text=True
            ).stdout
        )
        for _ in range(RUNS)
    ]
    return Taken(min(seconds for seconds, _ in printed), min(megabytes for _, megabytes in printed))


def table() -> str:
    """Return the measurements as Markdown."""
    load, both = measured()
    return (
        "| what | busy seconds | ratio | peak MB | ratio |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        f"| `json.load` of both | {load.seconds:.2f} | 1.0 | {load.megabytes:.0f} | 1.0 |\n"
        f"| that, and the decision | {both.seconds:.2f} | {both.seconds / load.seconds:.1f} | {both.megabytes:.0f} "
        f"| {both.megabytes / load.megabytes:.1f} |\n"
    )


def _measure(directory: str, what: str) -> None:
    before = time.process_time()
    decide(Path(directory), only_load=what == "load")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps([time.process_time() - before, peak]))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _measure(*sys.argv[1:])
    else:
        sys.stdout.write(table())
