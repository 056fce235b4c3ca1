"""What a decision about growth is made of, and what it says."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from annex_bootstrap.machines.money import Budget, Charge, parse_budget

BOOT_SECONDS = 600
"""A machine that has not joined the pool after this time never will: booting takes a minute or two."""

DEFAULT_WAIT = 1200
"""Seconds that a job waits at home before machines start for it."""

DEFAULT_IDLE = 300
"""Seconds without a job after which a machine shuts down."""

DEFAULT_DURATION = 4 * 3600
"""Seconds of a new lease."""


@dataclass(frozen=True)
class Room:
    """What a slot or a machine has, or what a job asks for.

    Attributes:
        cpus: how many.
        memory: MiB.
        disk: KiB.
        gpus: how many.
    """

    cpus: int
    memory: int
    disk: int = 0
    gpus: int = 0

    def holds(self, job: Room) -> int:
        """Return how many jobs fit into it."""
        pairs = ((self.cpus, job.cpus), (self.memory, job.memory), (self.disk, job.disk), (self.gpus, job.gpus))
        return min((max(has, 0) // wants for has, wants in pairs if wants > 0), default=0)

    def without(self, job: Room, count: int) -> Room:
        """Return what is left beside some jobs."""
        return Room(
            self.cpus - job.cpus * count,
            self.memory - job.memory * count,
            self.disk - job.disk * count,
            self.gpus - job.gpus * count,
        )


@dataclass(frozen=True)
class Group:
    """Idle jobs that are alike and may leave home.

    Attributes:
        key: tells it from others, also in later readings.
        owner: whose jobs they are.
        annex: the only one that they run in; empty where any will do.
        needs: what each of them asks for.
        since: when each of them became idle, in seconds since the epoch, the first at the front.
        returned: whether they have run before, and came back more than once.
        job: the ID of one of them, such as ``12.0``.
        requirements: of that one, as HTCondor prints them.
    """

    key: str
    owner: str
    annex: str
    needs: Room
    since: tuple[int, ...]
    returned: bool = False
    job: str = ""
    requirements: str = ""

    def ripe(self, now: int, wait: int) -> int:
        """Return how many have waited for so many seconds."""
        return bisect_right(self.since, now - wait)


@dataclass(frozen=True)
class Slot:
    """A free slot of the pool, wherever it is.

    Attributes:
        room: what is free in it.
        fits: the keys of the groups whose jobs HTCondor would run there.
        single: whether it takes one job, however small.
    """

    room: Room
    fits: frozenset[str]
    single: bool = False


@dataclass(frozen=True)
class Machine:
    """A machine of the stack that runs or starts, as EC2 says.

    Attributes:
        instance_id: its ID.
        annex: of its annex.
        region: where.
        type: its instance type.
        vcpus: how many.
        spot: whether AWS may take it back.
        launched: when, in seconds since the epoch.
        joined: whether the pool knows it; then its free slots are among those of the pool.
        busy: whether a job runs there.
        room: what jobs may have of it.
        fits: the keys of the groups whose jobs HTCondor would run there.
        most: dollars an hour that it costs at most, with disk and address; None where that is unknown.
    """

    instance_id: str
    annex: str
    region: str
    type: str
    vcpus: int
    spot: bool
    launched: int
    joined: bool
    busy: bool
    room: Room
    fits: frozenset[str]
    most: Decimal | None = None

    def boots(self, now: int) -> bool:
        """Return whether it may still join."""
        return not self.joined and now - self.launched < BOOT_SECONDS


@dataclass(frozen=True)
class Offer:
    """A type that could start.

    Attributes:
        type: its name.
        region: where.
        spot: whether on the spot market.
        vcpus: how many.
        room: what jobs would have of it.
        most: dollars an hour that it costs at most, with disk and address; None where that is unknown.
        now: dollars an hour that it costs now, with disk and address; None where that is unknown.
        fits: the keys of the groups whose jobs HTCondor would run there.
        zones: that have it, where known.
        standard: whether it counts for the quota of standard machines.
    """

    type: str
    region: str
    spot: bool
    vcpus: int
    room: Room
    most: Decimal | None
    now: Decimal | None
    fits: frozenset[str]
    zones: tuple[str, ...] = ()
    standard: bool = True


@dataclass(frozen=True)
class Lease:
    """The lease of an annex.

    Attributes:
        annex: its ID.
        region: where.
        expiration: when it ends, in seconds since the epoch.
        token_end: when a machine's token ends first; None where that is unknown.
    """

    annex: str
    region: str
    expiration: int
    token_end: int | None = None


class Market(StrEnum):
    """How machines are paid for."""

    DEMAND = "on demand"
    SPOT = "spot"
    SPOT_FIRST = "spot first"


@dataclass(frozen=True)
class Rules:
    """What the person who runs this wants.

    Attributes:
        cores: vCPUs that may run or start at once, all machines of the stack together.
        budget: what may be spent; None for no limit.
        market: how machines are paid for.
        wait: seconds that a job waits at home.
        duration: seconds of a new lease.
        pool: names pool and stack; goes into the names of annexes.
        regions: in the order in which they are tried.
        shared: whether a machine runs everybody's jobs, else those of one owner.
    """

    cores: int
    budget: Budget | None = None
    market: Market = Market.DEMAND
    wait: int = DEFAULT_WAIT
    duration: int = DEFAULT_DURATION
    pool: str = ""
    regions: tuple[str, ...] = ()
    shared: bool = False

    def as_event(self) -> dict[str, Any]:
        """Return them as the record has them."""
        return {**asdict(self), "budget": None if self.budget is None else str(self.budget)}

    @classmethod
    def of_event(cls, event: Mapping[str, Any]) -> Rules:
        """Return them as the record has them."""
        budget = event["budget"]
        return cls(
            event["cores"],
            None if budget is None else parse_budget(budget),
            Market(event["market"]),
            event["wait"],
            event["duration"],
            event["pool"],
            tuple(event["regions"]),
            event["shared"],
        )


@dataclass(frozen=True)
class Lack:
    """Capacity that AWS did not have.

    Attributes:
        region: where.
        zone: the availability zone; empty for all of the region.
        type: the instance type; empty for all.
        spot: on which market.
        until: seconds since the epoch; before that it is not asked for again.
        code: AWS's error code.
    """

    region: str
    zone: str
    type: str
    spot: bool
    until: int
    code: str = ""


@dataclass(frozen=True)
class History:
    """What happened before, as far as it matters now.

    Attributes:
        steps: when the last step of an annex was, in seconds since the epoch.
        lacks: capacity that AWS did not have.
        lost: machines in a row that never joined the pool.
    """

    steps: Mapping[str, int] = field(default_factory=dict)
    lacks: tuple[Lack, ...] = ()
    lost: int = 0


@dataclass(frozen=True)
class Readings:
    """All that a decision is made of.

    Attributes:
        groups: the idle jobs that may leave home.
        slots: what is free in the pool.
        machines: of the stack, in all regions.
        offers: what could start.
        leases: of the stack's annexes.
        charges: what has been spent, and what runs costs until its leases end.
        quotas: vCPUs that the quota of standard machines and the stack's MaxCores have left, by region and whether on
            the spot market; those that are unknown are missing.
        history: what happened before.
        doubts: what could not be read, a sentence each: with any of them nothing is changed.
        denied: regions where nothing can start, and why.
        refused: groups for which nothing may start, by key, and why.
    """

    groups: Sequence[Group] = ()
    slots: Sequence[Slot] = ()
    machines: Sequence[Machine] = ()
    offers: Sequence[Offer] = ()
    leases: Sequence[Lease] = ()
    charges: Sequence[Charge] = ()
    quotas: Mapping[tuple[str, bool], int] = field(default_factory=dict)
    history: History = History()
    doubts: Sequence[str] = ()
    denied: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


class Reason(StrEnum):
    """Why jobs of a group still wait."""

    DOUBT = "doubt"
    PROTECTED = "protected"
    HOME = "home"
    BOOTING = "booting"
    WAIT = "wait"
    NAME = "name"
    NO_TYPE = "no type"
    CAPACITY = "capacity"
    QUOTA = "quota"
    CORES = "cores"
    MONEY = "money"
    PRICE = "price"
    PACE = "pace"
    STARTED = "started"


@dataclass(frozen=True)
class Verdict:
    """What becomes of a group.

    Attributes:
        key: of the group.
        jobs: how many are idle.
        home: of these, how many free slots of the pool take.
        booting: how many machines that boot take.
        young: how many have not waited for long enough.
        missing: how many need machines that do not exist yet.
        reason: why the rest waits, or the last of them does.
        until: when that ends, in seconds since the epoch; None where that is unknown.
    """

    key: str
    jobs: int
    home: int
    booting: int
    young: int
    missing: int
    reason: Reason
    until: int | None = None


@dataclass(frozen=True)
class Start:
    """Machines to start.

    Attributes:
        annex: its name.
        owner: whose jobs they run; empty for everybody's.
        region: where.
        types: that AWS may choose from, the cheapest first; all of one size.
        spot: whether on the spot market.
        count: how many machines.
        vcpus: of each.
        most: dollars an hour that each costs at most; None where that is unknown.
        keys: of the groups that they are for.
        number: of the starts of the same annex, region and market in a decision, from 0.
    """

    annex: str
    owner: str
    region: str
    types: tuple[str, ...]
    spot: bool
    count: int
    vcpus: int
    most: Decimal | None
    keys: tuple[str, ...]
    number: int = 0

    @property
    def cores(self) -> int:
        """How many vCPUs."""
        return self.count * self.vcpus


@dataclass(frozen=True)
class Extension:
    """A lease that should end later.

    Attributes:
        annex: its ID.
        region: where.
        expiration: its new end, in seconds since the epoch.
    """

    annex: str
    region: str
    expiration: int


@dataclass(frozen=True)
class Decision:
    """What to do now.

    Attributes:
        starts: machines to start.
        extensions: leases that should end later.
        verdicts: one for each group, in their order.
        cores: vCPUs that run or start, without those of ``starts``.
        doubts: why nothing is done.
        lost: machines in a row that never joined the pool.
    """

    starts: tuple[Start, ...]
    extensions: tuple[Extension, ...]
    verdicts: tuple[Verdict, ...]
    cores: int
    doubts: tuple[str, ...] = ()
    lost: int = 0
