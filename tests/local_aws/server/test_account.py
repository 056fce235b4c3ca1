"""What an account has not enabled, how many rules it has room for, and clocks that differ."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.server.ec2_requests import refusal
from tests.local_aws.server.principals import Server

SetAccount = Callable[..., None]

CALLS: dict[str, Callable[[Any], object]] = {
    "cloudformation": lambda client: client.list_stacks(),
    "ec2": lambda client: client.describe_instances(),
    "events": lambda client: client.list_rules(),
    "lambda": lambda client: client.list_functions(),
    "s3": lambda client: client.list_buckets(),
    "sts": lambda client: client.get_caller_identity(),
}


def codes(server: Server, region: str) -> dict[str, str]:
    """Return the error code with which each service refuses a call in a region."""
    found = {}
    for service, call in CALLS.items():
        with pytest.raises(ClientError) as error:
            call(server.client(service, region))  # type: ignore[arg-type]  # the keys above
        found[service] = refusal(error)
    return found


def test_a_region_that_is_not_enabled_knows_no_keys(server: Server, set_account: SetAccount) -> None:
    set_account(disabled_regions=["ap-east-1"])
    assert codes(server, "ap-east-1") == {
        "cloudformation": "InvalidClientTokenId",
        "ec2": "AuthFailure",
        "events": "UnrecognizedClientException",
        "lambda": "UnrecognizedClientException",
        "s3": "InvalidAccessKeyId",
        "sts": "InvalidClientTokenId",
    }
    server.ec2().describe_instances()


def test_regions_are_listed_with_whether_they_are_enabled(server: Server, set_account: SetAccount) -> None:
    ec2, name = server.ec2(), ["ap-east-1"]
    assert ec2.describe_regions(RegionNames=name)["Regions"][0]["OptInStatus"] == "opted-in"
    set_account(disabled_regions=name)
    assert ec2.describe_regions(RegionNames=name)["Regions"] == []
    (region,) = ec2.describe_regions(RegionNames=name, AllRegions=True)["Regions"]
    assert region["OptInStatus"] == "not-opted-in"
    assert "us-east-1" in {each["RegionName"] for each in ec2.describe_regions()["Regions"]}


def test_an_account_may_not_be_signed_up_in_a_region(server: Server, set_account: SetAccount) -> None:
    set_account(unsubscribed_regions=["ap-east-1"])
    assert set(codes(server, "ap-east-1").values()) == {"OptInRequired"}


@pytest.mark.parametrize(("ahead", "text"), [(3600, "Signature expired"), (-3600, "Signature not yet current")])
def test_where_a_clock_is_wrong_each_service_says_so_in_its_own_way(
    server: Server, set_account: SetAccount, ahead: int, text: str
) -> None:
    set_account(clock_ahead=ahead)
    assert codes(server, "us-east-1") == {
        "cloudformation": "SignatureDoesNotMatch",
        "ec2": "AuthFailure",
        "events": "InvalidSignatureException",
        "lambda": "InvalidSignatureException",
        "s3": "RequestTimeTooSkewed",
        "sts": "SignatureDoesNotMatch",
    }
    with pytest.raises(ClientError, match=text):
        server.client("sts").get_caller_identity()
    set_account(clock_ahead=ahead, ec2_tells_skew=True)
    with pytest.raises(ClientError) as error:
        server.ec2().describe_instances()
    assert refusal(error) == "RequestExpired"


def test_most_services_take_less_of_a_wrong_clock_than_others(server: Server, set_account: SetAccount) -> None:
    set_account(clock_ahead=600)
    server.client("sts").get_caller_identity()
    server.client("s3").list_buckets()
    for ask in (server.ec2().describe_instances, server.client("cloudformation").list_stacks):
        with pytest.raises(ClientError, match=r"Signature expired: .* - 5 min\.\)|AuthFailure"):
            ask()


def test_an_event_bus_has_room_for_so_many_rules(server: Server, set_account: SetAccount) -> None:
    events = server.client("events", f"test-{uuid.uuid4().hex[:8]}-1")
    set_account(event_rules=2)
    for name in ("one", "two", "one"):
        events.put_rule(Name=name, ScheduleExpression="rate(1 day)")
    with pytest.raises(ClientError) as error:
        events.put_rule(Name="three", ScheduleExpression="rate(1 day)")
    assert refusal(error) == "LimitExceededException"
    events.delete_rule(Name="two")
    events.put_rule(Name="three", ScheduleExpression="rate(1 day)")
