"""What to start for the jobs that wait. Pure: readings go in, a decision comes out, and a word for every group.

A step is a part of what is missing, so that a wrong reading costs little: half of it, a step a minute. Nothing is ever
ended here: machines without jobs shut down by themselves, and leases end.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from annex_bootstrap.annexes.requests import USER, name_problem
from annex_bootstrap.growth.model import (
    Decision,
    Extension,
    Group,
    Market,
    Offer,
    Readings,
    Reason,
    Room,
    Rules,
    Start,
    Verdict,
)
from annex_bootstrap.machines.capacity import DEARER, PARTS
from annex_bootstrap.machines.money import Charge
from annex_contract.lease import ANNEX_ID_LENGTH, TICK_MINUTES

PREFIX = "grow-"
"""How the names of annexes begin that are made here."""

LATE = (TICK_MINUTES + 1) * 60
"""Seconds by which a lease may end late, as in the prices."""

PART = 2
"""A step is one part of so many of what an annex misses, rounded up."""

PACE = 60
"""Seconds between two steps of an annex."""

MOST_LOST = 10
"""Machines in a row that never joined, after which nothing starts any more until somebody has looked."""

MOST_TYPES = 30
"""Instance types of one step."""

TAIL = Decimal("0.2")
"""By which part a machine is used less for each doubling of the jobs that it runs, since they end one by one; measured
by ``benchmarks/week.py``."""

RENEWAL = 1800
"""Seconds before its end at which a lease is extended whose machines work."""

SHAPES = (2, 4, 8)
"""GiB of memory for each core, up to which machines are of one shape."""


def shape_of(needs: Room) -> str:
    """Return the shape of the machines for jobs, such as ``4g`` for up to 4 GiB of memory a core, or ``gpu``."""
    if needs.gpus:
        return "gpu"
    each = needs.memory / 1024 / max(needs.cpus, 1)
    return next((f"{size}g" for size in SHAPES if each <= size), "large")


def annex_of(group: Group, rules: Rules) -> str:
    """Return the name of the annex for a group: the same wherever somebody decides for the same pool.

    Args:
        group: which; the annex that its jobs name wins.
        rules: name the pool.
    """
    if group.annex:
        return group.annex
    return name_of(shape_of(group.needs), "" if rules.shared else group.owner, rules.pool)


def name_of(shape: str, owner: str, pool: str) -> str:
    """Return the name of the annex whose machines have a shape.

    Args:
        shape: of the machines.
        owner: whose jobs they run; empty for everybody's.
        pool: names pool and stack.
    """
    digest = hashlib.sha256(f"{pool}\n{owner}\n{shape}".encode()).hexdigest()[:6]
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in owner or "all")
    return f"{PREFIX}{shape}-{plain}"[: ANNEX_ID_LENGTH - 7].rstrip("-") + f"-{digest}"


def refusal(group: Group, rules: Rules, existing: Mapping[str, str | None]) -> str:
    """Return why nothing may start for a group; nothing if it may. Who submits a job chooses only its own annex.

    Args:
        group: the jobs.
        rules: name the pool.
        existing: the annexes that there are, and whose jobs they run as far as they were started here.
    """
    owner = "" if rules.shared else group.owner
    if not USER.fullmatch(group.owner):
        return f"{group.owner!r} cannot be a user name on machines"
    if not group.annex:
        return ""
    if problem := name_problem(group.annex):
        return problem
    if group.annex.startswith(PREFIX):
        own = [name_of(shape, owner, rules.pool) for shape in (*(f"{size}g" for size in SHAPES), "large", "gpu")]
        return "" if group.annex in own else f"{group.annex} is not an annex of {group.owner}: choose another name"
    if group.annex in existing and existing[group.annex] != owner:
        return f"the annex {group.annex} runs already, and was not started here for {group.owner}: it is left alone"
    return ""


def keys_of(groups: Iterable[Group], annex: str, owner: str) -> set[str]:
    """Return the keys of the groups that machines of an annex may run.

    Args:
        groups: of the queue.
        annex: its name.
        owner: whose jobs it runs; empty for everybody's.
    """
    return {group.key for group in groups if group.annex in ("", annex) and owner in ("", group.owner)}


def plan(readings: Readings, rules: Rules, now: int) -> Decision:
    """Decide what to start.

    Args:
        readings: what is known.
        rules: what is wanted.
        now: seconds since the epoch.
    """
    cores, lost = sum(machine.vcpus for machine in readings.machines), readings.history.lost
    stop = Reason.DOUBT if readings.doubts else Reason.PROTECTED if lost >= MOST_LOST else None
    if stop is not None:
        verdicts = tuple(Verdict(group.key, len(group.since), 0, 0, 0, 0, stop) for group in readings.groups)
        return Decision((), (), verdicts, cores, tuple(readings.doubts), lost)
    return _Planner(readings, rules, now, cores).decide()


@dataclass
class _Place:
    """Room that is there, or will be: what is left of it while groups are served."""

    room: Room
    fits: frozenset[str]
    single: bool = False

    def take(self, group: Group, wanted: int) -> int:
        """Let jobs of a group have it, and return how many."""
        if group.key not in self.fits:
            return 0
        count = min(self.room.holds(group.needs), 1 if self.single else wanted, wanted)
        self.room = Room(0, 0) if self.single and count else self.room.without(group.needs, count)
        return count


def _take(places: Iterable[_Place], group: Group, wanted: int) -> int:
    taken = 0
    for place in places:
        if taken >= wanted:
            break
        taken += place.take(group, wanted - taken)
    return taken


@dataclass(frozen=True)
class _Need:
    """What a group finds, and what it misses."""

    group: Group
    annex: str
    home: int
    booting: int
    young: int
    missing: int

    def verdict(self, reason: Reason, until: int | None = None) -> Verdict:
        return Verdict(
            self.group.key, len(self.group.since), self.home, self.booting, self.young, self.missing, reason, until
        )


def _tail(jobs: int) -> Decimal:
    """Return how many times longer a machine is paid for that runs several jobs at once than one that runs one of them.

    It is paid for until the last of them is done.
    """
    return 1 + TAIL * (jobs.bit_length() - 1)


class _Planner:
    def __init__(self, readings: Readings, rules: Rules, now: int, cores: int) -> None:
        self.readings, self.rules, self.now, self.cores = readings, rules, now, cores
        self.room = rules.cores - cores
        self.quotas = dict(readings.quotas)
        self.charges = list(readings.charges)
        self.starts: list[Start] = []
        self.new: list[_Place] = []

    def decide(self) -> Decision:
        # Those who have waited longest first, whatever order the queue has.
        groups = sorted(self.readings.groups, key=lambda group: (group.since[:1], group.key))
        needs = list(self._needs(groups))
        self.offers = {group.key: self._offers(group) for group in groups}
        allowances = Counter[str]()
        owners: dict[str, set[str]] = {}
        for need in needs:
            if self.offers[need.group.key] and need.group.key not in self.readings.refused:
                allowances[need.annex] += need.missing
            if need.group.key not in self.readings.refused:
                owners.setdefault(need.annex, set()).add("" if self.rules.shared else need.group.owner)
        self.allowances = Counter({annex: math.ceil(missing / PART) for annex, missing in allowances.items()})
        self.contested = {annex for annex, users in owners.items() if len(users) > 1}
        verdicts = {need.group.key: self._serve(need) for need in needs}
        return Decision(
            tuple(self.starts),
            tuple(self._extensions()),
            tuple(verdicts[group.key] for group in self.readings.groups),
            self.cores,
            lost=self.readings.history.lost,
        )

    def _needs(self, groups: Sequence[Group]) -> Iterator[_Need]:
        slots = [_Place(slot.room, slot.fits, slot.single) for slot in self.readings.slots]
        machines = [_Place(each.room, each.fits) for each in self.readings.machines if each.boots(self.now)]
        for group in groups:
            jobs, ripe = len(group.since), group.ripe(self.now, self.rules.wait)
            home = _take(slots, group, jobs)
            booting = _take(machines, group, jobs - home)
            missing = max(ripe - home - booting, 0)
            yield _Need(group, annex_of(group, self.rules), home, booting, jobs - ripe, missing)

    def _serve(self, need: _Need) -> Verdict:
        served = need.home + need.booting
        if need.missing:
            return need.verdict(*self._start(need))
        if served < len(need.group.since):
            # The first of those that nothing takes.
            return need.verdict(Reason.WAIT, need.group.since[served] + self.rules.wait)
        return need.verdict(Reason.BOOTING if need.booting else Reason.HOME)

    def _start(self, need: _Need) -> tuple[Reason, int | None]:
        """Start machines for a group as far as anything allows it, and return why its jobs wait."""
        if need.group.key in self.readings.refused or need.annex in self.contested:
            return Reason.NAME, None
        offers = self.offers[need.group.key]
        if not offers:
            return Reason.NO_TYPE, None
        launches = [machine.launched for machine in self.readings.machines if machine.annex == need.annex]
        again = max([self.readings.history.steps.get(need.annex, 0), *launches]) + PACE
        if again > self.now:
            return Reason.PACE, again
        taken = _take(self.new, need.group, need.missing)
        self.allowances[need.annex] -= taken
        jobs = min(need.missing - taken, self.allowances[need.annex])
        if need.missing == taken:
            return Reason.STARTED, None
        if jobs <= 0:
            return Reason.PACE, self.now + PACE
        there, until = self._not_lacking(offers)
        if not there:
            return Reason.CAPACITY, until
        reasons = []
        # The first region and market in which anything can start.
        for place in dict.fromkeys((offer.spot, offer.region) for offer in there):
            here = [offer for offer in there if (offer.spot, offer.region) == place]
            reason, allowed = self._allowed(here, need.annex)
            if reason is None:
                self._launch(need, jobs, need.missing - taken, allowed)
                return Reason.STARTED, None
            reasons.append(reason)
        return reasons[0], None

    def _offers(self, group: Group) -> list[Offer]:
        """Return what could start for a group, in the order of markets and regions."""
        markets = {Market.DEMAND: [False], Market.SPOT: [True], Market.SPOT_FIRST: [True, False]}[self.rules.market]
        if self.rules.market is Market.SPOT_FIRST and group.returned:
            markets = [False]
        order = {region: place for place, region in enumerate(self.rules.regions)}
        found = [
            offer
            for offer in self.readings.offers
            if group.key in offer.fits and offer.spot in markets and offer.room.holds(group.needs)
        ]
        return sorted(found, key=lambda offer: (markets.index(offer.spot), order.get(offer.region, len(order))))

    def _not_lacking(self, offers: Sequence[Offer]) -> tuple[list[Offer], int | None]:
        """Return the offers that AWS may have, and when the first of the others may be asked for again."""
        there, again = [], list[int]()
        for offer in offers:
            lacks = [
                lack
                for lack in self.readings.history.lacks
                if lack.until > self.now
                and (lack.region, lack.spot) == (offer.region, offer.spot)
                and lack.type in ("", offer.type)
            ]
            zones = {lack.zone for lack in lacks}
            if "" in zones or (offer.zones and zones.issuperset(offer.zones)):
                again.append(min(lack.until for lack in lacks))
            else:
                there.append(offer)
        return there, min(again, default=None)

    def _allowed(self, offers: Sequence[Offer], annex: str) -> tuple[Reason | None, list[Offer]]:
        """Return the offers of which at least one machine may start, or why none may."""
        allowed = [offer for offer in offers if offer.vcpus <= self.room]
        if not allowed:
            return Reason.CORES, []
        allowed = [offer for offer in allowed if offer.vcpus <= self._quota(offer)]
        if not allowed:
            return Reason.QUOTA, []
        if self.rules.budget is None:
            return None, allowed
        priced = [offer for offer in allowed if offer.most is not None]
        if not priced:
            return Reason.PRICE, []
        allowed = [offer for offer in priced if self._affordable(offer.most, annex, offer.region)]
        return (None, allowed) if allowed else (Reason.MONEY, [])

    def _quota(self, offer: Offer) -> int:
        return self.quotas.get((offer.region, offer.spot), self.room) if offer.standard else self.room

    def _charge(self, most: Decimal | None, annex: str, region: str) -> Charge:
        """Return what a machine costs until the lease ends that it will have, which is never shortened."""
        ends = [lease.expiration for lease in self.readings.leases if (lease.annex, lease.region) == (annex, region)]
        return Charge(most or Decimal(0), self.now, max(self.now + self.rules.duration, *ends, 0) + LATE)

    def _affordable(self, most: Decimal | None, annex: str, region: str) -> int:
        """Return how many machines the budget has room for."""
        if self.rules.budget is None:
            return self.room
        return self.rules.budget.affordable(self.charges, self._charge(most, annex, region)) if most else 0

    def _launch(self, need: _Need, jobs: int, missing: int, offers: Sequence[Offer]) -> None:
        """Start machines for some of the jobs that a group misses, of the types that cost least for all of them."""
        group, annex = need.group, need.annex

        def price(offer: Offer) -> Decimal:
            return offer.now or offer.most or Decimal(offer.vcpus)

        def cost(offer: Offer) -> tuple[bool, bool, Decimal, int, str]:
            each = offer.room.holds(group.needs)
            # As in choose_types: AWS may take one back or have none.
            coarse = offer.vcpus > 2 and each > max(missing // PARTS, 1)
            unknown = offer.now is None and offer.most is None
            return unknown, coarse, price(offer) * math.ceil(missing / each) * _tail(each), offer.vcpus, offer.type

        best = min(offers, key=cost)
        each = best.room.holds(group.needs)
        others = sorted(
            (
                offer
                for offer in offers
                if offer is not best
                and (offer.vcpus, offer.standard, offer.most is None) == (best.vcpus, best.standard, best.most is None)
                and offer.room.holds(group.needs) >= each
                and price(offer) <= price(best) * DEARER
            ),
            key=cost,
        )
        alike = [best, *others[: MOST_TYPES - 1]]
        most = max((offer.most for offer in alike if offer.most is not None), default=None)
        wanted = math.ceil(jobs / each)

        def count(most: Decimal | None) -> int:
            affordable = self._affordable(most, annex, best.region)
            return min(wanted, self.room // best.vcpus, self._quota(best) // best.vcpus, affordable)

        if count(most) < count(best.most):
            alike, most = [best], best.most
        machines = count(most)
        self.room -= machines * best.vcpus
        if best.standard and (best.region, best.spot) in self.quotas:
            self.quotas[best.region, best.spot] -= machines * best.vcpus
        self.charges += [self._charge(most, annex, best.region)] * machines
        owner = "" if self.rules.shared else group.owner
        fits = frozenset.intersection(*(offer.fits for offer in alike)) & keys_of(self.readings.groups, annex, owner)
        rooms = [offer.room for offer in alike]
        least = Room(*(min(getattr(room, name) for room in rooms) for name in ("cpus", "memory", "disk", "gpus")))
        places = [_Place(least, fits) for _ in range(machines)]
        self.allowances[annex] -= _take(places, group, missing)
        self.new += places
        types = tuple(offer.type for offer in alike)
        market = (annex, best.region, best.spot)
        number = sum((each.annex, each.region, each.spot) == market for each in self.starts)
        keys = (group.key,)
        start = Start(annex, owner, best.region, types, best.spot, machines, best.vcpus, most, keys, number)
        self.starts.append(start)

    def _extensions(self) -> Iterator[Extension]:
        """Return the leases that should end later: of annexes made here, whose machines work."""
        for lease in self.readings.leases:
            machines = [
                machine
                for machine in self.readings.machines
                if (machine.annex, machine.region) == (lease.annex, lease.region)
            ]
            ours = lease.annex.startswith(PREFIX) or lease.annex in self.readings.history.steps
            due = 0 < lease.expiration - self.now < RENEWAL
            until = self.now + self.rules.duration
            if lease.token_end is not None:
                until = min(until, lease.token_end)
            if not (ours and due and any(machine.busy for machine in machines) and until > lease.expiration):
                continue
            if self.rules.budget is not None:
                costs = [machine.most for machine in machines if machine.most is not None]
                charge = Charge(sum(costs, Decimal(0)), lease.expiration + LATE, until + LATE)
                if len(costs) < len(machines) or not self.rules.budget.affordable(self.charges, charge):
                    continue
                self.charges.append(charge)
            yield Extension(lease.annex, lease.region, until)
