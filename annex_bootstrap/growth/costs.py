"""What machines cost, and what of it jobs used: from the record, from EC2 and from HTCondor's history. Pure.

It is an estimate, on the side of more: a machine whose end nobody saw counts until its lease's end. AWS's bill decides.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from annex_bootstrap.growth.cloud import Instance
from annex_bootstrap.growth.plan import LATE
from annex_bootstrap.growth.queue import Ad
from annex_bootstrap.growth.record import Record
from annex_bootstrap.machines.money import DAY, SHORTEST

EVERYBODY = "everybody"
"""The owner of machines that run everybody's jobs."""

ALL = "all"
"""The name of the sum."""

UNKNOWN = "unknown"
"""The owner of machines of which nobody knows who started them."""

COMPLETED = 4
"""JobStatus of a job that is done:
https://htcondor.readthedocs.io/en/latest/classad-attributes/job-classad-attributes.html#JobStatus"""

HISTORY = (
    *("Owner", "LastRemoteHost", "JobStatus", "JobCurrentStartDate", "CompletionDate"),
    *("RequestCpus", "CpusProvisioned"),
)
"""What is read of jobs that are done."""

_INSTANCE = re.compile(r"\bi-[0-9a-f]+\b")


class By(StrEnum):
    """What costs are put together by."""

    OWNER = "owner"
    ANNEX = "annex"
    DAY = "day"


@dataclass(frozen=True)
class Use:
    """The life of a machine.

    Attributes:
        instance_id: its ID.
        owner: whose jobs it ran, or who started it.
        annex: its annex.
        region: where.
        type: its instance type.
        spot: whether AWS might take it back.
        begin: when it started, in seconds since the epoch.
        end: when it ended; now where it runs.
        runs: whether it runs.
        seen: whether its end is known; else it ended at ``end`` at the latest.
        taken: whether AWS took it back.
        most: dollars an hour that it cost at most; None where that is unknown.
    """

    instance_id: str
    owner: str
    annex: str
    region: str
    type: str
    spot: bool
    begin: int
    end: int
    runs: bool = False
    seen: bool = True
    taken: bool = False
    most: Decimal | None = None


@dataclass(frozen=True)
class Run:
    """A run of a job that is done, on a machine.

    Attributes:
        instance_id: of the machine.
        begin: seconds since the epoch.
        end: the same.
        cpus: that it had.
    """

    instance_id: str
    begin: int
    end: int
    cpus: int


@dataclass(frozen=True)
class Cost:
    """What machines cost, by an owner, an annex or a day.

    Attributes:
        name: of the owner, the annex or the day (UTC).
        machines: how many.
        machine_hours: that they ran.
        core_hours: the same times their vCPUs; None where the size of a type is unknown.
        job_core_hours: of these, what jobs used that are done; None where HTCondor has no history.
        spot_core_hours: what was lost on machines that AWS took back; None as above.
        idle_core_hours: the rest, of machines that have ended; None as above.
        dollars: estimated; None where a price is unknown.
        dollars_most: never more than that; None where a price is unknown.
    """

    name: str
    machines: int
    machine_hours: float
    core_hours: float | None
    job_core_hours: float | None
    spot_core_hours: float | None
    idle_core_hours: float | None
    dollars: Decimal | None
    dollars_most: Decimal | None


def uses(record: Record, instances: Sequence[Instance], now: int) -> list[Use]:
    """Return every machine that is known.

    Args:
        record: what is known of those that are gone.
        instances: as EC2 describes them now.
        now: seconds since the epoch.
    """
    starters = {each.instance_id: each.starter for each in instances}
    owners, ends = record.owners(), _lease_ends(record)
    running = {each.instance_id for each in instances if each.runs}
    found = []
    for instance_id, line in record.machines().items():
        ended, runs = line.get("ended"), instance_id in running
        seen = runs or (ended is not None and bool(ended["reason"]))
        end = now if ended is None or runs else min(int(ended["ended"]), now)
        if not seen and (last := ends.get(instance_id)) is not None:
            end = min(end, last + LATE)
        found.append(
            Use(
                instance_id,
                _owner(line["owner"], owners.get(line["annex"]), line.get("starter") or starters.get(instance_id)),
                line["annex"],
                line["region"],
                line["type"],
                line["spot"],
                line["launched"],
                max(end, line["launched"] + (0 if runs else SHORTEST)),
                runs,
                seen,
                not runs and ended is not None and ended["reason"].startswith("Server.Spot"),
                None if line["most"] is None else Decimal(line["most"]),
            )
        )
    return found


def _owner(of_machine: str | None, of_annex: str | None, starter: str | None) -> str:
    owner = of_annex if of_machine is None else of_machine
    return (owner or EVERYBODY) if owner is not None else (starter or UNKNOWN)


def _lease_ends(record: Record) -> dict[str, int]:
    """Return when the lease of each machine ended at the latest, by its ID, as far as the record knows."""
    steps = {line["request"]: line["expiration"] for line in record.of("step")}
    later: dict[tuple[str, str], int] = {}
    for line in record.of("extension"):
        place = (line["annex"], line["region"])
        later[place] = max(later.get(place, 0), line["expiration"])
    found = {}
    for instance_id, line in record.machines().items():
        end = line.get("expiration") or steps.get(line["request"])
        if end is not None:
            found[instance_id] = max(end, later.get((line["annex"], line["region"]), 0))
    return found


def parse_runs(ads: Iterable[Ad]) -> list[Run]:
    """Return the runs of jobs that are done, as HTCondor's history has them: of each job the last one."""
    found = []
    for ad in ads:
        host = _INSTANCE.search(str(ad.get("LastRemoteHost", "")))
        begin, end = ad.get("JobCurrentStartDate"), ad.get("CompletionDate")
        if host is None or ad.get("JobStatus") != COMPLETED or not begin or not end or end <= begin:
            continue
        found.append(Run(host[0], int(begin), int(end), cpus_of(ad)))
    return found


def cpus_of(ad: Ad) -> int:
    """Return how many cores a job had."""
    value: Any = ad.get("CpusProvisioned") or ad.get("RequestCpus") or 1
    return int(value) if isinstance(value, int | float) and value >= 1 else 1


def add_up(
    machines: Sequence[Use],
    runs: Sequence[Run] | None,
    vcpus: Mapping[str, int],
    spot: Mapping[tuple[str, str], Decimal],
    by: By | None,
    since: int,
) -> list[Cost]:
    """Return what machines cost, the most expensive first, days in their order.

    Args:
        machines: all that are known.
        runs: of jobs that are done; None where HTCondor does not say.
        vcpus: of each instance type.
        spot: dollars an hour of spot machines, by region and type, disk and address included.
        by: what to put together by; None for all in one.
        since: seconds since the epoch: nothing before counts.
    """
    of_machine: dict[str, list[Run]] = defaultdict(list)
    for run in runs or ():
        of_machine[run.instance_id].append(run)
    sums: dict[str, _Sum] = defaultdict(_Sum)
    for use in machines:
        cores = vcpus.get(use.type)
        price = min(spot.get((use.region, use.type), use.most), use.most) if use.spot and use.most else use.most
        for name, begin, end in _parts(use, by, since):
            total = sums[name]
            hours = Decimal(end - begin) / 3600
            total.machines.add(use.instance_id)
            total.hours += hours
            total.sized &= cores is not None
            total.cores += hours * (cores or 0)
            total.priced &= use.most is not None
            total.dollars += hours * (price or 0)
            total.most += hours * (use.most or 0)
            used = Decimal(
                sum(max(min(run.end, end) - max(run.begin, begin), 0) * run.cpus for run in of_machine[use.instance_id])
            )
            used = min(used / 3600, hours * (cores or 0))
            total.used += used
            if not use.runs:
                rest = hours * (cores or 0) - used
                total.taken += rest if use.taken else 0
                total.idle += 0 if use.taken else rest
    costs = [total.cost(name, known=runs is not None) for name, total in sums.items()]
    return sorted(costs, key=lambda cost: (cost.name if by is By.DAY else -(cost.dollars or 0), cost.name))


def _parts(use: Use, by: By | None, since: int) -> Iterator[tuple[str, int, int]]:
    """Return what a machine counts for: a name, and from when to when."""
    begin = max(use.begin, since)
    if begin >= use.end:
        return
    if by is not By.DAY:
        yield {By.OWNER: use.owner, By.ANNEX: use.annex, None: ALL}[by], begin, use.end
        return
    for day in range(begin // DAY, (use.end - 1) // DAY + 1):
        name = f"{datetime.fromtimestamp(day * DAY, UTC):%Y-%m-%d}"
        yield name, max(begin, day * DAY), min(use.end, (day + 1) * DAY)


class _Sum:
    """What is added up for a row."""

    def __init__(self) -> None:
        self.machines = set[str]()
        self.hours = self.cores = self.used = self.taken = self.idle = self.dollars = self.most = Decimal(0)
        self.sized = self.priced = True

    def cost(self, name: str, *, known: bool) -> Cost:
        def shown(hours: Decimal, *, when: bool) -> float | None:
            return round(float(hours), 2) if when else None

        known = known and self.sized
        cent = Decimal("0.01")
        return Cost(
            name,
            len(self.machines),
            round(float(self.hours), 2),
            shown(self.cores, when=self.sized),
            shown(self.used, when=known),
            shown(self.taken, when=known),
            shown(self.idle, when=known),
            self.dollars.quantize(cent) if self.priced else None,
            self.most.quantize(cent) if self.priced else None,
        )
