"""What a spot fleet may use: which types, in which order, at which price, in which subnets."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from annex_bootstrap.errors import UserError
from annex_bootstrap.machines import offers as module
from annex_bootstrap.machines.instance_types import InstanceType, Slot
from annex_bootstrap.machines.offers import Offer, find_offers, make_offers, within_limits
from annex_bootstrap.machines.subnets import Subnet
from annex_contract.limits import Limits
from tests.unit.annex_bootstrap.answers import described_type
from tests.unit.recorded import Recorded, RefusedError

LARGE, XLARGE, ODD = (
    InstanceType("m7i.large", 2, 8192),
    InstanceType("m7i.xlarge", 4, 16384),
    InstanceType("x1.a", 2, 9000),
)
SUBNETS = {zone: Subnet(f"subnet-{zone}", zone, True, 9) for zone in ("a", "b")}
SLOT = Slot(1, 2048)


def test_the_cheapest_slot_comes_first_and_unknown_prices_last() -> None:
    prices = {"m7i.large": Decimal("0.11"), "m7i.xlarge": Decimal("0.20")}
    offered = {"m7i.large": {"b", "a"}, "m7i.xlarge": {"a", "elsewhere"}, "x1.a": {"b"}}
    assert make_offers([LARGE, ODD, XLARGE], SLOT, prices, offered, SUBNETS) == [
        Offer(XLARGE, 4, Decimal("0.20"), ("subnet-a",)),
        Offer(LARGE, 2, Decimal("0.11"), ("subnet-a", "subnet-b")),
        Offer(ODD, 2, None, ("subnet-b",)),
    ]


def test_types_of_one_price_are_sorted_by_name_and_those_that_no_zone_offers_are_left_out() -> None:
    prices = {"m7i.large": Decimal("0.10"), "m7i.xlarge": Decimal("0.20")}
    offered = {"m7i.large": {"a"}, "m7i.xlarge": {"a"}, "x1.a": {"elsewhere"}}
    found = make_offers([XLARGE, ODD, LARGE], SLOT, prices, offered, SUBNETS)
    assert [offer.machine.name for offer in found] == ["m7i.large", "m7i.xlarge"]


def test_the_price_of_a_slot_is_rounded_up_to_a_hundredth_of_a_cent() -> None:
    assert Offer(LARGE, 3, Decimal("0.10"), ()).slot_price == Decimal("0.0334")
    assert Offer(LARGE, 3, None, ()).slot_price is None


def test_a_fleet_has_no_more_pairs_of_type_and_subnet_than_aws_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SPECIFICATIONS", 4)
    offers = [Offer(LARGE, 1, None, subnets) for subnets in (("a",), ("a", "b", "c"), ("a",), ())]
    assert within_limits(offers) == offers[:2]
    assert module.MOST_SPECIFICATIONS == 4


def test_a_fleet_may_have_300_pairs() -> None:
    assert module.MOST_SPECIFICATIONS == 300


def aws(**changed: Any) -> Recorded:
    answers: dict[str, Any] = {
        "DescribeInstanceTypes": {
            "InstanceTypes": [
                described_type("m7i.large", 2, 8192),
                described_type("m7i.xlarge", 4, 16384),
                described_type("t3.large", 2, 8192, special=True),
            ]
        },
        "GetProducts": {"PriceList": []},
        "DescribeInstanceTypeOfferings": {
            "InstanceTypeOfferings": [
                {"InstanceType": "m7i.large", "Location": "b"},
                {"InstanceType": "m7i.xlarge", "Location": "a"},
                {"InstanceType": "t3.large", "Location": "a"},
            ]
        },
    }
    return Recorded(**answers | changed)


def find(
    account: Recorded,
    *wanted: str,
    excluded: tuple[str, ...] = (),
    needed: bool = False,
    allowed: tuple[str, ...] = (),
) -> list[Offer]:
    limits = Limits(types=allowed)
    return find_offers(account.account(), SLOT, "arm64", wanted, excluded, SUBNETS, limits, prices_needed=needed)


def test_aws_is_asked_for_current_spot_types_of_the_architecture_in_the_zones_of_the_subnets() -> None:
    account = aws()
    assert find(account) == [Offer(LARGE, 2, None, ("subnet-b",)), Offer(XLARGE, 4, None, ("subnet-a",))]
    assert account.of("DescribeInstanceTypes") == [
        {
            "Filters": [
                {"Name": "current-generation", "Values": ["true"]},
                {"Name": "supported-usage-class", "Values": ["spot"]},
                {"Name": "processor-info.supported-architecture", "Values": ["arm64"]},
            ]
        }
    ]
    assert account.of("DescribeInstanceTypeOfferings") == [
        {"LocationType": "availability-zone", "Filters": [{"Name": "location", "Values": ["a", "b"]}]}
    ]
    # All of the region: no type is named.
    assert [one["Field"] for one in account.of("GetProducts")[0]["Filters"]][-1] == "regionCode"


def test_patterns_choose_and_leave_out() -> None:
    assert [offer.machine.name for offer in find(aws(), "t3.*")] == ["t3.large"]
    assert [offer.machine.name for offer in find(aws(), excluded=("*.xlarge",))] == ["m7i.large"]


def test_types_that_the_stack_does_not_allow_are_left_out_and_where_none_is_left_that_is_said() -> None:
    assert [offer.machine.name for offer in find(aws(), allowed=("m7i.xlarge", "c7i.*"))] == ["m7i.xlarge"]
    text = (
        r"the stack allows only the instance types c7i\.\*, g5\.\* \(InstanceTypes\), and none that fits is one of them"
    )
    with pytest.raises(UserError, match=text):
        find(aws(), allowed=("c7i.*", "g5.*"))


def test_prices_that_cannot_be_read_matter_only_where_they_are_needed() -> None:
    refused = RefusedError("AccessDeniedException")
    assert [offer.price for offer in find(aws(GetProducts=refused))] == [None, None]
    with pytest.raises(UserError, match=r"AccessDeniedException.*; or give --max-price, in dollars a slot-hour"):
        find(aws(GetProducts=refused), needed=True)


def test_where_nothing_fits_nobody_is_asked_for_prices() -> None:
    account = aws()
    with pytest.raises(
        UserError, match="no current arm64 spot instance type in us-east-1 holds a slot of 1 CPUs and 2"
    ):
        find(account, "none.*")
    assert account.of("GetProducts") == []
