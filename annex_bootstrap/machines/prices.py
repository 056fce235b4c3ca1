"""What machines cost: on demand from the AWS Price List, on the spot market now; dollars, or yuan in China, an hour."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from annex_bootstrap.aws import Account, explained
from annex_bootstrap.errors import UserError
from annex_contract.lease import TICK_MINUTES
from annex_contract.prices import asking, parse

FEW = 8
"""Types whose prices are asked for one by one; more come with those of the whole region."""


ADDRESS = Decimal("0.005")
"""Dollars an hour of a public IPv4 address, in every region: https://aws.amazon.com/vpc/pricing/"""

DISK = Decimal("0.16") / 730
"""Dollars an hour of a GB of a gp3 disk where it is most expensive, so that a sum is never exceeded; AWS counts months
of 730 hours: https://aws.amazon.com/ebs/pricing/"""

LATE = Decimal(TICK_MINUTES + 1) / 60
"""Hours by which a lease may end late: the lease function comes by in ticks, which EventBridge starts within their
minute: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-rule-schedule.html"""


@dataclass(frozen=True)
class Prices:
    """What types cost, in dollars an hour; those without a price are missing.

    Attributes:
        on_demand: on demand.
        spot: on the spot market now, the highest of the region's zones; None where spot machines are not wanted.
    """

    on_demand: Mapping[str, Decimal]
    spot: Mapping[str, Decimal] | None = None

    @property
    def now(self) -> Mapping[str, Decimal]:
        """What machines cost that start now."""
        return self.on_demand if self.spot is None else self.spot


def find_prices(account: Account, names: Sequence[str], *, spot: bool) -> tuple[Prices, str]:
    """Return what types cost, and why prices are missing; nothing if they are not.

    Args:
        account: where.
        names: of the types.
        spot: whether spot prices are wanted besides.
    """
    demand: Mapping[str, Decimal] = {}
    now: Mapping[str, Decimal] | None = {} if spot else None
    problem = ""
    try:
        demand = on_demand(account, names if len(names) <= FEW else None)
    except UserError as error:
        problem = str(error)
    if spot:
        try:
            now = spot_prices(account, names)
        except UserError as error:
            problem = str(error)
    return Prices(demand, now), problem


def spot_prices(account: Account, names: Sequence[str]) -> dict[str, Decimal]:
    """Return what types cost on the spot market now: dollars an hour, the highest price of the region's zones.

    Raises:
        UserError: AWS refused.
    """
    prices: dict[str, Decimal] = {}
    now = datetime.now(UTC)
    with explained("reading the spot prices"):
        for page in account.ec2.get_paginator("describe_spot_price_history").paginate(
            InstanceTypes=names,  # type: ignore[arg-type]  # names are text to us
            ProductDescriptions=["Linux/UNIX"],
            StartTime=now,
            EndTime=now,
        ):
            for entry in page["SpotPriceHistory"]:
                name, price = entry["InstanceType"], Decimal(entry["SpotPrice"])
                prices[name] = max(price, prices.get(name, price))
    return prices


def on_demand(account: Account, instance_types: Iterable[str] | None = None) -> dict[str, Decimal]:
    """Return the prices of instance types in the account's region.

    Args:
        account: where.
        instance_types: one call for each; None for all of the region, about ten calls.

    Returns:
        Prices an hour by type. Types without a price are missing.

    Raises:
        UserError: AWS refused, or has no price list in this partition.
    """
    names = [""] if instance_types is None else sorted(set(instance_types))
    prices: dict[str, Decimal] = {}
    with explained("reading the AWS price list"):
        for name in names:
            for page in account.pricing.get_paginator("get_products").paginate(**asking(account.region, name)):
                prices |= parse(json.loads(product) for product in page["PriceList"])
    return prices
