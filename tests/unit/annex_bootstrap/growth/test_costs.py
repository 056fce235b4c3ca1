"""What machines cost and what jobs used of it, value by value."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from annex_bootstrap.growth.cloud import Instance
from annex_bootstrap.growth.costs import By, Cost, Run, Use, add_up, parse_runs, uses
from annex_bootstrap.growth.plan import LATE
from annex_bootstrap.growth.record import Record
from annex_bootstrap.machines.money import DAY

MIDNIGHT = 20_000 * DAY
NOW = MIDNIGHT + 12 * 3600
HOUR = 3600


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Record:
    """A record in which it is always now."""
    monkeypatch.setattr("time.time", lambda: NOW)
    return Record.beside(tmp_path / "user_config")


def machine(record: Record, instance_id: str, **more: Any) -> None:
    """Add a machine that started three hours ago."""
    known = {"annex": "a", "owner": "alice", "region": "r", "type": "m7i.large", "spot": False, "request": "r1"}
    record.add("machine", id=instance_id, **(known | {"launched": NOW - 3 * HOUR, "most": "0.10"} | more))


USE = Use("i-1", "alice", "a", "r", "m7i.large", False, NOW - 3 * HOUR, NOW - HOUR, most=Decimal("0.10"))


def test_a_machine_that_runs_counts_until_now(record: Record) -> None:
    machine(record, "i-1")
    running = Instance("i-1", "a", "r", "m7i.large", False, NOW - 3 * HOUR, True)
    assert uses(record, [running], NOW) == [replace(USE, end=NOW, runs=True)]


def test_a_machine_whose_end_was_seen_counts_until_then(record: Record) -> None:
    machine(record, "i-1")
    record.add("ended", id="i-1", ended=NOW - HOUR, reason="Server.SpotInstanceTermination", watched=True)
    assert uses(record, [], NOW) == [replace(USE, taken=True)]


@pytest.mark.parametrize(
    ("lease", "extended", "noticed", "end"),
    [
        (NOW - 2 * HOUR, None, NOW, NOW - 2 * HOUR + LATE),
        (NOW - 2 * HOUR, NOW - HOUR, NOW, NOW - HOUR + LATE),
        (NOW + HOUR, None, NOW - 60, NOW - 60),
        (None, None, NOW - 60, NOW - 60),
        (NOW - 2 * HOUR, None, None, NOW - 2 * HOUR + LATE),
        (NOW + HOUR, None, None, NOW),
    ],
)
def test_a_machine_whose_end_nobody_saw_counts_until_its_lease_ended(
    record: Record, lease: int | None, extended: int | None, noticed: int | None, end: int
) -> None:
    machine(record, "i-1", **({} if lease is None else {"expiration": lease}))
    if extended is not None:
        record.add("extension", annex="a", region="r", expiration=extended)
    if noticed is not None:
        record.add("ended", id="i-1", ended=noticed, reason="", watched=False)
    assert uses(record, [], NOW) == [replace(USE, end=end, seen=False)]


def test_the_lease_of_a_step_is_that_of_its_machines(record: Record) -> None:
    record.add("step", request="r1", annex="a", owner="bob", expiration=NOW - 2 * HOUR)
    machine(record, "i-1", owner=None)
    assert uses(record, [], NOW) == [replace(USE, owner="bob", end=NOW - 2 * HOUR + LATE, seen=False)]


@pytest.mark.parametrize(
    ("owner", "starter", "shown"),
    [("bob", "", "bob"), ("", "carol", "everybody"), (None, "carol", "carol"), (None, "", "unknown")],
)
def test_the_owner_is_whose_jobs_it_ran_else_who_started_it(
    record: Record, owner: str | None, starter: str, shown: str
) -> None:
    machine(record, "i-1", owner=owner, starter=starter)
    assert [use.owner for use in uses(record, [], NOW)] == [shown]


def test_only_jobs_that_are_done_count_with_the_cores_that_they_had() -> None:
    done = {
        "LastRemoteHost": "slot1_1@i-0abc12@ip-10-0-0-1.ec2.internal",
        "JobStatus": 4,
        "JobCurrentStartDate": 100,
        "CompletionDate": 400,
        "RequestCpus": 2,
    }
    assert parse_runs(
        [
            done,
            done | {"CpusProvisioned": 4},
            done | {"RequestCpus": "/Expr(1 + 1)/"},
            done | {"JobStatus": 3},
            done | {"LastRemoteHost": "slot1@home"},
            done | {"CompletionDate": 0},
        ]
    ) == [Run("i-0abc12", 100, 400, 2), Run("i-0abc12", 100, 400, 4), Run("i-0abc12", 100, 400, 1)]


def test_what_no_job_used_is_idle_or_lost_to_spot() -> None:
    taken = replace(USE, instance_id="i-2", spot=True, taken=True)
    runs = [Run("i-1", USE.begin + 60, USE.begin + 60 + HOUR, 1), Run("i-2", USE.begin, USE.begin + HOUR, 2)]
    spot = {("r", "m7i.large"): Decimal("0.04")}
    assert add_up([USE, taken], runs, {"m7i.large": 2}, spot, By.OWNER, 0) == [
        Cost("alice", 2, 4.0, 8.0, 3.0, 2.0, 3.0, Decimal("0.28"), Decimal("0.40"))
    ]


def test_a_machine_that_runs_is_not_idle_yet_and_jobs_use_no_more_than_it_has() -> None:
    runs = [Run("i-1", USE.begin, USE.end, 2)] * 2
    running = replace(USE, runs=True)
    assert add_up([running], runs, {"m7i.large": 2}, {}, By.ANNEX, 0) == [
        Cost("a", 1, 2.0, 4.0, 4.0, 0.0, 0.0, Decimal("0.20"), Decimal("0.20"))
    ]


def test_a_spot_price_above_that_on_demand_does_not_count() -> None:
    (cost,) = add_up([replace(USE, spot=True)], None, {}, {("r", "m7i.large"): Decimal(1)}, None, 0)
    assert cost == Cost("all", 1, 2.0, None, None, None, None, Decimal("0.20"), Decimal("0.20"))


def test_an_unknown_price_makes_the_sum_unknown() -> None:
    other = replace(USE, instance_id="i-2", most=None)
    (cost,) = add_up([USE, other], [], {"m7i.large": 2}, {}, By.OWNER, 0)
    assert cost == Cost("alice", 2, 4.0, 8.0, 0.0, 0.0, 8.0, None, None)


def test_days_are_those_of_utc_and_nothing_before_the_first_counts() -> None:
    night = replace(USE, begin=MIDNIGHT - 3 * HOUR, end=MIDNIGHT + HOUR)
    runs = [Run("i-1", MIDNIGHT - HOUR, MIDNIGHT + HOUR // 2, 1)]
    found = add_up([night], runs, {"m7i.large": 1}, {}, By.DAY, MIDNIGHT - 2 * HOUR)
    assert found == [
        Cost("2024-10-03", 1, 2.0, 2.0, 1.0, 0.0, 1.0, Decimal("0.20"), Decimal("0.20")),
        Cost("2024-10-04", 1, 1.0, 1.0, 0.5, 0.0, 0.5, Decimal("0.10"), Decimal("0.10")),
    ]


def test_rows_are_in_the_order_of_their_cost() -> None:
    others = [replace(USE, instance_id=f"i-{name}", owner=name, end=NOW) for name in ("c", "b")]
    assert [cost.name for cost in add_up([USE, *others], [], {}, {}, By.OWNER, 0)] == ["b", "c", "alice"]
