"""Simulate a week of 10,000 jobs, and let ``plan`` and others decide how many machines there are.

All of them meet the same jobs, boots of 1 to 10 minutes, spot interruptions, types without capacity, a collector that
restarts and an image that is broken for three hours. Machine number 17 boots as long and lives as long for everybody.
It is deterministic: a seed, and a clock that moves by minutes.

The others are what people use instead:

- so many machines all the time;
- a machine for each job, which ends with it;
- Google's autoscaler for HTCondor, by its formula: as many machines as jobs divided by the cores of one, and what is
  idle goes where there are more; every two minutes:
  https://github.com/GoogleCloudPlatform/deploymentmanager-samples/blob/master/examples/v2/htcondor/autoscaler/autoscaler.py
- COBalD's linear controller with thresholds of 0.9, in cores, one a second, at least one machine; what is too much is
  drained: https://github.com/MatterMiners/cobald/blob/master/src/cobald/controller/linear.py

Run from a checkout: ``python -m benchmarks.week``.
"""

from __future__ import annotations

import math
import random
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any, Protocol

from annex_bootstrap.growth.cloud import offered_memory
from annex_bootstrap.growth.model import (
    Group,
    History,
    Lack,
    Lease,
    Machine,
    Market,
    Offer,
    Readings,
    Room,
    Rules,
    Slot,
    Start,
)
from annex_bootstrap.growth.plan import plan
from annex_bootstrap.growth.record import BACKOFF, lost
from annex_bootstrap.machines.instance_types import MIB_PER_GIB, InstanceType
from annex_bootstrap.machines.prices import ADDRESS
from annex_bootstrap.machines.prices import DISK as PRICE_OF_DISK

SEEDS = (28, 29)
"""The first is the one by which ``plan`` was made; the second shows whether it was made for that one only."""

MINUTE, HOUR, DAY = 60, 3600, 86400

BEGIN = 1_800_000_000 // DAY * DAY
"""Midnight, in seconds since the epoch."""

JOBS = 10_000

CORES = 1000
"""The cap, for all."""

GIVE_UP = 10 * MINUTE
"""Seconds after which a machine that cannot join shuts down."""

TAKEN_AN_HOUR = 0.03
"""The part of spot machines that AWS takes back in an hour."""

RESTARTS = tuple(BEGIN + day * DAY + 11 * HOUR + 7 * MINUTE for day in (0, 1, 2, 4, 6))
OUTAGE, RETURN = 3 * MINUTE, 5 * MINUTE
"""When the collector restarts, for how long it does not answer, and in what time machines report again."""

BROKEN = (BEGIN + 3 * DAY + 10 * HOUR, BEGIN + 3 * DAY + 13 * HOUR)
"""From when to when the image is broken."""

LACKING = 0.15
"""The part of the hours in which a type has no capacity on the spot market."""

LOOKED_AT = 600
"""Machines at the end of the record that count for those that never joined: more than ten minutes start."""

DISK = 8 * MIB_PER_GIB * 1024


@dataclass(frozen=True)
class Shape:
    """What some jobs ask for.

    Attributes:
        key: of their group.
        needs: of each.
        minutes: of the median.
        share: of all jobs.
    """

    key: str
    needs: Room
    minutes: float
    share: float


SHAPES = (
    Shape("small", Room(1, 2 * MIB_PER_GIB), 20, 0.80),
    Shape("wide", Room(4, 12 * MIB_PER_GIB), 60, 0.15),
    Shape("large", Room(8, 60 * MIB_PER_GIB), 90, 0.05),
)
KEYS = frozenset(shape.key for shape in SHAPES)


@dataclass(frozen=True)
class Kind:
    """An instance type.

    Attributes:
        name: of it.
        vcpus: how many.
        room: what jobs have of it.
        demand: dollars an hour.
        spot: the same on the spot market.
    """

    name: str
    vcpus: int
    room: Room
    demand: Decimal
    spot: Decimal

    def price(self, *, spot: bool) -> Decimal:
        """Return dollars an hour."""
        return self.spot if spot else self.demand


def _kind(family: str, size: str, vcpus: int, gib: int, cents: str) -> Kind:
    name, demand = f"{family}.{size}", Decimal(cents) / 100 * vcpus
    extras = ADDRESS + 16 * PRICE_OF_DISK
    memory = offered_memory(InstanceType(name, vcpus, vcpus * gib * MIB_PER_GIB))
    return Kind(name, vcpus, Room(vcpus, memory, DISK), demand + extras, demand * Decimal("0.4") + extras)


KINDS = {
    kind.name: kind
    for family, gib, cents in (("c7i", 2, "4.46"), ("m7i", 4, "5.04"), ("r7i", 8, "6.61"))
    for size, vcpus in (("large", 2), ("xlarge", 4), ("2xlarge", 8), ("4xlarge", 16))
    for kind in [_kind(family, size, vcpus, gib, cents)]
}
"""Prices of us-east-1, a vCPU: https://aws.amazon.com/ec2/pricing/on-demand/"""

UNIT = KINDS["r7i.2xlarge"]
"""The type of those that have one: the smallest that holds every job."""


@dataclass
class Job:
    """A job.

    Attributes:
        shape: what it asks for.
        submitted: when, in seconds since the epoch.
        seconds: how long it runs.
        since: when it became idle.
        starts: how often it has started.
        done: when it was done.
    """

    shape: Shape
    submitted: int
    seconds: int
    since: int = 0
    starts: int = 0
    done: int = 0


@dataclass
class Box:
    """A machine.

    Attributes:
        number: of it, in the order of launches.
        kind: its type.
        spot: whether AWS may take it back.
        launched: when, in seconds since the epoch.
        joins: when it joins the pool; never where the image is broken.
        taken: when AWS takes it back, if it is a spot machine.
        annex: its annex.
        free: what no job has.
        jobs: that run, each with its end.
        idle: since when it has none.
        draining: whether it takes no more.
        ended: when it ended.
        reason: AWS's code for that.
        noticed: whether the pool's user saw it join.
    """

    number: int
    kind: Kind
    spot: bool
    launched: int
    joins: float
    taken: float
    annex: str
    free: Room
    jobs: list[tuple[int, Job]] = field(default_factory=list)
    idle: int = 0
    draining: bool = False
    ended: int | None = None
    reason: str = ""
    noticed: bool = False

    @property
    def name(self) -> str:
        """Its ID."""
        return f"i-{self.number}"


@cache
def _fate(seed: int, number: int) -> tuple[float, float, float]:
    """Return how long a machine boots, how long AWS lets it live, and when it is among those that report again."""
    chance = random.Random(f"{seed} machine {number}")
    boot = chance.uniform(1, 10) * MINUTE
    return boot, chance.expovariate(-math.log(1 - TAKEN_AN_HOUR)) * HOUR, chance.random()


@cache
def _lacks(seed: int, kind: str, hour: int) -> bool:
    return random.Random(f"{seed} {kind} {hour}").random() < LACKING


class Strategy(Protocol):
    """Decides once a minute."""

    name: str
    idle: int | None
    """Seconds without a job after which machines shut down by themselves; None for never."""

    def decide(self, world: World, now: int) -> None:
        """Start and end machines."""


class World:
    """Jobs, machines, and what befalls them."""

    def __init__(self, seed: int, jobs: int = JOBS) -> None:
        self.seed = seed
        self.coming = deque(_submissions(random.Random(f"{seed} jobs"), jobs))
        self.queue = {shape.key: deque[Job]() for shape in SHAPES}
        self.boxes: list[Box] = []
        self.all: list[Box] = []
        self.finished: list[Job] = []
        self.used = 0.0
        """Core seconds of jobs that are done."""

    @property
    def cores(self) -> int:
        """VCPUs that run or start."""
        return sum(box.kind.vcpus for box in self.boxes)

    @property
    def idle(self) -> int:
        """How many jobs wait."""
        return sum(map(len, self.queue.values()))

    @property
    def running(self) -> int:
        """How many jobs run."""
        return sum(len(box.jobs) for box in self.boxes)

    def lacks(self, kind: Kind, now: int, *, spot: bool) -> bool:
        """Return whether a type has no capacity."""
        return spot and _lacks(self.seed, kind.name, now // HOUR)

    def answers(self, now: int) -> bool:
        """Return whether the collector answers."""
        return not any(restart <= now < restart + OUTAGE for restart in RESTARTS)

    def known(self, box: Box, now: int) -> bool:
        """Return whether the collector knows a machine."""
        if box.joins > now or not self.answers(now):
            return False
        latest = max((restart for restart in RESTARTS if restart <= now), default=0)
        return box.joins >= latest or now >= latest + OUTAGE + _fate(self.seed, box.number)[2] * RETURN

    def launch(self, kind: Kind, now: int, *, spot: bool, annex: str = "") -> Box | None:
        """Start a machine; None where there is no capacity, or the cap is reached."""
        if self.lacks(kind, now, spot=spot) or self.cores + kind.vcpus > CORES:
            return None
        boot, life, _ = _fate(self.seed, len(self.all))
        broken = BROKEN[0] <= now < BROKEN[1]
        joins = math.inf if broken else now + boot
        taken = now + life if spot else math.inf
        box = Box(len(self.all), kind, spot, now, joins, taken, annex, kind.room, idle=now)
        self.all.append(box)
        self.boxes.append(box)
        return box

    def end(self, box: Box, now: int, reason: str) -> None:
        """End a machine; its jobs wait again, and begin from the start."""
        box.ended, box.reason = now, reason
        self.boxes.remove(box)
        for _, job in box.jobs:
            job.since = now
            self.queue[job.shape.key].append(job)
        box.jobs = []

    def move(self, now: int, idle: int | None) -> None:
        """Let a minute pass.

        Args:
            now: seconds since the epoch.
            idle: seconds without a job after which machines shut down by themselves; None for never.
        """
        while self.coming and self.coming[0].submitted <= now:
            job = self.coming.popleft()
            job.since = job.submitted
            self.queue[job.shape.key].append(job)
        for box in list(self.boxes):
            for end, job in [each for each in box.jobs if each[0] <= now]:
                box.jobs.remove((end, job))
                box.free = box.free.without(job.shape.needs, -1)
                job.done = end
                self.used += job.seconds * job.shape.needs.cpus
                self.finished.append(job)
                if not box.jobs:
                    box.idle = now
            if box.taken <= now:
                self.end(box, now, "Server.SpotInstanceTermination")
            elif (box.joins == math.inf and now - box.launched >= GIVE_UP) or (
                not box.jobs
                and box.joins <= now
                and (box.draining or (idle is not None and now - max(box.idle, box.joins) >= idle))
            ):
                self.end(box, now, "Client.InstanceInitiatedShutdown")

    def negotiate(self, now: int) -> None:
        """Let jobs that wait run where they fit; while the collector is away nothing new runs."""
        if not self.answers(now):
            return
        places = [box for box in self.boxes if box.free.cpus and not box.draining and self.known(box, now)]
        for _, shape in sorted((jobs[0].since, shape) for shape, jobs in self.queue.items() if jobs):
            jobs = self.queue[shape]
            # As NEGOTIATOR_PRE_JOB_RANK has it by default: where the least is free.
            for box in sorted(places, key=lambda box: (box.free.cpus, box.free.memory)):
                for _ in range(min(box.free.holds(jobs[0].shape.needs) if jobs else 0, len(jobs))):
                    job = jobs.popleft()
                    job.starts += 1
                    box.jobs.append((now + job.seconds, job))
                    box.free = box.free.without(job.shape.needs, 1)


def _submissions(chance: random.Random, count: int) -> list[Job]:
    """Return the jobs of a week: three of four in campaigns on working days, the others at any time."""
    campaigns = [BEGIN + day * DAY + int(chance.uniform(8, 18) * HOUR) for day in range(5) for _ in range(3)]
    jobs = []
    for number in range(count):
        shape = chance.choices(SHAPES, [shape.share for shape in SHAPES])[0]
        when = chance.choice(campaigns) if number % 4 else BEGIN + int(chance.uniform(0, 7 * DAY))
        seconds = int(min(chance.lognormvariate(math.log(shape.minutes), 0.7), 8 * 60) * MINUTE)
        jobs.append(Job(shape, when, max(seconds, MINUTE)))
    return sorted(jobs, key=lambda job: job.submitted)


class Planned:
    """``plan`` with spot machines first, as ``grow --spot-first --open`` runs it."""

    def __init__(self, wait: int, idle: int) -> None:
        self.name = f"`plan`, `--wait {wait // MINUTE}m`, `--idle {idle // MINUTE}m`"
        self.idle: int | None = idle
        self.rules = Rules(CORES, market=Market.SPOT_FIRST, wait=wait, pool="week", regions=("r",), shared=True)
        self.leases: dict[str, int] = {}
        self.steps: dict[str, int] = {}
        self.lacks: list[Lack] = []
        self.offers = [
            Offer(kind.name, "r", spot, kind.vcpus, kind.room, kind.demand, kind.price(spot=spot), self._fits(kind))
            for kind in KINDS.values()
            for spot in (False, True)
        ]

    @staticmethod
    def _fits(kind: Kind) -> frozenset[str]:
        return frozenset(shape.key for shape in SHAPES if kind.room.holds(shape.needs))

    def decide(self, world: World, now: int) -> None:
        """Decide as ``grow`` does."""
        for box in [box for box in world.boxes if self.leases[box.annex] <= now]:
            world.end(box, now, "Client.UserInitiatedShutdown")
        if now == BROKEN[1]:
            # Somebody has mended the image, and tries it as growth says.
            self.leases["test"] = now + HOUR
            world.launch(UNIT, now, spot=False, annex="test")
        readings = self._read(world, now)
        decision = plan(readings, self.rules, now)
        for extension in decision.extensions:
            self.leases[extension.annex] = extension.expiration
        for start in decision.starts:
            self._start(world, start, now)

    def _read(self, world: World, now: int) -> Readings:
        answers = world.answers(now)
        known = {box.number for box in world.boxes if world.known(box, now)}
        for box in world.boxes:
            box.noticed |= box.number in known
        seen: list[Mapping[str, Any]] = [
            {
                "launched": box.launched,
                **({"joined": {}} if box.noticed else {}),
                **({} if box.ended is None else {"ended": {"watched": True, "reason": box.reason}}),
            }
            for box in world.all[-LOOKED_AT:]
        ]
        self.lacks = [lack for lack in self.lacks if lack.until > now]
        return Readings(
            groups=[_group(jobs) for jobs in world.queue.values() if jobs],
            slots=[
                Slot(box.free, self._fits(box.kind))
                for box in world.boxes
                if box.number in known and box.free.cpus
            ],
            machines=[
                Machine(
                    box.name, box.annex, "r", box.kind.name, box.kind.vcpus, box.spot, box.launched,
                    joined=box.number in known, busy=bool(box.jobs) and box.number in known, room=box.kind.room,
                    fits=self._fits(box.kind), most=box.kind.demand,
                )
                for box in world.boxes
            ],
            offers=self.offers,
            leases=[Lease(annex, "r", end) for annex, end in self.leases.items() if end > now],
            history=History(self.steps, tuple(self.lacks), lost(seen, now)),
            doubts=() if answers else ("the collector does not answer",),
        )  # fmt: skip

    def _start(self, world: World, start: Start, now: int) -> None:
        end = max(self.leases.get(start.annex, 0), now + self.rules.duration)
        count = 0
        there = [name for name in start.types if not world.lacks(KINDS[name], now, spot=start.spot)]
        for name in set(start.types) - set(there):
            self.lacks.append(Lack("r", "", name, start.spot, now + BACKOFF))
        for number in range(start.count if there else 0):
            self.leases[start.annex] = end
            count += (
                world.launch(KINDS[there[number % len(there)]], now, spot=start.spot, annex=start.annex) is not None
            )
        if count:
            self.steps[start.annex] = now


def _group(jobs: Sequence[Job]) -> Group:
    since = tuple(sorted(job.since for job in jobs))
    shape = jobs[0].shape
    return Group(shape.key, "alice", "", shape.needs, since)


class Always:
    """So many machines all the time."""

    idle: int | None = None

    def __init__(self, count: int) -> None:
        self.name, self.count = f"always {count} machines", count

    def decide(self, world: World, now: int) -> None:
        """Replace what is gone."""
        for _ in range(self.count - len(world.boxes)):
            world.launch(UNIT, now, spot=True)


class OneEach:
    """A machine for each job, of the cheapest type that holds it."""

    name = "one machine a job"
    idle: int | None = None

    def decide(self, world: World, now: int) -> None:
        """Start a machine for each job that has none yet, and end those that have done their job."""
        for shape in SHAPES:
            kinds = (kind for kind in KINDS.values() if kind.room.holds(shape.needs))
            kind = min(kinds, key=lambda kind: kind.price(spot=True))
            mine = [box for box in world.boxes if box.annex == shape.key]
            for box in mine:
                box.draining = bool(box.jobs) or box.draining
            coming = sum(not box.draining for box in mine)
            for _ in range(len(world.queue[shape.key]) - coming):
                if world.launch(kind, now, spot=True, annex=shape.key) is None:
                    break
            for box in [box for box in mine if not box.draining and box.joins <= now][len(world.queue[shape.key]) :]:
                world.end(box, now, "Client.UserInitiatedShutdown")


class Google:
    """Google's formula: a core a job."""

    name = "Google's formula"
    idle: int | None = None

    def decide(self, world: World, now: int) -> None:
        """Resize the group."""
        if now // MINUTE % 2:
            return
        size = min(math.ceil((world.idle + world.running) / UNIT.vcpus), CORES // UNIT.vcpus)
        for _ in range(size - len(world.boxes)):
            world.launch(UNIT, now, spot=True)
        if size < len(world.boxes):
            for box in [box for box in world.boxes if not box.jobs and world.known(box, now)]:
                world.end(box, now, "Client.UserInitiatedShutdown")


class Linear:
    """COBalD's linear controller."""

    name = "COBalD's linear controller"
    idle: int | None = None
    LOW, HIGH, RATE = 0.9, 0.9, 1.0

    def __init__(self) -> None:
        self.demand = float(UNIT.vcpus)

    def decide(self, world: World, now: int) -> None:
        """Move the demand, and follow it."""
        if world.answers(now):
            there = [box for box in world.boxes if not box.draining]
            joined = [box for box in there if world.known(box, now)]
            # Of cores alone: with memory it would shrink for ever here, since most jobs need little of it.
            used = [1 - box.free.cpus / box.kind.room.cpus for box in joined]
            utilisation = sum(used) / len(used) if used else 1.0
            if utilisation < self.LOW:
                self.demand -= MINUTE * self.RATE
            elif utilisation > self.HIGH:
                self.demand += MINUTE * self.RATE
        self.demand = min(max(self.demand, UNIT.vcpus), CORES)
        there = sorted((box for box in world.boxes if not box.draining), key=lambda box: len(box.jobs))
        wanted = int(self.demand // UNIT.vcpus)
        for _ in range(wanted - len(there)):
            world.launch(UNIT, now, spot=True)
        for box in there[: max(len(there) - wanted, 0)]:
            box.draining = True


@dataclass(frozen=True)
class Week:
    """What came of a week.

    Attributes:
        name: who decided.
        core_hours: vCPUs times hours that were paid for.
        waiting: minutes that a job waited, on the average, besides its own time.
        dollars: paid.
        wasted: core hours that no job used that was done there.
        machines: how many started.
        most_cores: that ran at once.
    """

    name: str
    core_hours: float
    waiting: float
    dollars: float
    wasted: float
    machines: int
    most_cores: int


def simulate(strategy: Strategy, seed: int, jobs: int = JOBS) -> Week:
    """Let one of them decide until all jobs are done and all machines are gone, or for 30 days."""
    world, now, most = World(seed, jobs), BEGIN, 0
    while now < BEGIN + 30 * DAY and len(world.finished) < jobs:
        world.move(now, strategy.idle)
        world.negotiate(now)
        strategy.decide(world, now)
        most = max(most, world.cores)
        now += MINUTE
    for box in list(world.boxes):
        world.end(box, now + (strategy.idle or 0), "")
    hours = [((box.ended or now) - box.launched) / HOUR for box in world.all]
    paid = sum(box.kind.vcpus * time for box, time in zip(world.all, hours, strict=True))
    dollars = sum(float(box.kind.price(spot=box.spot)) * time for box, time in zip(world.all, hours, strict=True))
    waits = [job.done - job.submitted - job.seconds for job in world.finished]
    return Week(
        strategy.name,
        paid,
        sum(waits) / len(waits) / MINUTE,
        dollars,
        paid - world.used / HOUR,
        len(world.all),
        most,
    )


def strategies() -> list[Strategy]:
    """Return all that are compared, ours first."""
    ours = [Planned(wait * MINUTE, idle * MINUTE) for wait, idle in ((20, 5), (20, 15), (0, 5))]
    return [*ours, Always(16), Always(CORES // UNIT.vcpus), OneEach(), Google(), Linear()]


def table() -> str:
    """Return the measurements of both weeks as Markdown, as ratios to those of the first row."""
    return "\n".join(f"Seed {seed}:\n\n{_table(seed)}" for seed in SEEDS)


def _table(seed: int) -> str:
    weeks = [simulate(strategy, seed) for strategy in strategies()]
    first = weeks[0]
    lines = [
        "| who decides | machine hours | ratio | mean wait, min | ratio | dollars | ratio | wasted hours | ratio |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for week in weeks:
        pairs = (
            (f"{week.core_hours:,.0f}", week.core_hours / first.core_hours),
            (f"{week.waiting:,.1f}", week.waiting / first.waiting),
            (f"{week.dollars:,.0f}", week.dollars / first.dollars),
            (f"{week.wasted:,.0f}", week.wasted / first.wasted),
        )
        lines.append(f"| {week.name} | " + " | ".join(f"{value} | {ratio:.2f}" for value, ratio in pairs) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
