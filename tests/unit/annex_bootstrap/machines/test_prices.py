"""Prices: where the Price List is asked, and where there is none."""

from __future__ import annotations

import boto3
import pytest

from annex_bootstrap.aws import Account
from annex_bootstrap.errors import UserError
from annex_bootstrap.machines import prices

SESSION = boto3.Session("AKIAMADEUP", "made-up")


@pytest.mark.parametrize(
    ("region", "endpoint"), [("eu-west-1", "us-east-1"), ("us-east-1", "us-east-1"), ("cn-north-1", "cn-northwest-1")]
)
def test_the_price_list_is_asked_in_its_partitions_own_region(region: str, endpoint: str) -> None:
    assert Account(SESSION, region).pricing.meta.region_name == endpoint


def test_a_partition_without_a_price_list_is_named() -> None:
    with pytest.raises(UserError, match="AWS has no price list in the partition aws-us-gov"):
        prices.on_demand(Account(SESSION, "us-gov-west-1"), ["c7i.large"])
