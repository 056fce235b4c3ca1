"""What the price list is asked for, and what is read from its answer."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from annex_contract.prices import PRICE_LIST_ENDPOINTS, asking, parse


def wanted(**fields: str) -> dict[str, Any]:
    return {
        "ServiceCode": "AmazonEC2",
        "Filters": [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in fields.items()],
    }


def test_the_plain_price_of_a_type_is_that_of_linux_on_a_shared_machine_which_is_used() -> None:
    plain = {
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
        "marketoption": "OnDemand",
        "regionCode": "eu-west-1",
    }
    assert asking("eu-west-1") == wanted(**plain)
    assert asking("eu-west-1", "m7i.large") == wanted(**plain, instanceType="m7i.large")
    assert PRICE_LIST_ENDPOINTS == {"aws": "us-east-1", "aws-cn": "cn-northwest-1"}


def product(name: str, *dimensions: dict[str, Any]) -> dict[str, Any]:
    attributes = {"instanceType": name} if name else {}
    terms = {"a": {"priceDimensions": {str(number): each for number, each in enumerate(dimensions)}}}
    return {"product": {"attributes": attributes}, "terms": {"OnDemand": terms}}


def hourly(unit: str = "Hrs", **prices: str) -> dict[str, Any]:
    return {"unit": unit, "pricePerUnit": prices}


def test_prices_are_those_by_the_hour_that_cost_anything() -> None:
    assert parse(
        [
            product("m7i.large", hourly(USD="0.1008000000"), hourly("Quantity", USD="500")),
            product("c7i.large", hourly(CNY="0.7", USD="0.1")),
            product("free.large", hourly(USD="0.0000000000")),
            product("odd.large", hourly()),
            product("", hourly(USD="1")),
            {"product": {"attributes": {"instanceType": "unsold.large"}}},
            {"product": {"attributes": {"instanceType": "reserved.large"}}, "terms": {"Reserved": {}}},
        ]
    ) == {"m7i.large": Decimal("0.1008"), "c7i.large": Decimal("0.7")}
