"""Reading all that a decision needs: the queue and the pool from HTCondor, machines, leases and offers from AWS.

What cannot be read is a doubt, and with a doubt nothing starts and nothing ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from annex_bootstrap.aws import Account
from annex_bootstrap.errors import AwsError, UserError
from annex_bootstrap.growth import cloud, matching, queue, record
from annex_bootstrap.growth.cloud import Instance, Place
from annex_bootstrap.growth.matching import Image, Judge
from annex_bootstrap.growth.model import Group, Lease, Machine, Market, Offer, Readings, Room, Rules, Slot
from annex_bootstrap.growth.plan import PREFIX, annex_of, plan, refusal
from annex_bootstrap.growth.queue import Ad
from annex_bootstrap.growth.record import Record
from annex_bootstrap.machines.instance_types import InstanceType, describe_types
from annex_bootstrap.machines.prices import on_demand
from annex_bootstrap.machines.quotas import find_quota
from annex_bootstrap.pool.htcondor import IN_FORCE
from annex_contract.knobs import Macro
from annex_contract.operating_system import SYSTEM

SWEEP = 3600
"""Seconds in which the hourly check ends a machine without a lease."""

FRESH = 1800
"""Seconds for which prices and types count as they were read."""


@dataclass(frozen=True)
class View:
    """What was read.

    Attributes:
        readings: for the decision.
        jobs: the whole ad of one job of each group, by the group's key.
        places: the stack in each region.
        instances: the machines of the stack, also those that ended lately.
    """

    readings: Readings
    jobs: Mapping[str, Ad] = field(default_factory=dict)
    places: Sequence[Place] = ()
    instances: Sequence[Instance] = ()

    def group(self, key: str) -> Group:
        """Return a group by its key."""
        return next(group for group in self.readings.groups if group.key == key)


@dataclass
class Reader:
    """Reads again and again, and keeps what does not change.

    Attributes:
        accounts: one a region, in the order in which they are tried.
        stack_name: of the stack.
        rules: what is wanted.
        only: which jobs may leave home, an expression; empty for those that opted in.
        owners: whose jobs; empty for everybody's.
        record: of what growth did.
        writes: whether to write into it what is new.
    """

    accounts: Sequence[Account]
    stack_name: str
    rules: Rules
    only: str
    owners: Sequence[str]
    record: Record
    writes: bool = True
    judge: Judge = field(default_factory=Judge)
    samples: dict[str, Ad] = field(default_factory=dict)
    rooms: dict[str, Room] = field(default_factory=dict)
    jobs: dict[str, tuple[Ad, Room | None]] = field(default_factory=dict)
    types: dict[str, tuple[int, tuple[Room, ...], list[InstanceType], Any]] = field(default_factory=dict)
    vcpus: dict[str, int] = field(default_factory=dict)
    costs: dict[tuple[str, str], Decimal] = field(default_factory=dict)

    def read(self, now: int) -> View:
        """Read everything.

        Args:
            now: seconds since the epoch.

        Raises:
            UserError: the record cannot be read or written.
        """
        doubts, denied = list[str](), dict[str, str]()
        groups, slots, ads = self._queue(doubts)
        places, instances, leases = self._cloud(doubts, denied)
        watched = self.writes and self.record.look(now)
        joined = {str(ad["EC2InstanceID"]) for ad in slots if ad.get("EC2InstanceID")}
        if not doubts:
            if self.writes:
                self._note(places, instances, joined, now, watched=watched)
            self._learn(instances, slots)
        machines = self._machines(places, instances, slots, doubts)
        if not doubts:
            machines = self._judged(machines, places, groups, ads, now, doubts)
        ends = {(lease.annex, lease.region): lease.expiration for lease in leases}
        running = {
            each.instance_id: ends.get((each.annex, each.region), now + SWEEP) for each in instances if each.runs
        }
        if self.rules.budget is not None:
            unknown = sorted({each.type for each in machines if each.most is None})
            if unknown:
                doubts.append(f"AWS names no price of {', '.join(unknown)}, which run, so nobody knows what is spent")
        owners = self.record.owners()
        existing = {
            annex: owners.get(annex)
            for annex in {*(lease.annex for lease in leases), *(each.annex for each in machines)}
        }
        refused = {group.key: refusal(group, self.rules, existing) for group in groups}
        readings = Readings(
            groups=groups,
            refused={key: problem for key, problem in refused.items() if problem},
            slots=() if doubts else self._free(slots, groups, ads, doubts),
            machines=machines,
            leases=leases,
            charges=record.charges(self.record, running, now),
            history=record.history(self.record, now, joined),
            doubts=tuple(doubts),
            denied=denied,
        )
        if not doubts and any(verdict.missing for verdict in plan(readings, self.rules, now).verdicts):
            readings = self._offers(readings, places, ads, now)
        return View(readings, ads, places, instances)

    def _queue(self, doubts: list[str]) -> tuple[list[Group], list[Ad], dict[str, Ad]]:
        try:
            wanted = [ad for ad in queue.read_jobs(self.only) if not self.owners or ad.get("Owner") in self.owners]
            sorts = queue.sort_jobs(wanted)
            slots = queue.read_slots()
            new = [sort for sort in sorts if sort.key not in self.jobs]
            whole = matching.read_representatives([sort.job for sort in new])
            there = [sort for sort in new if sort.job in whole]
            asked = matching.evaluate([whole[sort.job] for sort in there])
        except UserError as error:
            doubts.append(str(error))
            return [], [], {}
        for sort, values in zip(there, asked, strict=True):
            self.jobs[sort.key] = (whole[sort.job], queue.needs_of(values))
        # A job that left the queue meanwhile is alone in its group, or the next reading names another one.
        self.jobs = {sort.key: self.jobs[sort.key] for sort in sorts if sort.key in self.jobs}
        groups = [
            queue.group_of(sort, needs)
            for sort in sorts
            if sort.key in self.jobs and (needs := self.jobs[sort.key][1]) is not None
        ]
        return groups, slots, {group.key: self.jobs[group.key][0] for group in groups}

    def _cloud(self, doubts: list[str], denied: dict[str, str]) -> tuple[list[Place], list[Instance], list[Lease]]:
        places, instances, leases = list[Place](), list[Instance](), list[Lease]()
        for account in self.accounts:
            try:
                place = cloud.read_place(account, self.stack_name)
            except AwsError as error:
                doubts.append(f"{account.region}: {error}")
                continue
            except UserError as error:
                # Without a stack nothing of it runs there either.
                denied[account.region] = str(error)
                continue
            try:
                found = cloud.read_instances(place.account, place.profiles)
                leases += cloud.read_leases(place, found)
            except UserError as error:
                doubts.append(f"{account.region}: {error}")
                continue
            places.append(place)
            instances += found
            if place.problem:
                denied[place.region] = place.problem
        return places, instances, leases

    def _note(
        self, places: Sequence[Place], instances: Sequence[Instance], joined: set[str], now: int, *, watched: bool
    ) -> None:
        """Write into the record what is new about machines."""
        here = {place.region: place for place in places}
        self.record.note_machines(instances, lambda each: self._cost(here[each.region], each.type), record.GROW)
        known = self.record.machines().items()
        news = [{"id": name} for name, machine in known if name in joined and "joined" not in machine]
        self.record.add_all("joined", news)
        self.record.note_ends(instances, here, now, watched=watched)

    def _cost(self, place: Place, name: str) -> Decimal | None:
        """Return dollars an hour that a running machine costs at most; None where AWS names no price."""
        key = (place.region, name)
        if key not in self.costs:
            try:
                self.costs |= {
                    (place.region, known): price + place.extras
                    for known, price in on_demand(place.account, [name]).items()
                }
            except UserError:
                return None
        return self.costs.get(key)

    def _learn(self, instances: Sequence[Instance], slots: Sequence[Ad]) -> None:
        """Learn from machines that have joined what others of their type will offer."""
        types = {each.instance_id: each for each in instances if each.runs}
        for ad in slots:
            each = types.get(str(ad.get("EC2InstanceID", "")))
            if each is None or not ad.get("PartitionableSlot"):
                continue
            self.samples.setdefault(each.region, ad)
            self.rooms[each.type] = Room(
                *(int(ad.get(f"TotalSlot{name}") or ad.get(name) or 0) for name in matching.SIZES)
            )

    def _machines(
        self,
        places: Sequence[Place],
        instances: Sequence[Instance],
        slots: Sequence[Ad],
        doubts: list[str],
    ) -> list[Machine]:
        busy, joined = Counter[str](), set[str]()
        for ad in slots:
            instance_id = str(ad.get("EC2InstanceID", ""))
            joined.add(instance_id)
            busy[instance_id] += ad.get("State") == "Claimed"
        machines = list[Machine]()
        for place in places:
            running = [each for each in instances if each.runs and each.region == place.region]
            try:
                sizes = {
                    machine.name: machine
                    for machine in describe_types(place.account, sorted({r.type for r in running}))
                }
            except UserError as error:
                doubts.append(f"{place.region}: {error}")
                continue
            for each in running:
                size = sizes[each.type]
                room = cloud.room_of(size, place, self.rooms)
                machines.append(
                    Machine(
                        each.instance_id,
                        each.annex,
                        each.region,
                        each.type,
                        size.vcpus,
                        each.spot,
                        each.launched,
                        each.instance_id in joined,
                        busy[each.instance_id] > 0,
                        room,
                        frozenset(),
                        self._cost(place, each.type),
                    )
                )
        return machines

    def _judged(
        self,
        machines: Sequence[Machine],
        places: Sequence[Place],
        groups: Sequence[Group],
        ads: Mapping[str, Ad],
        now: int,
        doubts: list[str],
    ) -> list[Machine]:
        """Return machines with the groups whose jobs those that boot would run, by HTCondor's verdict."""
        owners, here, judged = self.record.owners(), {place.region: place for place in places}, list[Machine]()
        for each in machines:
            if not each.boots(now):
                judged.append(each)
                continue
            owner = owners.get(each.annex)
            if owner is None and each.annex.startswith(PREFIX):
                owner = next((group.owner for group in groups if annex_of(group, self.rules) == each.annex), None)
            served = {
                group.key: ads[group.key]
                for group in groups
                if group.annex in ("", each.annex) and owner in (None, "", group.owner)
            }
            # Of an annex that others started nobody knows whose jobs it runs: all that may count.
            kind = self.machine_ad(here[each.region], each.room, each.annex, owner or "")
            try:
                judged.append(replace(each, fits=self.judge.fit(served, [kind])[0]))
            except UserError as error:
                doubts.append(str(error))
                judged.append(each)
        return judged

    def _free(
        self, slots: Sequence[Ad], groups: Sequence[Group], ads: Mapping[str, Ad], doubts: list[str]
    ) -> list[Slot]:
        free = [ad for ad in slots if ad.get("State") == "Unclaimed" and queue.room_of(ad).cpus > 0]
        everybody = frozenset(group.key for group in groups)
        try:
            kinds, places = matching.kinds_of(ads.values(), free)
            fits = self.judge.fit(ads, kinds[: matching.MOST_OF_POOL])
        except UserError as error:
            doubts.append(str(error))
            return []
        fits += [everybody] * (len(kinds) - len(fits))
        return [
            Slot(queue.room_of(ad), fits[place], single=not ad.get("PartitionableSlot"))
            for ad, place in zip(free, places, strict=True)
        ]

    def _offers(self, readings: Readings, places: Sequence[Place], ads: Mapping[str, Ad], now: int) -> Readings:
        """Add what could start for the groups that miss machines."""
        offers, quotas, doubts = list[Offer](), dict[tuple[str, bool], int](), list[str]()
        for place in [place for place in places if place.image is not None]:
            try:
                offers += self._offers_in(place, readings.groups, ads, now)
                most = place.stack.limits.cores
                used = sum(each.vcpus for each in readings.machines if each.region == place.region)
                for spot in {Market.DEMAND: (False,), Market.SPOT: (True,)}.get(self.rules.market, (False, True)):
                    quota = find_quota(place.account, spot=spot)
                    rooms = [*([] if quota is None else [quota.room]), *([] if most is None else [most - used])]
                    if rooms:
                        quotas[place.region, spot] = min(rooms)
            except UserError as error:
                doubts.append(f"{place.region}: {error}")
        return replace(readings, offers=offers, quotas=quotas, doubts=(*readings.doubts, *doubts))

    def _offers_in(self, place: Place, groups: Sequence[Group], ads: Mapping[str, Ad], now: int) -> list[Offer]:
        needs = tuple(sorted({group.needs for group in groups}, key=repr))
        known = self.types.get(place.region)
        if known is None or known[0] < now - FRESH or known[1] != needs:
            machines = cloud.find_machine_types(place, needs, self.rules.cores)
            names = [machine.name for machine in machines]
            prices = cloud.read_prices(place, names, spot=self.rules.market is not Market.DEMAND) if names else ({}, {})
            known = self.types[place.region] = (now, needs, machines, prices)
        _, _, machines, (demand, spot) = known
        rooms = {machine.name: cloud.room_of(machine, place, self.rooms) for machine in machines}
        fits: dict[Room, frozenset[str]] = {}
        for annex in sorted({annex_of(group, self.rules) for group in groups}):
            of_annex = [group for group in groups if annex_of(group, self.rules) == annex]
            for owner in sorted({"" if self.rules.shared else group.owner for group in of_annex}):
                mine = {group.key: ads[group.key] for group in of_annex if owner in ("", group.owner)}
                distinct = [
                    room for room in dict.fromkeys(rooms.values()) if any(room.holds(group.needs) for group in of_annex)
                ]
                kinds = [self.machine_ad(place, room, annex, owner) for room in distinct]
                for room, keys in zip(distinct, self.judge.fit(mine, kinds), strict=True):
                    fits[room] = fits.get(room, frozenset()) | keys
        return cloud.make_offers(place, machines, rooms, fits, demand, spot)

    def kinds_for(self, view: View, group: Group) -> list[Ad]:
        """Return the ads of all machines that could start and have what a group asks for."""
        annex, owner = annex_of(group, self.rules), "" if self.rules.shared else group.owner
        return [
            self.machine_ad(place, room, annex, owner)
            for place in view.places
            for room in dict.fromkeys(offer.room for offer in view.readings.offers if offer.region == place.region)
            if room.holds(group.needs)
        ]

    def find_unmet(self, view: View, group: Group) -> list[str]:
        """Return the conditions of a group's requirements that no machine meets, as far as HTCondor names them."""
        kinds = self.kinds_for(view, group)
        if not kinds:
            return []
        try:
            return matching.unmet(matching.analyze([view.jobs[group.key]], kinds))
        except UserError:
            return []

    def machine_ad(self, place: Place, room: Room, annex: str, owner: str) -> Ad:
        """Return the ad of a machine that could start."""
        release = SYSTEM.release.replace(" ", "")
        image = Image("x86_64", "0.0.0", release)
        if place.image is not None:
            image = Image(place.image.architecture, place.image.condor, release)
        domain = IN_FORCE.ask(Macro.UID_DOMAIN)
        return matching.machine_ad(image, room, annex, owner, domain, self.only, self.samples.get(place.region))
