"""The quota of vCPUs: what runs counts, and what does not fit is refused with the way to more."""

from __future__ import annotations

from typing import Any

import pytest

from annex_bootstrap.errors import UnavailableError
from annex_bootstrap.machines.capacity import Capacity
from annex_bootstrap.machines.instance_types import InstanceType
from annex_bootstrap.machines.quotas import Quota, check_room, find_quota, increase_command
from tests.unit.annex_bootstrap.answers import answering, described_type

LARGE = InstanceType("m7i.large", 2, 8192)


def running(*machines: tuple[str, str]) -> dict[str, Any]:
    """Return machines as DescribeInstances has them: type, and ``spot`` or nothing."""
    return {
        "Reservations": [
            {
                "Instances": [
                    {"InstanceType": name} | ({"InstanceLifecycle": lifecycle} if lifecycle else {})
                    for name, lifecycle in machines
                ]
            }
        ]
    }


def calls(limit: float, code: str, *machines: tuple[str, str], described: list[dict[str, Any]]) -> dict[str, Any]:
    names = {"InstanceTypes": [one["InstanceType"] for one in described]}
    filters = {"Filters": [{"Name": "instance-state-name", "Values": ["pending", "running"]}]}
    return {
        "quotas": [("get_service_quota", {"ServiceCode": "ec2", "QuotaCode": code}, {"Quota": {"Value": limit}})],
        "ec2": [
            ("describe_instances", filters, running(*machines)),
            ("describe_instance_types", names, {"InstanceTypes": described}),
        ],
    }


MACHINES = (("m7i.xlarge", ""), ("m7i.xlarge", ""), ("m7i.xlarge", "spot"), ("g6.xlarge", ""))
DESCRIBED = [described_type("g6.xlarge", 4, 16384), described_type("m7i.xlarge", 4, 16384)]


def test_standard_machines_on_demand_that_run_count() -> None:
    with answering(**calls(12, "L-1216C47A", *MACHINES, described=DESCRIBED)) as account:
        assert find_quota(account, spot=False) == Quota(limit=12, used=8)


def test_spot_machines_have_a_quota_of_their_own() -> None:
    with answering(**calls(8, "L-34B43A08", *MACHINES, described=DESCRIBED[1:])) as account:
        assert find_quota(account, spot=True) == Quota(limit=8, used=4)


def test_a_request_that_fits_is_let_through_and_one_vcpu_too_many_is_refused() -> None:
    check_room("us-east-1", Quota(12, 8), Capacity(count=2), [LARGE])
    with pytest.raises(UnavailableError) as refused:
        check_room("us-east-1", Quota(12, 9), Capacity(count=2), [LARGE])
    assert str(refused.value) == (
        "the quota of on-demand vCPUs in us-east-1 is 12, of which 9 are in use, and this would take 4: ask for less, "
        f"or ask AWS for more with {increase_command('us-east-1', 13, spot=False)}"
    )


def test_one_exotic_type_does_not_switch_the_check_off_for_the_others() -> None:
    exotic = InstanceType("g6.48xlarge", 192, 8192)
    with pytest.raises(UnavailableError, match="this would take 4"):
        check_room("us-east-1", Quota(12, 9), Capacity(count=2), [exotic, LARGE])
    check_room("us-east-1", Quota(12, 9), Capacity(count=2), [exotic])


def test_a_quota_that_is_unknown_stops_nothing() -> None:
    check_room("us-east-1", None, Capacity(count=1000), [LARGE])
    assert (str(Quota(12, 9)), Quota(12, 9).room, Quota(8, 9).room) == ("9 of 12 vCPUs in use", 3, 0)
