"""The decision about growth, value by value and for generated readings."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annex_bootstrap.growth.model import (
    Decision,
    Extension,
    Group,
    History,
    Lack,
    Lease,
    Market,
    Readings,
    Reason,
    Room,
    Rules,
    Slot,
    Start,
)
from annex_bootstrap.growth.plan import LATE, MOST_LOST, annex_of, name_of, plan, refusal, shape_of
from annex_bootstrap.machines.money import Budget, Charge
from annex_contract.lease import ANNEX_ID_LENGTH
from tests.unit.annex_bootstrap.growth import cases
from tests.unit.annex_bootstrap.growth.cases import KEYS, NOW, OTHER, REGION, group, machine, offer

RULES = Rules(cores=100, pool="pool", regions=(REGION, OTHER))
ALL = frozenset(KEYS)

few = settings(max_examples=settings().max_examples // 5)
"""Whole readings are slow to make."""


def started(decision: Decision) -> list[tuple[str, int]]:
    """The first type and the number of machines of each start."""
    return [(start.types[0], start.count) for start in decision.starts]


def reason(decision: Decision) -> Reason:
    """Why the only group waits."""
    (verdict,) = decision.verdicts
    return verdict.reason


def test_half_of_what_is_missing_starts_at_a_step() -> None:
    readings = Readings(groups=[group(jobs=20)], offers=[offer()])
    decision = plan(readings, RULES, NOW)
    assert decision.starts == (
        Start(annex_of(group(), RULES), "alice", REGION, ("m7i.large",), False, 5, 2, Decimal("0.10"), ("a",)),
    )
    assert reason(decision) == Reason.STARTED


def test_starts_of_the_same_annex_are_numbered() -> None:
    groups = [group("a", age=3602), group("b", jobs=3, age=3601), group("c", annex="own")]
    offers = [offer(f"{key}.large", fits=frozenset(key)) for key in "abc"]
    decision = plan(Readings(groups=groups, offers=offers), RULES, NOW)
    assert [(start.keys, start.number) for start in decision.starts] == [(("a",), 0), (("b",), 1), (("c",), 0)]


def test_the_next_step_follows_after_a_minute_and_counts_machines_that_boot() -> None:
    annex = annex_of(group(), RULES)
    booting = [machine(number, annex=annex, age=30) for number in range(5)]
    readings = Readings(groups=[group(jobs=20)], offers=[offer()], machines=booting)
    early = plan(readings, RULES, NOW)
    assert (early.starts, reason(early), early.verdicts[0].until) == ((), Reason.PACE, NOW + 30)
    assert started(plan(readings, RULES, NOW + 30)) == [("m7i.large", 3)]


def test_jobs_wait_at_home_first_and_the_verdict_says_until_when() -> None:
    decision = plan(Readings(groups=[group(jobs=3, age=480)], offers=[offer()]), RULES, NOW)
    assert decision.starts == ()
    assert (reason(decision), decision.verdicts[0].until) == (Reason.WAIT, NOW + 720)


def test_jobs_that_free_slots_would_run_need_no_machine() -> None:
    slots = [Slot(Room(4, 8000), ALL), Slot(Room(8, 64000), frozenset()), Slot(Room(8, 8000), ALL, single=True)]
    decision = plan(Readings(groups=[group(jobs=5)], offers=[offer()], slots=slots), RULES, NOW)
    assert (decision.starts, reason(decision)) == ((), Reason.HOME)
    more = plan(Readings(groups=[group(jobs=6)], offers=[offer()], slots=slots), RULES, NOW)
    assert (started(more), more.verdicts[0].home) == ([("m7i.large", 1)], 5)


def test_free_cores_that_no_job_of_the_group_matches_count_for_nothing() -> None:
    slots = [Slot(Room(500, 1_000_000), frozenset({"b"}))]
    assert started(plan(Readings(groups=[group()], offers=[offer()], slots=slots), RULES, NOW)) == [("m7i.large", 1)]


def test_the_cheapest_type_for_all_jobs_of_a_group_is_chosen_with_others_of_its_size() -> None:
    large = [offer("m7i.large"), offer("m6i.large", price="0.11"), offer("x2.large", price="0.50")]
    readings = Readings(groups=[group(jobs=2)], offers=[*large, offer("m7i.4xlarge", 16, "0.80")])
    (start,) = plan(readings, RULES, NOW).starts
    assert start.types == ("m7i.large", "m6i.large")
    assert start.most == Decimal("0.11")


def test_a_group_that_no_type_suits_is_said_to_be_so() -> None:
    readings = Readings(groups=[group(cpus=64), group("b")], offers=[offer()])
    decision = plan(readings, RULES, NOW)
    assert [verdict.reason for verdict in decision.verdicts] == [Reason.NO_TYPE, Reason.STARTED]


def test_capacity_that_lacks_is_left_alone_and_the_next_type_and_region_are_tried() -> None:
    here, big, there = offer(zones=("a", "b")), offer("c7i.large", price="0.12", zones=("a",)), offer(region=OTHER)
    both = (Lack(REGION, "a", "m7i.large", False, NOW + 500), Lack(REGION, "b", "m7i.large", False, NOW + 400))
    one = Readings(groups=[group()], offers=[here, big, there], history=History(lacks=both[:1]))
    assert plan(one, RULES, NOW).starts[0].types == ("m7i.large", "c7i.large")
    two = replace(one, history=History(lacks=both))
    assert plan(two, RULES, NOW).starts[0].types == ("c7i.large",)
    three = replace(one, history=History(lacks=(*both, Lack(REGION, "", "", False, NOW + 300))))
    assert plan(three, RULES, NOW).starts[0].region == OTHER
    nowhere = replace(three, offers=[here, big])
    decision = plan(nowhere, RULES, NOW)
    assert (reason(decision), decision.verdicts[0].until) == (Reason.CAPACITY, NOW + 300)
    assert plan(nowhere, RULES, NOW + 301).starts[0].types == ("c7i.large",)


def test_spot_first_leaves_jobs_that_came_back_again_and_again_to_machines_on_demand() -> None:
    rules = replace(RULES, market=Market.SPOT_FIRST)
    offers = [offer(), offer(spot=True, now=Decimal("0.03"))]
    fresh = plan(Readings(groups=[group()], offers=offers), rules, NOW)
    back = plan(Readings(groups=[group(returned=True)], offers=offers), rules, NOW)
    assert [start.spot for start in (*fresh.starts, *back.starts)] == [True, False]
    lacking = History(lacks=(Lack(REGION, "", "", True, NOW + 600),))
    assert not plan(Readings(groups=[group()], offers=offers, history=lacking), rules, NOW).starts[0].spot


def test_caps_stop_it_and_are_named() -> None:
    readings = Readings(groups=[group(jobs=20)], offers=[offer()], machines=[machine(1, age=5000, joined=True)])
    assert started(plan(readings, replace(RULES, cores=6), NOW)) == [("m7i.large", 2)]
    assert reason(plan(readings, replace(RULES, cores=3), NOW)) == Reason.CORES
    assert reason(plan(replace(readings, quotas={(REGION, False): 1}), RULES, NOW)) == Reason.QUOTA
    poor = replace(RULES, budget=Budget(Decimal("0.40"), daily=False))
    # A lease of four hours and six minutes at ten cents.
    assert reason(plan(readings, poor, NOW)) == Reason.MONEY
    assert started(plan(readings, replace(poor, budget=Budget(Decimal("0.82"), daily=False)), NOW)) == [
        ("m7i.large", 2)
    ]
    unpriced = replace(readings, offers=[offer(most=None, now=None)])
    assert reason(plan(unpriced, poor, NOW)) == Reason.PRICE
    assert started(plan(unpriced, RULES, NOW)) == [("m7i.large", 5)]


def test_what_other_types_count_for_is_no_limit_of_standard_machines() -> None:
    readings = Readings(groups=[group()], offers=[offer("g5.xlarge", 4, standard=False)], quotas={(REGION, False): 0})
    assert started(plan(readings, RULES, NOW)) == [("g5.xlarge", 1)]


def test_after_ten_machines_that_never_joined_nothing_starts() -> None:
    readings = Readings(groups=[group()], offers=[offer()], history=History(lost=MOST_LOST))
    assert reason(plan(readings, RULES, NOW)) == Reason.PROTECTED
    assert plan(replace(readings, history=History(lost=MOST_LOST - 1)), RULES, NOW).starts


def test_a_machine_that_never_joined_serves_nobody_and_counts_for_the_cap() -> None:
    readings = Readings(groups=[group()], offers=[offer()], machines=[machine(1, age=700)])
    assert started(plan(readings, RULES, NOW)) == [("m7i.large", 1)]
    assert reason(plan(readings, replace(RULES, cores=3), NOW)) == Reason.CORES


def test_many_small_groups_are_damped_together_and_share_machines() -> None:
    many = [group(f"g{number}") for number in range(20)]
    wide = offer("m7i.2xlarge", 8, "0.10", fits=frozenset(each.key for each in many))
    decision = plan(Readings(groups=many, offers=[wide]), RULES, NOW)
    # Eight jobs share a machine, and half of twenty is ten.
    assert sum(start.count for start in decision.starts) == 2
    assert Counter(verdict.reason for verdict in decision.verdicts)[Reason.PACE] == 4


def test_jobs_that_nothing_can_run_make_no_step_larger() -> None:
    groups = [group(jobs=8), group("b", jobs=80, cpus=64)]
    assert started(plan(Readings(groups=groups, offers=[offer()]), RULES, NOW)) == [("m7i.large", 2)]


def test_an_annex_that_jobs_of_two_owners_name_belongs_to_neither() -> None:
    named = [group("a", annex="ours"), group("b", annex="ours", owner="bob")]
    decision = plan(Readings(groups=named, offers=[offer()]), RULES, NOW)
    assert [verdict.reason for verdict in decision.verdicts] == [Reason.NAME, Reason.NAME]
    assert plan(Readings(groups=named, offers=[offer()]), replace(RULES, shared=True), NOW).starts[0].owner == ""


def test_a_lease_is_extended_only_while_its_machines_work() -> None:
    working, idle = machine(1, annex="grow-a", joined=True, age=9000), machine(2, annex="grow-b", age=9000)
    foreign = machine(3, annex="mine", joined=True)
    leases = [Lease(name, REGION, NOW + 900) for name in ("grow-a", "grow-b", "mine")]
    readings = Readings(machines=[working, idle, foreign], leases=leases)
    until = NOW + RULES.duration
    assert plan(readings, RULES, NOW).extensions == (Extension("grow-a", REGION, until),)
    ends_sooner = [replace(leases[0], token_end=NOW + 3600)]
    assert plan(replace(readings, leases=ends_sooner), RULES, NOW).extensions == (
        Extension("grow-a", REGION, NOW + 3600),
    )
    assert plan(readings, replace(RULES, budget=Budget(Decimal("0.01"), daily=False)), NOW).extensions == ()
    not_due = [replace(leases[0], expiration=NOW + 7200)]
    assert plan(replace(readings, leases=not_due), RULES, NOW).extensions == ()


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({}, ""),
        ({"annex": "mine"}, ""),
        ({"annex": "ours"}, ""),
        ({"annex": name_of("4g", "alice", "pool")}, ""),
        ({"annex": name_of("4g", "bob", "pool")}, "is not an annex of alice"),
        ({"annex": "hers"}, "the annex hers runs already, and was not started here for alice"),
        ({"annex": "hand-started"}, "the annex hand-started runs already"),
        ({"annex": "team-SweepRule"}, "cannot end in -SweepRule"),
        ({"annex": 'a"\nSTART = true'}, "cannot name an annex"),
        ({"annex": "a" * 28}, "cannot name an annex"),
        ({"owner": 'x" || true || "'}, "cannot be a user name"),
        ({"owner": ""}, "cannot be a user name"),
    ],
)
def test_who_submits_a_job_reaches_no_annex_of_others_and_writes_no_configuration(
    more: dict[str, Any], problem: str
) -> None:
    existing = {"ours": "alice", "hers": "bob", "hand-started": None}
    said = refusal(replace(group(), **more), RULES, existing)
    assert said == "" if not problem else problem in said


def test_nothing_starts_for_a_group_that_is_refused_and_others_go_on() -> None:
    groups = [group("a", annex="ours", owner="bob"), group("b", annex="ours")]
    decision = plan(Readings(groups=groups, offers=[offer()], refused={"a": "no"}), RULES, NOW)
    assert [verdict.reason for verdict in decision.verdicts] == [Reason.NAME, Reason.STARTED]


@pytest.mark.parametrize(
    ("needs", "shape"),
    [
        (Room(1, 128), "2g"),
        (Room(1, 2048), "2g"),
        (Room(1, 2049), "4g"),
        (Room(4, 32768), "8g"),
        (Room(1, 65536), "large"),
        (Room(1, 128, gpus=1), "gpu"),
    ],
)
def test_jobs_have_a_shape(needs: Room, shape: str) -> None:
    assert shape_of(needs) == shape


@given(st.text(max_size=60), st.text(max_size=30))
def test_an_annex_has_a_name_that_start_takes_and_nobody_elses(owner: str, pool: str) -> None:
    name = annex_of(replace(group(), owner=owner), replace(RULES, pool=pool))
    assert len(name) <= ANNEX_ID_LENGTH
    assert name.startswith("grow-2g-")
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
    assert name != annex_of(replace(group(), owner=f"{owner}x"), replace(RULES, pool=pool))


@few
@given(cases.readings, cases.rules)
def test_it_never_exceeds_a_cap(readings: Readings, rules: Rules) -> None:
    decision = plan(readings, rules, NOW)
    cores = sum(start.cores for start in decision.starts)
    assert not decision.starts or decision.cores + cores <= rules.cores
    standard = {offer.type: offer.standard for offer in readings.offers}
    for (region, spot), room in readings.quotas.items():
        taken = [start for start in decision.starts if (start.region, start.spot) == (region, spot)]
        assert sum(start.cores for start in taken if standard[start.types[0]]) <= room
    if rules.budget is not None and decision.starts:
        charges = [
            Charge(start.most or Decimal("NaN"), NOW, NOW + rules.duration + LATE)
            for start in decision.starts
            for _ in range(start.count)
        ]
        for day in (NOW, NOW + rules.duration + LATE):
            assert rules.budget.spent([*readings.charges, *charges], day) <= rules.budget.dollars


@few
@given(cases.readings, cases.rules)
def test_it_starts_nothing_for_nobody(readings: Readings, rules: Rules) -> None:
    decision = plan(readings, rules, NOW)
    verdicts = {verdict.key: verdict for verdict in decision.verdicts}
    by_key = {group.key: group for group in readings.groups}
    for start in decision.starts:
        assert start.count >= 1
        for key in start.keys:
            assert verdicts[key].missing > 0
            assert by_key[key].ripe(NOW, rules.wait) > 0
            assert start.count <= verdicts[key].missing
    for verdict in decision.verdicts:
        assert verdict.home + verdict.booting <= verdict.jobs
        assert verdict.missing <= verdict.jobs - verdict.young
    assert list(verdicts) == [group.key for group in readings.groups]


@few
@given(cases.readings, cases.rules)
def test_a_drained_queue_and_a_doubt_lead_to_nothing(readings: Readings, rules: Rules) -> None:
    assert plan(replace(readings, groups=()), rules, NOW).starts == ()
    doubtful = plan(replace(readings, doubts=["the collector does not answer"]), rules, NOW)
    assert (doubtful.starts, doubtful.extensions) == ((), ())
    assert {verdict.reason for verdict in doubtful.verdicts} <= {Reason.DOUBT}


@few
@given(cases.readings, cases.rules, st.integers(0, 40))
def test_more_cores_never_lead_to_less(readings: Readings, rules: Rules, more: int) -> None:
    rules = replace(rules, budget=None)
    few, many = (plan(readings, replace(rules, cores=rules.cores + extra), NOW) for extra in (0, more))
    assert sum(start.cores for start in few.starts) <= sum(start.cores for start in many.starts)


@few
@given(cases.readings.map(lambda given: replace(given, groups=given.groups[:1])), cases.rules, st.integers(0, 100))
def test_more_money_never_leads_to_less(readings: Readings, rules: Rules, more: int) -> None:
    rules = replace(rules, cores=10_000)

    def committed(extra: int) -> Decimal:
        budget = Budget(Decimal(10 + extra), daily=False)
        starts = plan(readings, replace(rules, budget=budget), NOW).starts
        return sum((start.most * start.count for start in starts if start.most), Decimal(0))

    assert committed(0) <= committed(more)


def grown(groups: list[Group], readings: Readings, rules: Rules, minutes: int) -> list[int]:
    """Cores that run after each minute, where every machine boots at once, joins, and no job ever ends."""
    by_type = {(offer.type, offer.region, offer.spot): offer for offer in readings.offers}
    machines, cores = list(readings.machines), list[int]()
    for minute in range(minutes):
        now = NOW + minute * 60
        decision = plan(replace(readings, groups=groups, machines=machines), rules, now)
        for start in decision.starts:
            chosen = by_type[start.types[0], start.region, start.spot]
            machines += [
                replace(
                    machine(len(machines) + number, start.vcpus),
                    annex=start.annex,
                    room=chosen.room,
                    fits=chosen.fits,
                    launched=now,
                    instance_id=f"new-{minute}-{number}",
                )
                for number in range(start.count)
            ]
        # They go on booting: what runs there is what they were started for.
        machines = [replace(each, launched=max(each.launched, now - 60)) for each in machines]
        cores.append(sum(each.vcpus for each in machines))
    return cores


@few
@given(st.integers(1, 60), st.integers(1, 4), st.integers(0, 200))
def test_a_steady_queue_is_served_and_then_nothing_more_starts(jobs: int, cpus: int, cap: int) -> None:
    queue = [group(jobs=jobs, cpus=cpus)]
    readings = Readings(offers=[offer(), offer("m7i.xlarge", 4, "0.20"), offer("m7i.4xlarge", 16, "0.80")])
    cores = grown(queue, readings, replace(RULES, cores=cap), 16)
    assert cores == sorted(cores)
    assert cores[-1] <= cap
    assert cores[-1] == cores[-2]
    if cap == 200 and cpus == 1:
        assert jobs <= cores[-1] < jobs + 16


@pytest.mark.parametrize(("price", "chosen"), [("0.59", "m7i.large"), ("0.57", "c7i.4xlarge")])
def test_a_large_machine_must_be_cheaper_because_it_is_paid_for_until_its_last_job_is_done(
    price: str, chosen: str
) -> None:
    small, large = offer("m7i.large", price="0.11"), offer("c7i.4xlarge", 16, price=price)
    (start,) = plan(Readings(groups=[group(jobs=300)], offers=[small, large]), RULES, NOW).starts
    assert start.types == (chosen,)
