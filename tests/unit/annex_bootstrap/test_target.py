"""Work in several regions at once."""

from __future__ import annotations

import threading

import boto3
import pytest

from annex_bootstrap.aws import Account
from annex_bootstrap.errors import UserError
from annex_bootstrap.target import Target, in_each_region

REGIONS = ["us-east-1", "eu-west-1", "ap-south-1"]


@pytest.fixture
def accounts() -> list[Account]:
    return [Account(boto3.Session(), region) for region in REGIONS]


def test_a_failure_stops_no_other_region_and_the_order_is_kept(accounts: list[Account]) -> None:
    def work(account: Account) -> str:
        if account.region == "eu-west-1":
            raise UserError("no")
        return account.region.upper()

    outcomes = in_each_region(accounts, work)
    assert [outcome.account.region for outcome in outcomes] == REGIONS
    assert [outcome.result for outcome in outcomes] == ["US-EAST-1", None, "AP-SOUTH-1"]
    assert [str(outcome.error or "") for outcome in outcomes] == ["", "no", ""]


def test_the_regions_work_at_the_same_time(accounts: list[Account]) -> None:
    meeting = threading.Barrier(len(REGIONS), timeout=30)
    assert len({outcome.result for outcome in in_each_region(accounts, lambda _: meeting.wait())}) == len(REGIONS)


def test_a_defect_is_raised_once_all_are_done(accounts: list[Account]) -> None:
    done = []

    def work(account: Account) -> None:
        if account.region == "us-east-1":
            raise ZeroDivisionError
        done.append(account.region)

    with pytest.raises(ZeroDivisionError):
        in_each_region(accounts, work)
    assert sorted(done) == ["ap-south-1", "eu-west-1"]


def test_the_region_is_the_first_that_was_given() -> None:
    assert Target(regions=("eu-west-1", "us-east-1")).region == "eu-west-1"
    assert Target().region is None
