from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_bootstrap.doctor.file_checks import fleet_problems
from annex_bootstrap.errors import UserError
from annex_bootstrap.machines import fleet_file, offers
from annex_bootstrap.machines.fleet_file import Parts
from annex_bootstrap.machines.instance_types import InstanceType, Slot, choose
from annex_bootstrap.machines.offers import Offer
from annex_bootstrap.machines.subnets import Subnet, one_per_zone
from annex_contract.prices import parse

PARTS = Parts("ami-1", "role", "profile", "sg-1")
TYPES = st.builds(
    InstanceType,
    st.from_regex(r"[a-z][1-9]\.[a-z]{2,6}", fullmatch=True),
    st.integers(1, 200),
    st.integers(256, 800_000),
    st.booleans(),
)
PRICES = st.one_of(st.none(), st.decimals("0.0001", "99", places=5))
OFFERS = st.lists(
    st.builds(
        Offer, TYPES, st.integers(1, 200), PRICES, st.lists(st.just("subnet-1"), min_size=1, max_size=6).map(tuple)
    ),
    min_size=1,
    max_size=80,
)


@given(TYPES, st.integers(1, 16), st.integers(256, 64_000))
def test_the_slots_of_a_machine_fit_and_one_more_would_not(machine: InstanceType, cpus: int, memory: int) -> None:
    slot = Slot(cpus, memory)
    count = slot.fit(machine)
    assert count * cpus <= machine.vcpus
    assert count * memory <= machine.memory
    assert (count + 1) * cpus > machine.vcpus or (count + 1) * memory > machine.memory


def test_special_types_are_taken_only_by_name() -> None:
    found = [
        InstanceType("a.big", 8, 8192),
        InstanceType("t.big", 8, 8192, special=True),
        InstanceType("a.tiny", 1, 64),
    ]
    slot = Slot(1, 2048)
    assert [machine.name for machine in choose(found, slot)] == ["a.big"]
    assert [machine.name for machine in choose(found, slot, ["*"])] == ["a.big", "t.big"]
    assert [machine.name for machine in choose(found, slot, ["*"], ["a.*"])] == ["t.big"]


def test_each_zone_gets_one_subnet_a_public_one_before_an_emptier_one() -> None:
    subnets = [
        Subnet("s1", "a", True, 10),
        Subnet("s2", "a", False, 99),
        Subnet("s3", "a", True, 20),
        Subnet("s4", "b", False, 1),
    ]
    assert [subnet.subnet_id for subnet in one_per_zone(subnets)] == ["s3", "s4"]


def test_the_cheapest_slot_comes_first_and_the_unknown_last() -> None:
    machines = [InstanceType(name, 4, 16_384) for name in ("a.1", "b.1", "c.1", "d.1")]
    found = offers.make_offers(
        machines,
        Slot(1, 2048),
        {"a.1": Decimal("0.4"), "b.1": Decimal("0.2")},
        {"a.1": {"z1"}, "b.1": {"z1", "z9"}, "c.1": {"z1"}, "d.1": {"z9"}},
        {"z1": Subnet("s1", "z1", True, 1)},
    )
    assert [(offer.machine.name, offer.slot_price) for offer in found] == [
        ("b.1", Decimal("0.0500")),
        ("a.1", Decimal("0.1000")),
        ("c.1", None),
    ]


@given(OFFERS)
def test_a_fleet_never_has_more_specifications_than_aws_takes_and_loses_only_the_last(found: list[Offer]) -> None:
    kept = offers.within_limits(found)
    assert kept == found[: len(kept)]
    assert sum(len(offer.subnets) for offer in kept) <= offers.MOST_SPECIFICATIONS
    if len(kept) < len(found):
        assert sum(len(offer.subnets) for offer in found[: len(kept) + 1]) > offers.MOST_SPECIFICATIONS


@given(OFFERS, st.one_of(st.none(), st.decimals("0.0001", "99", places=4)), st.sampled_from(["", "key"]))
def test_condor_annex_reads_every_fleet_that_is_written(found: list[Offer], most: Decimal | None, key: str) -> None:
    if most is None and all(offer.price is None for offer in found):
        with pytest.raises(UserError, match="--max-price"):
            fleet_file.render(found, PARTS, most)
        return
    text = fleet_file.render(found, Parts("ami-1", "role", "profile", "sg-1", key), most)
    assert fleet_problems(text) == []
    config = json.loads(text)
    bids = [Decimal(specification["SpotPrice"]) for specification in config["LaunchSpecifications"]]
    assert max(bids) <= Decimal(config["SpotPrice"])
    each_subnet = [offer for offer in found for _ in offer.subnets]
    for used, specification in zip(each_subnet, config["LaunchSpecifications"], strict=True):
        if most is None and used.price is not None:
            assert Decimal(specification["SpotPrice"]) * used.slots >= used.price
        assert ("KeyName" in specification) == bool(key)


def test_prices_are_read_only_from_the_hourly_terms() -> None:
    def product(name: str, price: str, unit: str = "Hrs", currency: str = "USD") -> dict[str, Any]:
        dimension = {"unit": unit, "pricePerUnit": {currency: price}}
        return {
            "product": {"attributes": {"instanceType": name}},
            "terms": {"OnDemand": {"t": {"priceDimensions": {"d": dimension}}}},
        }

    products: list[dict[str, Any]] = [
        product("a.1", "0.1000000000"),
        product("b.1", "0.0000000000"),
        product("c.1", "5", unit="Quantity"),
        product("d.1", "0.7", currency="CNY"),
        {"product": {"attributes": {}}, "terms": {}},
    ]
    assert parse(products) == {"a.1": Decimal("0.1"), "d.1": Decimal("0.7")}
