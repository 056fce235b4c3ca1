"""The preview of a start, line by line."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from annex_bootstrap.annexes.leases import Lease
from annex_bootstrap.annexes.planning import MachineImage, Plan
from annex_bootstrap.annexes.preview import RegionPlan, preview, summary, warnings
from annex_bootstrap.machines.capacity import Capacity, Estimate
from annex_bootstrap.machines.instance_types import InstanceType
from annex_bootstrap.machines.money import Allowance
from annex_bootstrap.machines.quotas import Quota
from annex_bootstrap.machines.subnets import Subnet
from annex_bootstrap.stack.read import Stack
from tests.unit.annex_bootstrap.annexes.memory import OUTPUTS, POOL, REQUEST, Memory

ACCOUNT: Any = Memory()
UNTIL = 2_000_000_000
LARGE = InstanceType("m7i.large", 2, 8192)
PLAN = Plan(
    account=ACCOUNT,
    stack=Stack("arn:stack", "pool", "CREATE_COMPLETE", "", {}, OUTPUTS, datetime(2026, 1, 1, tzinfo=UTC)),
    image=MachineImage("ami-1", "x86_64", "23.9.6", 8),
    subnets=[Subnet("subnet-a", "us-east-1a", True, 5, way_out=True)],
    machines=[LARGE],
    estimate=Estimate((2, 2), 4, Decimal("0.2016"), Decimal("0.2016"), Decimal("0.2151")),
    quota=Quota(256, 8),
    unpriced="",
    lease=None,
    running=0,
    expiration=UNTIL,
    most=Decimal("0.45171"),
    request=REQUEST,
)


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("annex_bootstrap.annexes.preview.clock", lambda seconds: f"<{seconds}>")


def lines(plan: Plan) -> dict[str, str]:
    return {head: " | ".join(texts) for head, texts in preview(plan, POOL)}


def test_a_preview_says_what_starts_where_for_how_much_and_for_whom() -> None:
    assert lines(PLAN) == {
        "Annex": "first in us-east-1, on demand",
        "Machines": "2, at most 4 cores; 8 of 256 vCPUs in use",
        "Types": "m7i.large (2 cores, 8 GiB)",
        "Subnets": "subnet-a (us-east-1a)",
        "Price": "$0.20/hour; at most $0.46 until the lease ends, with disks and addresses",
        "Lease": "until <2000000000>; machines without a job for 15 minutes shut down earlier",
        "Image": "ami-1, HTCondor 23.9.6",
        "Pool": "pool.example.org:9618; the machines join as alice@pool",
        "Jobs": 'of alice that say +TargetAnnexName = "first" | and requirements = TARGET.AnnexName == "first"',
    }
    assert warnings(PLAN.subnets, PLAN.unpriced) == []


@pytest.mark.parametrize(
    ("cheapest", "dearest", "most", "text"),
    [
        (None, None, None, "unknown; at most: unknown"),
        ("0.2", None, None, "from $0.20/hour; at most: unknown"),
        ("0.2", "0.3", "1.2", "$0.20 to $0.30/hour; at most $1.20 until the lease ends, with disks and addresses"),
    ],
)
def test_a_price_says_what_is_known_and_rounds_the_most_up(
    cheapest: str | None, dearest: str | None, most: str | None, text: str
) -> None:
    prices = [None if price is None else Decimal(price) for price in (cheapest, dearest, most)]
    estimate = Estimate((2, 2), 4, prices[0], prices[1], None)
    assert lines(replace(PLAN, estimate=estimate, most=prices[2]))["Price"] == text


def test_the_price_of_spot_machines_is_that_of_now() -> None:
    request = replace(REQUEST, capacity=Capacity(cores=8, spot=True))
    shown = lines(replace(PLAN, request=request))
    assert shown["Annex"] == "first in us-east-1, spot"
    assert shown["Price"].startswith("$0.20/hour now; at most $0.46")


@pytest.mark.parametrize(
    ("count", "expiration", "text"),
    [
        (1, UNTIL, "1 machine, which runs until <2000000000>"),
        (2, 5, "2 machines, which run until <5>, then until <2000000000>"),
        (2, UNTIL + 5, "2 machines, which run until <2000000005>, now only until <2000000000>"),
    ],
)
def test_what_runs_already_runs_longer_where_the_lease_does(count: int, expiration: int, text: str) -> None:
    shown = lines(replace(PLAN, lease=Lease("first", expiration, {}), running=count))
    assert shown["Adds to"] == text


def test_money_says_what_is_spent_how_long_it_lasts_and_what_it_leaves_out() -> None:
    limit = Allowance(Decimal(200), Decimal(0), 5, 2, Decimal("0.12"), Decimal("0.02"))
    assert lines(replace(PLAN, limit=limit, money_end=UNTIL))["Money"] == (
        "$200 in all; lasts until <2000000000>, so the lease ends then; traffic and the stored image are not counted"
    )
    spent = replace(limit, spent=Decimal("1.231"))
    assert lines(replace(PLAN, limit=spent, money_end=UNTIL + 60))["Money"] == (
        "$200 in all, at most $1.24 of it spent; lasts until <2000000060>, and the lease ends earlier; traffic and the "
        "stored image are not counted"
    )
    made = summary(replace(PLAN, limit=spent, money_end=UNTIL))
    assert (made.dollars_limit, made.dollars_spent_most) == (Decimal(200), Decimal("1.231"))
    assert made.money_end == datetime.fromtimestamp(UNTIL, UTC)


def test_many_types_are_counted_and_an_unknown_quota_is_said() -> None:
    machines = [InstanceType(f"a{number}.large", 2, 8192) for number in range(9)]
    shown = lines(replace(PLAN, machines=machines, quota=None))
    assert shown["Types"].endswith("a5.large (2 cores, 8 GiB) and 3 more")
    assert shown["Machines"] == "2, at most 4 cores; quota not known"


def test_a_subnet_without_a_way_out_and_missing_prices_are_said() -> None:
    subnets = [
        Subnet("subnet-x", "us-east-1a", False, 5, way_out=False),
        Subnet("subnet-y", "us-east-1b", False, 5, way_out=None),
    ]
    isolated, unpriced = warnings(subnets, "none here")
    assert isolated.startswith("the subnet subnet-x has no way out")
    both = [Subnet(name, "us-east-1a", False, 5, way_out=False) for name in ("subnet-x", "subnet-z")]
    assert warnings(both, "")[0].startswith("the subnets subnet-x, subnet-z have no way out")
    assert unpriced == "no prices: none here"


def test_the_json_document_has_the_same() -> None:
    assert summary(replace(PLAN, lease=Lease("first", 5, {}))) == RegionPlan(
        region="us-east-1",
        machines_least=2,
        machines_most=2,
        vcpus_most=4,
        types=("m7i.large",),
        dollars_per_hour_most=Decimal("0.2151"),
        dollars_most=Decimal("0.45171"),
        lease_expiration=datetime.fromtimestamp(UNTIL, UTC),
        subnets=("subnet-a",),
        adds=True,
        image_id="ami-1",
    )
