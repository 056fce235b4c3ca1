"""All that a decision needs, read of a pool and of AWS that answer as the test says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from annex_bootstrap.annexes.planning import MachineImage
from annex_bootstrap.aws import Account
from annex_bootstrap.errors import AwsError, UserError
from annex_bootstrap.growth import cloud, matching, queue, reading
from annex_bootstrap.growth.cloud import Instance, Place
from annex_bootstrap.growth.model import Group, Lease, Machine, Market, Offer, Room, Rules, Slot
from annex_bootstrap.growth.plan import LATE, annex_of
from annex_bootstrap.growth.queue import Ad, UnreadableError, sort_jobs
from annex_bootstrap.growth.reading import FRESH, SWEEP, Reader, View
from annex_bootstrap.growth.record import Record
from annex_bootstrap.machines.instance_types import InstanceType
from annex_bootstrap.machines.money import Budget, Charge
from annex_bootstrap.machines.quotas import Quota
from annex_bootstrap.machines.subnets import Subnet
from annex_bootstrap.pool.htcondor import Configuration
from tests.unit.annex_bootstrap.commands.conftest import a_stack
from tests.unit.annex_bootstrap.growth.cases import NOW
from tests.unit.recorded import Recorded

EAST, WEST = "us-east-1", "us-west-2"
RULES = Rules(64, pool="pool", regions=(EAST, WEST))
JOB: dict[str, Any] = {
    "ClusterId": 7,
    "ProcId": 0,
    "Owner": "alice",
    "Requirements": "/Expr(TARGET.Memory > 1)/",
    "RequestCpus": 1,
    "RequestMemory": 1000,
    "AutoClusterId": 1,
    "EnteredCurrentStatus": NOW - 3600,
}
KEY = sort_jobs([JOB])[0].key
GROUP = Group(KEY, "alice", "", Room(1, 1024), (NOW - 3600,), job="7.0", requirements="TARGET.Memory > 1")
ANNEX = annex_of(GROUP, RULES)
BOBS: dict[str, Any] = JOB | {"ClusterId": 8, "Owner": "bob", "AutoClusterId": 2}
BOBS_KEY = sort_jobs([BOBS])[0].key
IMAGE = MachineImage("ami-0a1b", "arm64", "23.9.6", 16)
LARGE = InstanceType("m7g.large", 2, 8192)
OFFERED = Room(2, 7718, 12 * 1024 * 1024)
BOOTING = Instance("i-boots", ANNEX, EAST, "m7g.large", False, NOW - 100, True, "r1")
JOINED = replace(BOOTING, instance_id="i-joined", launched=NOW - 5000, spot=True)
SLOT = {
    "Name": "slot1@joined",
    "EC2InstanceID": "i-joined",
    "PartitionableSlot": True,
    "State": "Unclaimed",
    "Cpus": 1,
    "Memory": 3000,
    "Disk": 500,
    "TotalSlotCpus": 2,
    "TotalSlotMemory": 7800,
    "TotalSlotDisk": 900,
    "GPUs": 3,
}
CLAIMED = {"Name": "slot1_1@joined", "EC2InstanceID": "i-joined", "State": "Claimed", "Cpus": 1, "Memory": 4800}
AT_HOME = {"Name": "slot1@home", "State": "Unclaimed", "Cpus": 4, "Memory": 512, "Disk": 100}


@dataclass
class Verdicts:
    """HTCondor's verdicts: which jobs fit.

    Attributes:
        keys: of the groups whose jobs fit everywhere.
        asked: the jobs, and the annex, owner and CPUs of each machine.
        problem: what HTCondor answers instead.
    """

    keys: frozenset[str] = frozenset({KEY, BOBS_KEY})
    asked: list[tuple[Mapping[str, Ad], list[tuple[Any, Any, Any]]]] = field(default_factory=list)
    problem: str = ""

    def fit(self, jobs: Mapping[str, Ad], kinds: Sequence[Ad]) -> list[frozenset[str]]:
        if self.problem:
            raise UnreadableError(self.problem)
        self.asked.append(
            (
                jobs,
                [(kind.get("AnnexName"), kind.get("AuthenticatedIdentity"), kind["TotalSlotCpus"]) for kind in kinds],
            )
            if all("TotalSlotCpus" in kind for kind in kinds)
            else (jobs, [(kind["Cpus"], kind["Memory"], kind["Disk"]) for kind in kinds])
        )
        return [self.keys & jobs.keys()] * len(kinds)


@dataclass
class World:
    """A pool and a stack.

    Attributes:
        jobs: idle.
        slots: of the pool.
        instances: by region.
        leases: by region.
        places: by region; an error where reading it fails.
        prices: on demand.
        calls: what was asked for, a line each.
        record: of growth.
        verdicts: of HTCondor.
    """

    record: Record
    jobs: list[Ad] = field(default_factory=lambda: [JOB])
    slots: list[Ad] = field(default_factory=list)
    instances: dict[str, list[Instance]] = field(default_factory=dict)
    leases: dict[str, list[Lease] | UserError] = field(default_factory=dict)
    places: dict[str, dict[str, Any] | UserError] = field(default_factory=lambda: {EAST: {}})
    prices: dict[str, Decimal] | UserError = field(default_factory=lambda: {"m7g.large": Decimal("0.08")})
    types: list[InstanceType] | UserError = field(default_factory=lambda: [LARGE])
    quotas: dict[bool, Quota | None] = field(default_factory=lambda: {False: Quota(32, 2), True: Quota(16, 6)})
    gone: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    verdicts: Verdicts = field(default_factory=Verdicts)

    def reader(self, rules: Rules = RULES, owners: Sequence[str] = (), **more: Any) -> Reader:
        """Return what reads it."""
        accounts = [Recorded().account(region) for region in self.places]
        made = Reader(accounts, "mine", rules, more.pop("only", ""), owners, self.record, **more)
        made.judge = self.verdicts  # type: ignore[assignment]  # answers without HTCondor
        return made

    def read(self, **more: Any) -> View:
        """Read it for the first time."""
        return self.reader(**more).read(NOW)


def raised(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """A pool with a job that waits, and a stack in one region without machines."""
    monkeypatch.setattr("time.time", lambda: NOW)
    made = World(Record.beside(tmp_path / "user_config"))

    def read_jobs(only: str) -> list[Ad]:
        made.calls.append(f"jobs {only}".strip())
        return made.jobs

    def read_representatives(jobs: Sequence[str]) -> dict[str, Ad]:
        made.calls.append(f"ads {','.join(jobs)}".strip())
        known = {f"{ad['ClusterId']}.{ad['ProcId']}": {**ad, "Cmd": "/bin/sim"} for ad in made.jobs}
        return {job: known[job] for job in jobs if job not in made.gone}

    def read_place(account: Account, stack_name: str) -> Place:
        assert stack_name == "mine"
        subnets = [Subnet("subnet-a", f"{account.region}a", False, 9)]
        return replace(Place(account, a_stack(), IMAGE, subnets), **raised(made.places[account.region]))

    def read_instances(account: Account, profiles: frozenset[str]) -> list[Instance]:
        assert profiles == Place(account, a_stack(), None).profiles
        return made.instances.get(account.region, [])

    def read_leases(place: Place, instances: Sequence[Instance]) -> list[Lease]:
        assert instances == made.instances.get(place.region, [])
        leases: list[Lease] = raised(made.leases.get(place.region, []))
        return leases

    def describe_types(account: Account, names: Sequence[str]) -> list[InstanceType]:
        made.calls.append(f"types of {','.join(names)} in {account.region}")
        return (
            [replace(LARGE, name=name) for name in names]
            if not isinstance(made.types, Exception)
            else raised(made.types)
        )

    def on_demand(account: Account, names: Sequence[str]) -> dict[str, Decimal]:
        made.calls.append(f"price of {','.join(names)} in {account.region}")
        prices: dict[str, Decimal] = raised(made.prices)
        return prices

    def find_machine_types(place: Place, needs: Sequence[Room], cores: int) -> list[InstanceType]:
        made.calls.append(f"types in {place.region} for {[(each.cpus, each.memory) for each in needs]}, {cores} cores")
        types: list[InstanceType] = raised(made.types)
        return types

    def read_prices(place: Place, names: Sequence[str], *, spot: bool) -> tuple[Any, Any]:
        made.calls.append(f"prices of {','.join(names)} in {place.region}{' and spot' if spot else ''}")
        return made.prices, {"m7g.large": Decimal("0.03")} if spot else None

    def find_quota(account: Account, *, spot: bool) -> Quota | None:
        made.calls.append(f"quota in {account.region}{' on spot' if spot else ''}")
        return made.quotas[spot]

    monkeypatch.setattr(queue, "read_jobs", read_jobs)
    monkeypatch.setattr(queue, "read_slots", lambda: made.slots)
    monkeypatch.setattr(matching, "read_representatives", read_representatives)
    monkeypatch.setattr(matching, "evaluate", lambda ads: [[ad.get(name) for name in queue.AMOUNTS] for ad in ads])
    for of_cloud in (read_place, read_instances, read_leases, find_machine_types, read_prices):
        monkeypatch.setattr(cloud, of_cloud.__name__, of_cloud)
    for of_machines in (describe_types, on_demand, find_quota):
        monkeypatch.setattr(reading, of_machines.__name__, of_machines)
    monkeypatch.setattr(Configuration, "ask", lambda _, knob: {"UID_DOMAIN": "pool.example"}[knob])
    return made


def extras(disk: int = 16) -> Decimal:
    return disk * Decimal("0.16") / 730


MOST = Decimal("0.08") + extras()
OFFER = Offer("m7g.large", EAST, False, 2, OFFERED, MOST, MOST, frozenset({KEY}), ("us-east-1a",), standard=True)


def test_what_could_start_for_a_job_that_waits_is_read(world: World) -> None:
    view = world.read()
    assert view.readings.groups == [GROUP]
    assert view.jobs == {KEY: {**JOB, "Cmd": "/bin/sim"}}
    assert view.group(KEY) == GROUP
    assert [place.region for place in view.places] == [EAST]
    assert (view.readings.offers, view.readings.quotas) == ([OFFER], {(EAST, False): 30})
    assert (view.readings.doubts, view.readings.denied, view.readings.refused) == ((), {}, {})
    assert world.calls == [
        "jobs",
        "ads 7.0",
        "types of  in us-east-1",
        "types in us-east-1 for [(1, 1024)], 64 cores",
        "prices of m7g.large in us-east-1",
        "quota in us-east-1",
    ]
    assert world.verdicts.asked == [(view.jobs, []), (view.jobs, [(ANNEX, "alice@pool.example", 2)])]


def test_nothing_is_offered_where_the_pool_takes_all_jobs_at_home(world: World) -> None:
    world.slots = [{**AT_HOME, "Memory": 2048}]
    view = world.read()
    assert view.readings.slots == [Slot(Room(4, 2048, 100), frozenset({KEY}), single=True)]
    assert (view.readings.offers, view.readings.quotas) == ((), {})
    assert "quota in us-east-1" not in world.calls


@pytest.mark.parametrize(
    ("market", "asked", "offers"),
    [
        (Market.SPOT, {True}, [False, True]),
        (Market.SPOT_FIRST, {False, True}, [False, True]),
        (Market.DEMAND, {False}, [False]),
    ],
)
def test_the_quotas_and_prices_are_those_of_the_market(
    world: World, market: Market, asked: set[bool], offers: list[bool]
) -> None:
    view = world.read(rules=replace(RULES, market=market))
    assert view.readings.quotas == {(EAST, spot): {False: 30, True: 10}[spot] for spot in asked}
    assert [offer.spot for offer in view.readings.offers] == offers
    assert f"prices of m7g.large in us-east-1{' and spot' if True in asked else ''}" in world.calls


@pytest.mark.parametrize(("most", "on_demand", "on_spot"), [("33", 30, 10), ("14", 12, 10), ("3", 1, 1)])
def test_no_more_starts_than_the_stacks_limit_on_cores_leaves(
    world: World, most: str, on_demand: int, on_spot: int
) -> None:
    world.places = {EAST: {"stack": a_stack(parameters={"MaxCores": most})}}
    world.instances = {EAST: [JOINED]}
    view = world.read(rules=replace(RULES, market=Market.SPOT_FIRST))
    assert view.readings.quotas == {(EAST, False): on_demand, (EAST, True): on_spot}


def test_a_quota_that_nobody_may_read_is_missing(world: World) -> None:
    world.quotas = {False: None}
    view = world.read()
    assert (view.readings.offers, view.readings.quotas, view.readings.doubts) == ([OFFER], {}, ())


def test_types_that_cannot_be_read_are_a_doubt(world: World) -> None:
    world.places = {EAST: {}, WEST: {}}
    world.leases[EAST] = []
    world.prices, world.types = {}, UserError("throttled")
    view = world.read()
    # No machine runs, so nothing but the offers needs types; a place is asked after another one failed.
    assert view.readings.doubts == ("us-east-1: throttled", "us-west-2: throttled")
    assert view.readings.offers == ()


def test_types_and_prices_count_for_a_while(world: World) -> None:
    reader = world.reader()
    reader.read(NOW)
    world.calls.clear()
    again = reader.read(NOW + FRESH)
    assert world.calls == ["jobs", "ads", "types of  in us-east-1", "quota in us-east-1"]
    assert again.readings.offers == [OFFER]
    world.calls.clear()
    reader.read(NOW + FRESH + 1)
    assert "types in us-east-1 for [(1, 1024)], 64 cores" in world.calls
    world.calls.clear()
    world.jobs = [*world.jobs, JOB | {"ClusterId": 9, "RequestCpus": 2}]
    reader.read(NOW + FRESH + 1)
    assert "types in us-east-1 for [(1, 1024), (2, 1024)], 64 cores" in world.calls
    assert "prices of m7g.large in us-east-1" in world.calls
    world.types = []
    world.jobs, world.calls = [JOB | {"RequestMemory": 9}], []
    assert reader.read(NOW).readings.offers == []
    assert not any(call.startswith("prices") for call in world.calls)


def test_a_group_is_asked_about_once_and_one_that_left_meanwhile_is_left_out(world: World) -> None:
    other = BOBS | {"RequestMemory": "/Expr(nonsense)/"}
    world.jobs, world.gone = [JOB, JOB | {"ProcId": 1}, BOBS, other | {"ClusterId": 9}], {"8.0"}
    reader = world.reader()
    view = reader.read(NOW)
    assert view.readings.groups == [replace(GROUP, since=(NOW - 3600,) * 2)]
    assert "ads 7.0,8.0,9.0" in world.calls
    # What nobody can say the needs of is not asked about again; what left is.
    world.calls.clear()
    reader.read(NOW)
    assert world.calls[1] == "ads 8.0"
    world.jobs, world.gone = [BOBS], set()
    assert reader.read(NOW).jobs == {BOBS_KEY: {**BOBS, "Cmd": "/bin/sim"}}
    assert list(reader.jobs) == [BOBS_KEY]


def test_only_the_jobs_of_the_owners_who_are_served_count(world: World) -> None:
    world.jobs = [JOB, BOBS]
    view = world.read(owners=["bob"], only="IsMine")
    assert [group.owner for group in view.readings.groups] == ["bob"]
    assert world.calls[0] == "jobs IsMine"


def test_a_queue_that_does_not_answer_is_a_doubt(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.instances[EAST] = [BOOTING]

    def read_slots() -> list[Ad]:
        raise UnreadableError("condor_status does not answer: timeout")

    monkeypatch.setattr(queue, "read_slots", read_slots)
    view = world.read()
    assert view.readings.doubts == ("condor_status does not answer: timeout",)
    assert (view.readings.groups, view.readings.slots, view.readings.offers, view.jobs) == ([], (), (), {})
    # Machines are known all the same, but nobody judges or notes them.
    assert [machine.instance_id for machine in view.readings.machines] == ["i-boots"]
    assert (world.verdicts.asked, world.record.events) == ([], [])


def test_a_region_that_does_not_answer_is_a_doubt_and_one_without_a_stack_is_denied(world: World) -> None:
    refused = AwsError("not now", code="Throttling", reason="not now")
    world.places = {"us-east-2": refused, EAST: UserError("there is no stack mine"), WEST: {}}
    world.instances[WEST] = [replace(BOOTING, region=WEST)]
    view = world.read()
    assert view.readings.doubts == ("us-east-2: not now",)
    assert view.readings.denied == {EAST: "there is no stack mine"}
    assert [place.region for place in view.places] == [WEST]
    assert view.instances == world.instances[WEST]
    assert view.readings.offers == ()


def test_a_region_whose_leases_cannot_be_read_is_a_doubt(world: World) -> None:
    world.places = {EAST: {}, WEST: {}}
    world.leases = {EAST: UserError("denied"), WEST: [Lease("other", WEST, NOW + 60)]}
    view = world.read()
    assert view.readings.doubts == ("us-east-1: denied",)
    assert [place.region for place in view.places] == [WEST]
    assert view.readings.leases == [Lease("other", WEST, NOW + 60)]


def test_a_stack_from_which_nothing_can_start_is_denied_and_offers_nothing(world: World) -> None:
    world.places = {EAST: {"image": None, "problem": "the image is gone"}, WEST: {}}
    view = world.read()
    assert view.readings.denied == {EAST: "the image is gone"}
    assert [place.region for place in view.places] == [EAST, WEST]
    assert [offer.region for offer in view.readings.offers] == [WEST]
    assert list(view.readings.quotas) == [(WEST, False)]


def test_machines_are_those_of_ec2_with_what_the_pool_says_of_them(world: World) -> None:
    ended = replace(BOOTING, instance_id="i-ended", runs=False, reason="Client.UserInitiatedShutdown", ended=NOW - 9)
    world.instances[EAST] = [JOINED, BOOTING, ended]
    world.slots = [SLOT, CLAIMED, AT_HOME]
    view = world.read()
    # What has joined says what others of its type will have: the whole machine, not what is free now.
    room = Room(2, 7800, 900, 3)
    joined = Machine(
        "i-joined", ANNEX, EAST, "m7g.large", 2, True, NOW - 5000, True, True, room, frozenset(), MOST
    )  # fmt: skip
    boots = Machine(
        "i-boots", ANNEX, EAST, "m7g.large", 2, False, NOW - 100, False, False, room, frozenset({KEY}), MOST
    )  # fmt: skip
    assert view.readings.machines == [joined, boots]
    assert view.instances == [JOINED, BOOTING, ended]
    # A slot without a CPU left, or claimed, is not free.
    assert view.readings.slots == [
        Slot(Room(1, 3000, 500, 3), frozenset({KEY}), single=False),
        Slot(Room(4, 512, 100), frozenset({KEY}), single=True),
    ]
    assert world.calls.count("types of m7g.large in us-east-1") == 1
    assert world.calls.count("price of m7g.large in us-east-1") == 1


def test_a_slot_without_a_free_cpu_is_not_free(world: World) -> None:
    world.slots = [{**AT_HOME, "Cpus": 0}, {**AT_HOME, "Cpus": 1}, {**AT_HOME, "State": "Owner"}]
    assert world.read().readings.slots == [Slot(Room(1, 512, 100), frozenset({KEY}), single=True)]


def test_free_slots_are_judged_with_all_that_their_machine_has(world: World) -> None:
    world.slots = [SLOT, AT_HOME]
    view = world.read()
    assert world.verdicts.asked[0] == (view.jobs, [(2, 7800, 900)])
    world.verdicts.problem = "condor_q does not answer: no"
    view = world.read()
    assert (view.readings.doubts, view.readings.slots) == (("condor_q does not answer: no",), [])


def test_slots_beyond_the_most_kinds_suit_every_job(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "MOST_OF_POOL", 1)
    world.jobs = [JOB | {"Requirements": "/Expr(TARGET.Rack > 1)/"}]
    world.slots = [{**AT_HOME, "Rack": rack} for rack in (1, 2, 2, 3)]
    world.verdicts.keys = frozenset()
    view = world.read()
    everybody = frozenset({view.readings.groups[0].key})
    assert [slot.fits for slot in view.readings.slots] == [frozenset(), everybody, everybody, everybody]


def test_types_of_machines_that_cannot_be_read_are_a_doubt(world: World) -> None:
    world.instances[EAST] = [BOOTING]
    world.types = UserError("throttled")
    view = world.read()
    assert (view.readings.machines, view.readings.doubts) == ([], ("us-east-1: throttled",))


def test_a_machine_that_boots_is_judged_for_the_owner_of_its_annex(world: World) -> None:
    world.jobs = [JOB, BOBS, JOB | {"ClusterId": 9, "TargetAnnexName": "third"}]
    known = replace(BOOTING, annex="known")
    world.record.add("step", annex="known", owner="bob", request="r1", count=1, most=None, expiration=NOW + 60)
    world.instances[EAST] = [BOOTING, known, replace(BOOTING, annex="third"), replace(JOINED, launched=NOW - 599)]
    world.slots = [SLOT]
    view = world.read()
    judged = [(list(jobs), kinds) for jobs, kinds in world.verdicts.asked[:3]]
    named = sort_jobs([world.jobs[2]])[0].key
    assert judged == [
        ([KEY], [(ANNEX, "alice@pool.example", 2)]),
        ([BOBS_KEY], [("known", "bob@pool.example", 2)]),
        # Nobody knows whose jobs an annex runs that others started: all that may count, and those that name it.
        ([KEY, BOBS_KEY, named], [("third", "@pool.example", 2)]),
    ]
    assert [machine.fits for machine in view.readings.machines] == [
        {KEY},
        {BOBS_KEY},
        {KEY, BOBS_KEY},
        frozenset(),
    ]


def test_a_machine_of_an_annex_for_everybody_is_judged_for_all_owners(world: World) -> None:
    world.jobs = [JOB, BOBS]
    world.record.add("step", annex="shared", owner="", request="r1", count=1, most=None, expiration=NOW + 60)
    world.instances[EAST] = [replace(BOOTING, annex="shared")]
    world.read()
    jobs, kinds = world.verdicts.asked[0]
    assert (list(jobs), kinds) == ([KEY, BOBS_KEY], [("shared", "@pool.example", 2)])


def test_a_machine_that_nobody_can_judge_is_a_doubt(world: World) -> None:
    world.instances[EAST] = [BOOTING]
    world.verdicts.problem = "condor_q does not answer: no"
    view = world.read()
    assert [machine.fits for machine in view.readings.machines] == [frozenset()]
    assert view.readings.doubts == ("condor_q does not answer: no",)
    assert view.readings.slots == ()


def test_machines_are_noted_with_what_they_cost_and_when_they_joined_or_ended(world: World) -> None:
    world.record.add("machine", id="i-old", annex=ANNEX, region=EAST, launched=NOW - 9000, most="0.5", request="r0")
    world.record.add("machine", id="i-west", annex=ANNEX, region=WEST, launched=NOW - 9000, most="0.5", request="r0")
    world.instances[EAST] = [JOINED, BOOTING]
    world.leases[EAST] = [Lease(ANNEX, EAST, NOW + 600)]
    world.slots = [SLOT]
    reader = world.reader()
    view = reader.read(NOW)
    noted = [(line["event"], line["id"]) for line in world.record.events[2:]]
    assert noted == [("machine", "i-joined"), ("machine", "i-boots"), ("joined", "i-joined"), ("ended", "i-old")]
    first = world.record.of("machine")[2]
    assert (first["most"], first["by"], first["region"]) == (str(MOST), "grow", EAST)
    # Nobody had looked a moment ago, and nothing says when it ended.
    assert world.record.of("ended")[0] == {
        "at": NOW, "event": "ended", "id": "i-old", "ended": NOW, "reason": "", "watched": False,
    }  # fmt: skip
    assert view.readings.charges == [
        Charge(Decimal("0.5"), NOW - 9000, NOW),
        Charge(Decimal("0.5"), NOW - 9000, NOW),
        Charge(MOST, NOW - 5000, NOW + 600 + LATE),
        Charge(MOST, NOW - 100, NOW + 600 + LATE),
    ]
    assert reader.read(NOW).readings.charges == view.readings.charges
    assert len(world.record.events) == 6
    ended = replace(BOOTING, runs=False, reason="Server.SpotInstanceTermination", ended=NOW - 9)
    world.instances[EAST] = [JOINED, ended]
    reader.read(NOW + 1)
    assert {**world.record.events[-1], "at": 0} == {
        "at": 0, "event": "ended", "id": "i-boots", "ended": NOW - 9, "reason": ended.reason, "watched": True,
    }  # fmt: skip


def test_machines_without_a_lease_cost_until_the_hourly_check(world: World) -> None:
    world.instances[EAST] = [BOOTING]
    world.leases[EAST] = [Lease("other", EAST, NOW + 60)]
    assert world.read().readings.charges == [Charge(MOST, NOW - 100, NOW + SWEEP + LATE)]


def test_a_dry_run_writes_nothing(world: World) -> None:
    world.instances[EAST] = [JOINED]
    world.slots = [SLOT]
    view = world.read(writes=False)
    assert not world.record.path.exists()
    assert (world.record.looked, world.record.events) == (0, [])
    # It learns from machines that have joined all the same.
    assert view.readings.machines[0].room == Room(2, 7800, 900, 3)


def test_the_pool_counts_as_a_witness_of_machines_that_joined(world: World) -> None:
    world.record.add("machine", id="i-joined", annex=ANNEX, region=EAST, launched=NOW - 5000, most="1", request="r1")
    world.instances[EAST] = [JOINED]
    assert world.read(writes=False).readings.history.lost == 1
    world.slots = [SLOT]
    assert world.read(writes=False).readings.history.lost == 0


def test_a_machine_without_a_price_is_a_doubt_only_where_money_is_limited(world: World) -> None:
    world.instances[EAST] = [BOOTING]
    world.prices = {}
    assert world.read().readings.doubts == ()
    view = world.read(rules=replace(RULES, budget=Budget(Decimal(9), daily=True)))
    assert view.readings.machines[0].most is None
    said = "AWS names no price of m7g.large, which run, so nobody knows what is spent"
    assert view.readings.doubts == (said,)


def test_a_price_is_read_again_after_a_failure_and_not_after_a_success(world: World) -> None:
    world.instances[EAST] = [BOOTING]
    world.prices = UserError("throttled")
    reader = world.reader(writes=False)
    assert reader.read(NOW).readings.machines[0].most is None
    world.prices = {"m7g.large": Decimal("0.08"), "m7g.xlarge": Decimal("0.16")}
    assert reader.read(NOW).readings.machines[0].most == MOST
    assert reader.costs == {(EAST, "m7g.large"): MOST, (EAST, "m7g.xlarge"): MOST + Decimal("0.08")}
    world.calls.clear()
    reader.read(NOW)
    assert not any(call.startswith("price of") for call in world.calls)


def test_a_group_that_may_not_start_anything_is_refused(world: World) -> None:
    named = JOB | {"TargetAnnexName": "theirs"}
    world.jobs = [named]
    key = sort_jobs([named])[0].key
    refused = {key: "the annex theirs runs already, and was not started here for alice: it is left alone"}
    world.leases[EAST] = [Lease("theirs", EAST, NOW + 60)]
    assert world.read().readings.refused == refused
    world.leases, world.instances[EAST] = {}, [replace(BOOTING, annex="theirs")]
    assert world.read(writes=False).readings.refused == refused
    world.record.add("step", annex="theirs", owner="alice", request="r1", count=1, most=None, expiration=NOW + 60)
    assert world.read(writes=False).readings.refused == {}


def test_offers_are_judged_for_each_annex_and_owner(world: World) -> None:
    large = JOB | {"ClusterId": 9, "RequestMemory": 100_000}
    world.jobs = [JOB, BOBS, large]
    world.types = [LARGE, replace(LARGE, name="m7g.4xlarge", vcpus=16, memory=262144)]
    view = world.read()
    of_alice, of_bob, of_large = view.readings.groups
    annexes = {group.key: annex_of(group, RULES) for group in view.readings.groups}
    asked = {kinds[0][0]: (list(jobs), kinds) for jobs, kinds in world.verdicts.asked[1:]}
    alice, bob = "alice@pool.example", "bob@pool.example"
    assert asked == {
        annexes[KEY]: ([KEY], [(annexes[KEY], alice, 2), (annexes[KEY], alice, 16)]),
        annexes[BOBS_KEY]: ([BOBS_KEY], [(annexes[BOBS_KEY], bob, 2), (annexes[BOBS_KEY], bob, 16)]),
        # A machine that is too small is not asked about.
        annexes[of_large.key]: ([of_large.key], [(annexes[of_large.key], alice, 16)]),
    }
    small, big = view.readings.offers
    assert small.fits == big.fits == frozenset({of_alice.key, of_bob.key})
    world.verdicts.keys |= {of_large.key}
    assert world.read().readings.offers[1].fits == {of_alice.key, of_bob.key, of_large.key}


def test_the_machines_of_an_annex_that_two_name_are_judged_for_each_owner(world: World) -> None:
    world.jobs = [JOB | {"TargetAnnexName": "both"}, BOBS | {"TargetAnnexName": "both"}]
    world.read()
    assert [kinds for _, kinds in world.verdicts.asked[1:]] == [
        [("both", "alice@pool.example", 2)],
        [("both", "bob@pool.example", 2)],
    ]
    world.verdicts.asked.clear()
    view = world.read(rules=replace(RULES, shared=True))
    assert world.verdicts.asked[1:] == [(view.jobs, [("both", "@pool.example", 2)])]


def test_the_ad_of_a_machine_is_that_of_the_image_and_of_one_that_joined(world: World) -> None:
    reader = world.reader(only="IsMine")
    where = reader.accounts[0]
    place = Place(where, a_stack(), IMAGE)
    ad = reader.machine_ad(place, Room(2, 7718), "first", "alice")
    assert (ad["Arch"], ad["OpSysAndVer"], ad["UidDomain"]) == ("aarch64", "Debian13", "pool.example")
    assert ad["CondorVersion"].startswith("$CondorVersion: 23.9.6 ")
    assert "IsMine" in ad["START"]
    bare = reader.machine_ad(replace(place, image=None), Room(2, 7718), "first", "alice")
    assert (bare["Arch"], bare["OpSysAndVer"]) == ("X86_64", "Debian13")
    assert bare["CondorVersion"].startswith("$CondorVersion: 0.0.0 ")
    world.instances[EAST], world.slots = [JOINED], [SLOT | {"HasFoo": True}, SLOT | {"HasFoo": False}]
    reader.read(NOW)
    assert reader.machine_ad(place, Room(2, 7718), "first", "alice")["HasFoo"] is True
    assert list(reader.samples) == [EAST]


def test_only_whole_machines_of_the_stack_are_learned_from(world: World) -> None:
    world.instances[EAST] = [JOINED]
    world.slots = [{**SLOT, "EC2InstanceID": "i-other"}, {**SLOT, "PartitionableSlot": False}, CLAIMED]
    reader = world.reader()
    reader.read(NOW)
    assert (reader.rooms, reader.samples) == ({}, {})
    world.slots = [{name: value for name, value in SLOT.items() if not name.startswith("TotalSlot")}]
    reader.read(NOW)
    assert reader.rooms == {"m7g.large": Room(1, 3000, 500, 3)}


def test_what_no_machine_meets_is_asked_of_htcondor(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, Any]] = []

    def analyze(jobs: list[Ad], kinds: list[Ad]) -> str:
        asked.append((jobs, [(kind["AnnexName"], kind["AuthenticatedIdentity"], kind["Cpus"]) for kind in kinds]))
        return "[0]           2  TARGET.Arch\n[3]           0  TARGET.HasFoo"

    monkeypatch.setattr(matching, "analyze", analyze)
    world.types = [LARGE, replace(LARGE, name="m7g.small", memory=512), replace(LARGE, name="c7g.large")]
    reader = world.reader()
    view = reader.read(NOW)
    assert reader.find_unmet(view, GROUP) == ["TARGET.HasFoo"]
    # Two types of one size are one kind, and one that is too small is none.
    assert asked == [([view.jobs[KEY]], [(ANNEX, "alice@pool.example", 2)])]
    reader.rules = replace(RULES, shared=True)
    assert [kind["AuthenticatedIdentity"] for kind in reader.kinds_for(view, GROUP)] == ["@pool.example"]
    huge = replace(GROUP, needs=Room(512, 1))
    assert (reader.kinds_for(view, huge), reader.find_unmet(view, huge)) == ([], [])

    def unreadable(*_: object) -> str:
        raise UnreadableError("no")

    monkeypatch.setattr(matching, "analyze", unreadable)
    assert reader.find_unmet(view, GROUP) == []
