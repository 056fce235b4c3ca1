"""A capacity becomes one request for a fleet, and a price that is never exceeded."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import botocore.session
import pytest
from botocore.validate import validate_parameters
from hypothesis import given
from hypothesis import strategies as st

from annex_bootstrap.machines.capacity import Capacity, Estimate, estimate, fleet_arguments
from annex_bootstrap.machines.instance_types import InstanceType

SHAPE = botocore.session.Session().get_service_model("ec2").operation_model("CreateFleet").input_shape

CAPACITIES = st.one_of(
    st.builds(
        Capacity,
        count=st.integers(1, 1000),
        types=st.lists(st.sampled_from(["c7i.large", "m7i.large"]), min_size=1, unique=True).map(tuple),
        spot=st.booleans(),
    ),
    st.builds(Capacity, cores=st.integers(1, 5000), memory_per_core=st.integers(512, 16384), spot=st.booleans()),
)
SUBNETS = st.lists(st.sampled_from(["subnet-a", "subnet-b", "subnet-c"]), min_size=1, unique=True)


@given(CAPACITIES, SUBNETS)
def test_every_request_is_one_that_ec2_takes(capacity: Capacity, subnets: list[str]) -> None:
    request = fleet_arguments(capacity, "0" * 32, ("lt-1", "7"), subnets, {"htcondor:AnnexName": "a"})
    assert SHAPE is not None
    validate_parameters(request, SHAPE)
    (config,) = request["LaunchTemplateConfigs"]
    # A number: the default version stays at the first, whatever the stack's updates add.
    assert config["LaunchTemplateSpecification"]["Version"] == "7"
    overrides = config["Overrides"]
    assert {override["SubnetId"] for override in overrides} == set(subnets)
    for override in overrides:
        assert ("InstanceType" in override) is not ("InstanceRequirements" in override)
    # EC2 takes the unit only with attributes.
    assert ("TargetCapacityUnitType" in request["TargetCapacitySpecification"]) is bool(capacity.cores)
    assert {tags["ResourceType"] for tags in request["TagSpecifications"]} == {"fleet", "instance"}


def arguments(capacity: Capacity) -> dict[str, Any]:
    return fleet_arguments(capacity, "token", ("lt-1", "7"), ["subnet-a", "subnet-b"], {"Name": "annex a"})


COMMON = {
    "Type": "instant",
    "ClientToken": "token",
    "TagSpecifications": [
        {"ResourceType": "fleet", "Tags": [{"Key": "Name", "Value": "annex a"}]},
        {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "annex a"}]},
    ],
}


def configs(*overrides: dict[str, Any]) -> list[dict[str, Any]]:
    template = {"LaunchTemplateId": "lt-1", "Version": "7"}
    return [{"LaunchTemplateSpecification": template, "Overrides": list(overrides)}]


def test_machines_on_demand_are_those_of_the_lowest_price() -> None:
    assert arguments(Capacity(count=3, types=("c7i.large", "m7i.large"))) == COMMON | {
        "LaunchTemplateConfigs": configs(
            {"SubnetId": "subnet-a", "InstanceType": "c7i.large"},
            {"SubnetId": "subnet-a", "InstanceType": "m7i.large"},
            {"SubnetId": "subnet-b", "InstanceType": "c7i.large"},
            {"SubnetId": "subnet-b", "InstanceType": "m7i.large"},
        ),
        "TargetCapacitySpecification": {"TotalTargetCapacity": 3, "DefaultTargetCapacityType": "on-demand"},
        "OnDemandOptions": {"AllocationStrategy": "lowest-price"},
    }


def test_spot_machines_are_those_least_likely_to_be_taken_back_and_end_when_they_are() -> None:
    assert arguments(Capacity(count=1, types=("c7i.large",), spot=True)) == COMMON | {
        "LaunchTemplateConfigs": configs(
            {"SubnetId": "subnet-a", "InstanceType": "c7i.large"},
            {"SubnetId": "subnet-b", "InstanceType": "c7i.large"},
        ),
        "TargetCapacitySpecification": {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "spot"},
        "SpotOptions": {
            "AllocationStrategy": "price-capacity-optimized",
            "InstanceInterruptionBehavior": "terminate",
        },
    }


def test_cores_are_asked_for_by_attributes_and_on_the_spot_market_cost_no_more_than_on_demand() -> None:
    fits = {
        "VCpuCount": {"Min": 1, "Max": 20},
        "MemoryMiB": {"Min": 1536},
        "MemoryGiBPerVCpu": {"Min": 1.5},
        "InstanceGenerations": ["current"],
        "AcceleratorCount": {"Max": 0},
    }
    target = {"TotalTargetCapacity": 20, "TargetCapacityUnitType": "vcpu"}
    cores = arguments(Capacity(cores=20, memory_per_core=1536))
    assert cores["TargetCapacitySpecification"] == target | {"DefaultTargetCapacityType": "on-demand"}
    assert cores["LaunchTemplateConfigs"] == configs(
        {"SubnetId": "subnet-a", "InstanceRequirements": fits}, {"SubnetId": "subnet-b", "InstanceRequirements": fits}
    )
    spot = arguments(Capacity(cores=20, memory_per_core=1536, spot=True))
    capped = fits | {"MaxSpotPriceAsPercentageOfOptimalOnDemandPrice": 100}
    assert spot["TargetCapacitySpecification"] == target | {"DefaultTargetCapacityType": "spot"}
    assert spot["LaunchTemplateConfigs"] == configs(
        {"SubnetId": "subnet-a", "InstanceRequirements": capped},
        {"SubnetId": "subnet-b", "InstanceRequirements": capped},
    )


def test_a_single_core_may_come_with_a_second() -> None:
    assert Capacity(cores=1).requirements()["VCpuCount"] == {"Min": 1, "Max": 2}


@pytest.mark.parametrize(
    ("capacity", "text"),
    [
        (Capacity(count=2), "2 machines on demand"),
        (Capacity(count=2, spot=True), "2 machines spot"),
        (Capacity(cores=64, spot=True), "64 cores spot"),
    ],
)
def test_a_capacity_reads_as_a_sentence_has_it(capacity: Capacity, text: str) -> None:
    assert str(capacity) == text


def test_what_started_counts_in_the_unit_that_was_asked_for() -> None:
    started = {"a.large": 2, "a.xlarge": 1}
    sizes = {"a.large": 2, "a.xlarge": 4}
    assert Capacity(count=5).reached(started, {}) == 3
    assert Capacity(cores=10).reached(started, sizes) == 8
    assert Capacity(cores=10).reached(started, {"a.large": 2}) is None


@given(CAPACITIES, st.lists(st.integers(1, 128), min_size=1))
def test_no_choice_of_aws_costs_more_than_the_estimate_or_brings_fewer_cores(
    capacity: Capacity, sizes: list[int]
) -> None:
    machines = [InstanceType(f"t{number}", size, 1024) for number, size in enumerate(sizes)]
    prices = {machine.name: Decimal(machine.vcpus) / 20 for machine in machines}
    expected = estimate(capacity, machines, prices)
    assert expected.dearest is not None
    for machine in machines:
        count = math.ceil(capacity.cores / machine.vcpus) if capacity.cores else capacity.count
        assert expected.machines[0] <= count <= expected.machines[1]
        assert count * prices[machine.name] <= expected.dearest
        assert capacity.cores <= count * machine.vcpus <= expected.vcpus


def test_an_estimate_names_the_least_and_the_most_of_each() -> None:
    machines = [InstanceType("a.large", 2, 8192), InstanceType("a.2xlarge", 8, 32768)]
    prices = {"a.large": Decimal("0.1"), "a.2xlarge": Decimal("0.5")}
    assert estimate(Capacity(cores=10), machines, prices) == Estimate((2, 5), 16, Decimal("0.5"), Decimal("1.0"))


def test_a_type_without_a_price_leaves_the_most_unknown() -> None:
    machines = [InstanceType("a.large", 2, 1024), InstanceType("b.large", 2, 1024)]
    expected = estimate(Capacity(count=3, types=("a.large", "b.large")), machines, {"a.large": Decimal("0.1")})
    assert (expected.cheapest, expected.dearest) == (Decimal("0.3"), None)


@pytest.mark.parametrize(
    ("name", "standard"),
    [
        *[
            ("m7i.large", True),
            ("t3.micro", True),
            ("im4gn.large", True),
            ("hpc7a.96xlarge", False),
            ("x8i.large", False),
        ],
        *[("g6.xlarge", False), ("p5.48xlarge", False), ("trn1.2xlarge", False), ("mac2.metal", False)],
    ],
)
def test_only_standard_families_share_the_quota(name: str, standard: bool) -> None:
    assert InstanceType(name, 2, 1024).is_standard is standard
