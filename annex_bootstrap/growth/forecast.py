"""How long the jobs that wait would take, and what it would cost, from what such jobs took before. Pure.

Such a job is one of the same owner and the same executable that ended well. What is not known is None, and nothing else
is put in its place.
"""

from __future__ import annotations

import heapq
import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import fmean, pstdev

from annex_bootstrap.growth.costs import COMPLETED
from annex_bootstrap.growth.model import Group, Machine, Market, Offer, Readings, Reason, Room, Rules
from annex_bootstrap.growth.plan import LATE, PACE, keys_of, plan
from annex_bootstrap.growth.queue import Ad
from annex_bootstrap.machines.money import DAY, Charge

HISTORY = ("Owner", "Cmd", "LastRemoteHost", "JobStatus", "ExitCode", "JobCurrentStartDate", "CompletionDate")
"""What is read of jobs that are done."""

FEWEST = 5
"""Jobs that must have ended before anything is said of others."""

BOOT = 180
"""Seconds that a machine is assumed to boot."""

STEPS = 240
"""Steps of growth that are looked at, a minute each."""

BAND = 2
"""Standard errors on both sides: in 19 of 20 cases the mean lies within."""

_INSTANCE = re.compile(r"\bi-[0-9a-f]+\b")


@dataclass(frozen=True)
class Past:
    """A run of a job that ended well.

    Attributes:
        owner: whose job it was.
        executable: Cmd of the job.
        begin: seconds since the epoch.
        end: the same.
        away: whether it ran on a machine in EC2.
    """

    owner: str
    executable: str
    begin: int
    end: int
    away: bool = False


@dataclass(frozen=True)
class Span:
    """A number that is not known exactly.

    Attributes:
        least: hardly less than that.
        middle: what is expected.
        most: hardly more than that.
    """

    least: float
    middle: float
    most: float


@dataclass(frozen=True)
class Runtime:
    """How long the jobs of a group run.

    Attributes:
        samples: seconds that such jobs took, the shortest first; empty where nobody knows.
        given: whether somebody has said it.
        at_home: how many of such jobs ran at home at the same time lately, on the average; None where none did.
    """

    samples: tuple[int, ...]
    given: bool = False
    at_home: float | None = None

    def mean(self, jobs: int) -> Span | None:
        """Return the mean of so many jobs, in seconds; None where nobody knows."""
        if not self.samples:
            return None
        middle = fmean(self.samples)
        error = BAND * pstdev(self.samples) * math.sqrt(1 / len(self.samples) + 1 / jobs)
        return Span(max(middle - error, self.samples[0]), middle, middle + error)

    def each(self, jobs: int, mean: float) -> list[float]:
        """Return the seconds of each of so many jobs, as mixed as those before, with a given mean."""
        # Coprime, so that every job has another place in the order of lengths.
        step = next(step for step in itertools.count(max(int(jobs * 0.618), 1)) if math.gcd(step, jobs) == 1)
        places = (number * step % jobs for number in range(jobs))
        mixed = [self.samples[(2 * place + 1) * len(self.samples) // (2 * jobs)] for place in places]
        factor = mean / fmean(mixed)
        return [seconds * factor for seconds in mixed]


@dataclass(frozen=True)
class Option:
    """A way to run the jobs.

    Attributes:
        machines: how many would start.
        cores: their vCPUs.
        per_hour: dollars that all of them cost an hour; None where a price is unknown.
        seconds: until the last job is done; None where nobody knows how long jobs run, or none would run.
        dollars: for the machines; None as above, or where a price is unknown.
        left: jobs that nothing would run.
    """

    machines: int
    cores: int
    per_hour: Decimal | None
    seconds: Span | None
    dollars: Span | None
    left: int


@dataclass
class _Place:
    """Where jobs run: a slot of the pool, or a machine.

    Attributes:
        free: what no job has.
        fits: the keys of the groups that run there.
        since: when it can take jobs, in seconds from now.
        launched: when it is paid for.
        price: dollars an hour.
        single: whether it takes one job at a time.
        until: when its last job is done, or it has booted.
        jobs: that run.
    """

    free: Room
    fits: frozenset[str]
    since: float = 0
    launched: float = 0
    price: Decimal = Decimal(0)
    single: bool = False
    until: float = 0
    jobs: int = 0

    def holds(self, needs: Room) -> bool:
        return not (self.single and self.jobs) and self.free.holds(needs) > 0


def parse_past(ads: Iterable[Ad]) -> list[Past]:
    """Return the runs of jobs that ended well, as HTCondor's history has them: of each job the last one."""
    found = []
    for ad in ads:
        begin, end = ad.get("JobCurrentStartDate"), ad.get("CompletionDate")
        if ad.get("JobStatus") != COMPLETED or ad.get("ExitCode") != 0 or not begin or not end or end <= begin:
            continue
        away = _INSTANCE.search(str(ad.get("LastRemoteHost", ""))) is not None
        found.append(Past(str(ad.get("Owner", "")), str(ad.get("Cmd", "")), int(begin), int(end), away))
    return found


def runtime_of(owner: str, executable: str, past: Iterable[Past], now: int, given: int | None = None) -> Runtime:
    """Return how long jobs run.

    Args:
        owner: whose they are.
        executable: Cmd of one of them.
        past: of this access point.
        now: seconds since the epoch.
        given: seconds where fewer than ``FEWEST`` of such jobs have ended; None for unknown.
    """
    alike = [each for each in past if (each.owner, each.executable) == (owner, executable)]
    here = [each for each in alike if not each.away and each.end > now - DAY]
    at_home = None
    if here:
        begin = max(min(each.begin for each in here), now - DAY)
        at_home = sum(each.end - max(each.begin, begin) for each in here) / (now - begin)
    if len(alike) >= FEWEST:
        return Runtime(tuple(sorted(each.end - each.begin for each in alike)), at_home=at_home)
    return Runtime(() if given is None else (given,), given is not None, at_home)


def grown(readings: Readings, rules: Rules, now: int) -> list[tuple[Machine, Offer, int]]:
    """Return the machines that growth would start while no job ends, each with what it is and when it starts.

    Args:
        readings: what is known.
        rules: what is wanted.
        now: seconds since the epoch.
    """
    offers = {(offer.type, offer.region, offer.spot): offer for offer in readings.offers}
    found, charges = list[tuple[Machine, Offer, int]](), list(readings.charges)
    for clock in range(now, now + STEPS * PACE, PACE):
        # They go on booting: what runs there is what they were started for.
        there = [replace(machine, launched=max(machine.launched, clock - PACE)) for machine, _, _ in found]
        given = replace(readings, machines=[*readings.machines, *there], charges=charges)
        decision = plan(given, rules, clock)
        for start in decision.starts:
            offer = offers[start.types[0], start.region, start.spot]
            charges += [Charge(start.most or Decimal(0), clock, clock + rules.duration + LATE)] * start.count
            fits = offer.fits & keys_of(readings.groups, start.annex, start.owner)
            for _ in range(start.count):
                machine = Machine(
                    f"new-{len(found)}", start.annex, start.region, offer.type, offer.vcpus, start.spot, clock,
                    joined=False, busy=False, room=offer.room, fits=fits, most=start.most,
                )  # fmt: skip
                found.append((machine, offer, clock))
        if not decision.starts and Reason.PACE not in {verdict.reason for verdict in decision.verdicts}:
            break
    return found


def forecast(
    readings: Readings, rules: Rules, runtimes: Mapping[str, Runtime], idle: int, now: int, market: Market
) -> Option:
    """Return what growth on a market would come to, together with the pool's free slots.

    Args:
        readings: what is known.
        rules: what is wanted.
        runtimes: of each group, by key.
        idle: seconds without a job after which a machine shuts down.
        now: seconds since the epoch.
        market: on which machines start.
    """
    machines = grown(readings, replace(rules, market=market, wait=0), now)
    prices = [offer.now for _, offer, _ in machines]
    known = [price for price in prices if price is not None]
    per_hour = sum(known, Decimal(0)) if len(known) == len(prices) else None

    def places() -> list[_Place]:
        there = [_Place(slot.room, slot.fits, single=slot.single) for slot in readings.slots]
        there += [
            _Place(each.room, each.fits, since=max(each.launched + BOOT - now, 0))
            for each in readings.machines
            if each.boots(now)
        ]
        return there + [
            _Place(machine.room, machine.fits, began - now + BOOT, began - now, offer.now or Decimal(0))
            for machine, offer, began in machines
        ]

    served = [
        group
        for group in readings.groups
        if any(group.key in each.fits and each.holds(group.needs) for each in places())
    ]
    left = sum(len(group.since) for group in readings.groups if group not in served)
    seconds, dollars = None, None
    means = {group.key: runtimes[group.key].mean(len(group.since)) for group in served}
    if served and None not in means.values():
        ends, sums = [], []
        for name in ("least", "middle", "most"):
            queues = {
                key: runtimes[key].each(len(group.since), getattr(span, name))
                for group in served
                if (span := means[key := group.key]) is not None
            }
            end, cost = _run(places(), served, queues, idle)
            ends.append(end)
            sums.append(cost)
        # A longer job may leave a better gap for others.
        seconds = Span(min(ends), ends[1], max(ends))
        dollars = None if per_hour is None else Span(min(sums), sums[1], max(sums))
    return Option(len(machines), sum(machine.vcpus for machine, _, _ in machines), per_hour, seconds, dollars, left)


def _run(
    places: Sequence[_Place], groups: Sequence[Group], queues: Mapping[str, list[float]], idle: int
) -> tuple[float, float]:
    """Let jobs run where they fit, those first that have waited longest; return when all are done, and the dollars."""
    order = sorted(groups, key=lambda group: (group.since[:1], group.key))
    last, order_of_events = 0.0, itertools.count()
    pending: list[tuple[float, int, int, Room | None]] = [
        (place.since, next(order_of_events), number, None) for number, place in enumerate(places)
    ]
    heapq.heapify(pending)
    while pending:
        clock, _, number, done = heapq.heappop(pending)
        place = places[number]
        if done is None:
            place.until = clock
        else:
            place.free, place.jobs = place.free.without(done, -1), place.jobs - 1
        for group in order:
            while group.key in place.fits and queues[group.key] and place.holds(group.needs):
                end = clock + queues[group.key].pop()
                place.free, place.jobs = place.free.without(group.needs, 1), place.jobs + 1
                place.until = max(place.until, end)
                last = max(last, end)
                heapq.heappush(pending, (end, next(order_of_events), number, group.needs))
    dollars = sum(float(place.price) * (place.until + idle - place.launched) / 3600 for place in places if place.price)
    return last, dollars


def wait(groups: Sequence[Group], runtimes: Mapping[str, Runtime]) -> Option:
    """Return what comes of waiting, if the pool goes on as it did lately.

    Args:
        groups: of the queue.
        runtimes: of each group, by key.
    """
    spans = list[Span]()
    for group in groups:
        runtime, jobs = runtimes[group.key], len(group.since)
        mean = runtime.mean(jobs)
        if mean is None or not runtime.at_home:
            return Option(0, 0, Decimal(0), None, Span(0, 0, 0), 0)
        # The last one takes its time, however many run at once.
        rounds = max(jobs / runtime.at_home, 1)
        spans.append(Span(mean.least * rounds, mean.middle * rounds, mean.most * rounds))
    if not spans:
        return Option(0, 0, Decimal(0), None, Span(0, 0, 0), 0)
    seconds = Span(*(max(getattr(span, name) for span in spans) for name in ("least", "middle", "most")))
    return Option(0, 0, Decimal(0), seconds, Span(0, 0, 0), 0)
