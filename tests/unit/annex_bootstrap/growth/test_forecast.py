"""What the jobs that wait would take and cost, value by value and for generated pasts."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annex_bootstrap.growth.forecast import (
    BOOT,
    Option,
    Past,
    Runtime,
    Span,
    forecast,
    grown,
    parse_past,
    runtime_of,
    wait,
)
from annex_bootstrap.growth.model import Market, Readings, Room, Rules, Slot
from annex_bootstrap.machines.money import DAY
from tests.unit.annex_bootstrap.growth import cases
from tests.unit.annex_bootstrap.growth.cases import KEYS, NOW, REGION, group, machine, offer

RULES = Rules(cores=100, wait=0, pool="pool", regions=(REGION,))
IDLE = 300

few = settings(max_examples=settings().max_examples // 20)
"""Whole readings are slow to make, and to grow from."""

DONE = {
    "Owner": "alice",
    "Cmd": "/home/alice/sim",
    "LastRemoteHost": "slot1_1@node7.example.org",
    "JobStatus": 4,
    "ExitCode": 0,
    "JobCurrentStartDate": NOW - 1000,
    "CompletionDate": NOW - 400,
}
HERE = Past("alice", "/home/alice/sim", NOW - 1000, NOW - 400)


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({}, [HERE]),
        ({"LastRemoteHost": "slot1_1@i-0a1b2c"}, [replace(HERE, away=True)]),
        ({"JobStatus": 3}, []),
        ({"ExitCode": 1}, []),
        ({"ExitCode": None}, []),
        ({"JobCurrentStartDate": None}, []),
        ({"CompletionDate": 0}, []),
        ({"CompletionDate": NOW - 1000}, []),
    ],
)
def test_jobs_that_ended_well_count(more: dict[str, Any], found: list[Past]) -> None:
    assert parse_past([{**DONE, **more}]) == found


def test_only_jobs_of_the_same_owner_and_executable_are_such_jobs() -> None:
    past = [replace(HERE, end=HERE.begin + seconds, away=True) for seconds in (50, 10, 40, 20, 30)]
    others = [replace(HERE, owner="bob"), replace(HERE, executable="other")]
    assert runtime_of("alice", "/home/alice/sim", [*past, *others], NOW) == Runtime((10, 20, 30, 40, 50))
    four = [*past[:4], *others]
    assert runtime_of("alice", "/home/alice/sim", four, NOW) == Runtime(())
    assert runtime_of("alice", "/home/alice/sim", four, NOW, 77) == Runtime((77,), given=True)
    assert runtime_of("alice", "/home/alice/sim", past, NOW, 77).given is False


def test_how_many_ran_at_home_at_once_is_counted_over_the_last_day_or_since_the_first_of_them() -> None:
    two = [replace(HERE, begin=NOW - 1000, end=NOW - 500), replace(HERE, begin=NOW - 1000, end=NOW)]
    assert runtime_of("alice", "/home/alice/sim", two, NOW).at_home == 1.5
    long = [replace(HERE, begin=NOW - 3 * DAY, end=NOW - DAY // 2)]
    assert runtime_of("alice", "/home/alice/sim", long, NOW).at_home == 0.5
    old_or_away = [replace(HERE, begin=NOW - 3 * DAY, end=NOW - DAY), replace(HERE, away=True)]
    assert runtime_of("alice", "/home/alice/sim", old_or_away, NOW).at_home is None


def test_the_mean_has_two_standard_errors_of_the_past_and_of_what_comes() -> None:
    assert Runtime((600,) * 5).mean(3) == Span(600, 600, 600)
    # The deviation of 100 and 300 is 100.
    mean = Runtime((100, 300) * 50).mean(100)
    error = 2 * 100 * math.sqrt(1 / 100 + 1 / 100)
    assert mean == Span(200 - error, 200, 200 + error)
    assert Runtime((100, 300)).mean(1) == Span(100, 200, 200 + 2 * 100 * math.sqrt(1.5))
    assert Runtime(()).mean(9) is None


@few
@given(st.lists(st.integers(1, 100), min_size=1, max_size=9), st.integers(1, 20))
def test_jobs_are_as_mixed_as_those_before(samples: list[int], times: int) -> None:
    runtime = Runtime(tuple(sorted(samples)))
    twice = runtime.each(len(samples) * times, 2 * fmean(samples))
    assert sorted(twice) == pytest.approx(sorted([2.0 * each for each in samples] * times))
    assert fmean(runtime.each(times, 7.0)) == pytest.approx(7)


def test_machines_come_half_by_half_up_to_the_cap_as_growth_starts_them() -> None:
    readings = Readings(groups=[group(jobs=20)], offers=[offer()])
    begun = [(each.type, began - NOW) for each, _, began in grown(readings, RULES, NOW)]
    assert begun == [("m7i.large", 0)] * 5 + [("m7i.large", 60)] * 3 + [("m7i.large", 120), ("m7i.large", 180)]
    assert len(grown(readings, replace(RULES, cores=6), NOW)) == 3


def option(readings: Readings, samples: tuple[int, ...], market: Market = Market.DEMAND, cores: int = 100) -> Option:
    runtimes = {each.key: Runtime(samples) for each in readings.groups}
    return forecast(readings, replace(RULES, cores=cores), runtimes, IDLE, NOW, market)


def test_a_machine_boots_runs_its_jobs_and_is_paid_for_until_it_has_been_idle() -> None:
    offers = [offer(), offer(spot=True, now=Decimal("0.04"))]
    made = option(Readings(groups=[group(jobs=2)], offers=offers), (600,) * 5)
    dollars = 0.10 * (BOOT + 600 + IDLE) / 3600
    assert made == Option(1, 2, Decimal("0.10"), Span(780, 780, 780), made.dollars, 0)
    assert made.dollars is not None
    assert [made.dollars.least, made.dollars.middle, made.dollars.most] == [pytest.approx(dollars)] * 3
    spot = option(Readings(groups=[group(jobs=2)], offers=offers), (600,) * 5, Market.SPOT)
    assert (spot.per_hour, spot.seconds) == (Decimal("0.04"), made.seconds)
    assert spot.dollars is not None
    assert spot.dollars.middle == pytest.approx(dollars * 0.4)


def test_jobs_run_one_after_the_other_where_the_cap_allows_one_machine() -> None:
    made = option(Readings(groups=[group(jobs=5)], offers=[offer()]), (600,) * 5, cores=2)
    assert (made.machines, made.seconds) == (1, Span(1980, 1980, 1980))


def test_free_slots_and_machines_that_boot_help_and_cost_nothing_more() -> None:
    fits = frozenset(KEYS)
    home = Readings(
        groups=[group(jobs=3)],
        offers=[offer()],
        slots=[Slot(Room(8, 8000), fits), Slot(Room(8, 8000), fits, single=True)],
    )
    assert option(home, (600,) * 5) == Option(0, 0, Decimal(0), Span(600, 600, 600), Span(0, 0, 0), 0)
    booting = replace(home, slots=(), groups=[group(jobs=2)], machines=[machine(1, age=100)])
    assert option(booting, (600,) * 5).seconds == Span(680, 680, 680)
    one_by_one = replace(home, slots=home.slots[1:], offers=())
    assert option(one_by_one, (600,) * 5).seconds == Span(1800, 1800, 1800)


def test_what_is_unknown_is_none_and_what_nothing_runs_is_counted() -> None:
    readings = Readings(groups=[group(jobs=2)], offers=[offer()])
    assert option(readings, ()) == Option(1, 2, Decimal("0.10"), None, None, 0)
    unpriced = option(replace(readings, offers=[offer(most=None, now=None)]), (600,) * 5)
    assert (unpriced.per_hour, unpriced.seconds, unpriced.dollars) == (None, Span(780, 780, 780), None)
    wide = option(replace(readings, groups=[group(jobs=2), group("b", jobs=7, cpus=64)]), (600,) * 5)
    assert (wide.left, wide.seconds) == (7, Span(780, 780, 780))
    assert option(replace(readings, offers=()), (600,) * 5) == Option(0, 0, Decimal(0), None, None, 2)


def test_waiting_takes_as_long_as_the_pool_needs_with_as_many_jobs_at_once_as_lately() -> None:
    groups = [group(jobs=100), group("b", jobs=2)]
    runtimes = {"a": Runtime((600,) * 5, at_home=10), "b": Runtime((900,) * 5, at_home=4)}
    nothing = Span(0, 0, 0)
    assert wait(groups, runtimes) == Option(0, 0, Decimal(0), Span(6000, 6000, 6000), nothing, 0)
    for unknown in (Runtime((600,) * 5), Runtime((), at_home=3)):
        assert wait(groups, {**runtimes, "b": unknown}) == Option(0, 0, Decimal(0), None, nothing, 0)
    assert wait([], {}) == Option(0, 0, Decimal(0), None, nothing, 0)


@few
@given(
    cases.readings, cases.rules, st.lists(st.integers(1, 9000), min_size=1, max_size=9), st.sampled_from(list(Market))
)
def test_a_forecast_is_in_order_within_the_cap_and_no_shorter_than_work_allows(
    readings: Readings, rules: Rules, samples: list[int], market: Market
) -> None:
    runtimes = {each.key: Runtime(tuple(sorted(samples))) for each in readings.groups}
    made = forecast(readings, rules, runtimes, IDLE, NOW, market)
    running = sum(each.vcpus for each in readings.machines)
    assert made.cores == 0 or running + made.cores <= rules.cores
    assert 0 <= made.left <= sum(len(each.since) for each in readings.groups)
    if made.seconds is not None:
        assert min(samples) <= made.seconds.least * 1.000001
        assert made.seconds.least <= made.seconds.middle <= made.seconds.most
    if made.dollars is not None:
        assert 0 <= made.dollars.least <= made.dollars.middle <= made.dollars.most
        assert (made.dollars.most > 0) == (made.machines > 0)
