"""The quota of vCPUs: what runs counts, and what does not fit is refused with the way to more."""

from __future__ import annotations

from typing import Any

import pytest

from annex_bootstrap.errors import UserError
from annex_bootstrap.machines.instance_types import InstanceType
from annex_bootstrap.machines.quotas import check_quota, increase_command
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
        assert check_quota(account, [LARGE], 4, spot=False) == "8 of 12 vCPUs in use"


def test_one_vcpu_too_many_is_refused_with_the_command_that_asks_for_enough() -> None:
    with (
        answering(**calls(12, "L-1216C47A", *MACHINES, described=DESCRIBED)) as account,
        pytest.raises(UserError) as refused,
    ):
        check_quota(account, [LARGE], 5, spot=False)
    assert str(refused.value) == (
        "the quota of on-demand vCPUs in us-east-1 is 12, of which 8 are in use, and this would take 5: ask for less, "
        f"or ask AWS for more with {increase_command('us-east-1', 13, spot=False)}"
    )


def test_spot_machines_have_a_quota_of_their_own() -> None:
    with answering(**calls(8, "L-34B43A08", *MACHINES, described=DESCRIBED[1:])) as account:
        assert check_quota(account, [LARGE], 4, spot=True) == "4 of 8 vCPUs in use"


def test_nothing_is_said_of_the_quota_of_other_families() -> None:
    with answering(ec2=[], quotas=[]) as account:
        assert check_quota(account, [LARGE, InstanceType("g6.large", 2, 8192)], 4, spot=False) == ""
