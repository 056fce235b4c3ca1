"""The AWS Price List: what to ask it for the price of an instance type on demand, and how to read the answer. Pure.

Source of the format ``aws_v1``: https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/bulk-api-reading-price-list-files.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

PRICE_LIST_ENDPOINTS = {"aws": "us-east-1", "aws-cn": "cn-northwest-1"}
"""The region of the Price List's endpoint, by partition; it serves every region of that partition. Source:
https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/using-price-list-query-api.html"""

LINUX_ON_DEMAND = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "marketoption": "OnDemand",
}
"""What tells the plain price of a type from its hundred variants."""


def asking(region: str, instance_type: str = "") -> dict[str, Any]:
    """Return the arguments of GetProducts for the plain price of an instance type, or of all of a region.

    Args:
        region: where.
        instance_type: its name; empty for all.
    """
    fields = LINUX_ON_DEMAND | {"regionCode": region} | ({"instanceType": instance_type} if instance_type else {})
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in fields.items()]
    return {"ServiceCode": "AmazonEC2", "Filters": filters}


def parse(products: Iterable[Mapping[str, Any]]) -> dict[str, Decimal]:
    """Read products of the price list.

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
