"""What machines cost on demand, from the AWS Price List: in dollars, or yuan in China, an hour."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from annex_bootstrap.aws import Account, explained

LINUX_ON_DEMAND = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "marketoption": "OnDemand",
}
"""What tells the plain price of a type from its hundred variants."""


def on_demand(account: Account, instance_types: Iterable[str] | None = None) -> dict[str, Decimal]:
    """Return the prices of instance types in the account's region.

    Args:
        account: where.
        instance_types: those wanted, one call each; None for all of the region, about ten calls.

    Returns:
        Prices an hour by type. Types without a price are missing.

    Raises:
        UserError: AWS refused, or has no price list in this partition.
    """
    wanted: list[dict[str, str]] = (
        [{}] if instance_types is None else [{"instanceType": name} for name in sorted(set(instance_types))]
    )
    prices: dict[str, Decimal] = {}
    with explained("reading the AWS price list"):
        for one in wanted:
            fields = LINUX_ON_DEMAND | {"regionCode": account.region} | one
            pages = account.pricing.get_paginator("get_products").paginate(
                ServiceCode="AmazonEC2",
                Filters=[{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in fields.items()],
            )
            for page in pages:
                prices |= parse(json.loads(product) for product in page["PriceList"])
    return prices


def parse(products: Iterable[Mapping[str, Any]]) -> dict[str, Decimal]:
    """Read products of the price list, format ``aws_v1``.

    Args:
        products: decoded from JSON.

    Returns:
        Prices an hour by instance type; what is free, or not sold by the hour, is left out.
    """
    prices = {}
    for product in products:
        name = product["product"]["attributes"].get("instanceType", "")
        for term in product.get("terms", {}).get("OnDemand", {}).values():
            for dimension in term["priceDimensions"].values():
                price = max((Decimal(amount) for amount in dimension["pricePerUnit"].values()), default=Decimal(0))
                if name and price > 0 and dimension["unit"] == "Hrs":
                    prices[name] = price
    return prices
