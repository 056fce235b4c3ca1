"""A capacity becomes types, one request for a fleet, and a price that is never exceeded."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import botocore.session
import pytest
from botocore.validate import validate_parameters
from hypothesis import assume, given
from hypothesis import strategies as st

from annex_bootstrap.machines.capacity import (
    Capacity,
    Estimate,
    choose_types,
    estimate,
    fleet_arguments,
    price_caps,
)
from annex_bootstrap.machines.instance_types import InstanceType
from annex_bootstrap.machines.prices import Prices

SHAPE = botocore.session.Session().get_service_model("ec2").operation_model("CreateFleet").input_shape

SIZES = st.sampled_from([1, 2, 4, 8, 16, 32, 48, 64, 96, 192])
MACHINES = st.lists(
    st.builds(
        lambda number, vcpus: InstanceType(f"m{number}i.x{vcpus}", vcpus, vcpus * 4096), st.integers(1, 9), SIZES
    ),
    min_size=1,
    unique=True,
)
CAPACITIES = st.one_of(
    st.builds(Capacity, count=st.integers(1, 1000), spot=st.booleans()),
    st.builds(Capacity, cores=st.integers(1, 20000), spot=st.booleans()),
)
SUBNETS = st.lists(st.sampled_from(["subnet-a", "subnet-b", "subnet-c"]), min_size=1, unique=True)
NO_EXTRAS = Decimal(0)

LARGE, XLARGE = InstanceType("c7i.large", 2, 4096), InstanceType("c7i.xlarge", 4, 8192)


@given(CAPACITIES, MACHINES, SUBNETS)
def test_every_request_is_one_that_ec2_takes(
    capacity: Capacity, machines: list[InstanceType], subnets: list[str]
) -> None:
    caps = {machine.name: Decimal("0.0992") for machine in machines}
    tags = {"htcondor:AnnexName": "a"}
    request = fleet_arguments(capacity, machines, caps, "0" * 32, ("lt-1", "7"), subnets, tags, "arn:stack")
    assert SHAPE is not None
    validate_parameters(request, SHAPE)
    (config,) = request["LaunchTemplateConfigs"]
    # A number: the default version stays at the first, whatever the stack's updates add.
    assert config["LaunchTemplateSpecification"]["Version"] == "7"
    overrides = config["Overrides"]
    assert [(override["InstanceType"], override["SubnetId"]) for override in overrides] == [
        (machine.name, subnet) for machine in machines for subnet in subnets
    ]
    weights = [machine.vcpus if capacity.cores else None for machine in machines for _ in subnets]
    assert [override.get("WeightedCapacity") for override in overrides] == weights
    assert all(("MaxPrice" in override) is capacity.spot for override in overrides)
    # EC2 takes the unit only with attributes.
    assert "TargetCapacityUnitType" not in request["TargetCapacitySpecification"]
    assert sorted(tags["ResourceType"] for tags in request["TagSpecifications"]) == [
        *("fleet", "instance", "network-interface", "volume"),
    ]


def arguments(capacity: Capacity, *machines: InstanceType) -> dict[str, Any]:
    caps = {"c7i.large": Decimal("0.08925"), "c7i.xlarge": Decimal("0.1785")}
    subnets = ["subnet-a", "subnet-b"]
    return fleet_arguments(capacity, machines, caps, "token", ("lt-1", "7"), subnets, {"Name": "annex a"}, "arn:stack")


COMMON = {
    "Type": "instant",
    "ClientToken": "token",
    "TagSpecifications": [
        {
            "ResourceType": "fleet",
            "Tags": [{"Key": "Name", "Value": "annex a"}, {"Key": "annex-bootstrap:stack", "Value": "arn:stack"}],
        },
        {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "annex a"}]},
        *(
            {
                "ResourceType": kind,
                "Tags": [{"Key": "Name", "Value": "annex a"}, {"Key": "annex-bootstrap:stack", "Value": "arn:stack"}],
            }
            for kind in ("volume", "network-interface")
        ),
    ],
}
SPOT = {"AllocationStrategy": "price-capacity-optimized", "InstanceInterruptionBehavior": "terminate"}


def configs(*overrides: dict[str, Any]) -> list[dict[str, Any]]:
    template = {"LaunchTemplateId": "lt-1", "Version": "7"}
    return [{"LaunchTemplateSpecification": template, "Overrides": list(overrides)}]


def test_machines_on_demand_are_those_of_the_lowest_price() -> None:
    assert arguments(Capacity(count=3), LARGE, XLARGE) == COMMON | {
        "LaunchTemplateConfigs": configs(
            {"SubnetId": "subnet-a", "InstanceType": "c7i.large"},
            {"SubnetId": "subnet-b", "InstanceType": "c7i.large"},
            {"SubnetId": "subnet-a", "InstanceType": "c7i.xlarge"},
            {"SubnetId": "subnet-b", "InstanceType": "c7i.xlarge"},
        ),
        "TargetCapacitySpecification": {"TotalTargetCapacity": 3, "DefaultTargetCapacityType": "on-demand"},
        "OnDemandOptions": {"AllocationStrategy": "lowest-price"},
    }


def test_spot_machines_have_a_price_cap_and_end_when_they_are_taken_back() -> None:
    assert arguments(Capacity(count=1, spot=True), LARGE) == COMMON | {
        "LaunchTemplateConfigs": configs(
            {"SubnetId": "subnet-a", "InstanceType": "c7i.large", "MaxPrice": "0.08925"},
            {"SubnetId": "subnet-b", "InstanceType": "c7i.large", "MaxPrice": "0.08925"},
        ),
        "TargetCapacitySpecification": {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "spot"},
        "SpotOptions": SPOT,
    }


def test_cores_are_asked_for_by_weights_and_capped_by_the_price_of_one() -> None:
    on_demand = arguments(Capacity(cores=20), XLARGE)
    assert on_demand["TargetCapacitySpecification"] == {
        "TotalTargetCapacity": 20,
        "DefaultTargetCapacityType": "on-demand",
    }
    assert on_demand["LaunchTemplateConfigs"] == configs(
        {"SubnetId": "subnet-a", "InstanceType": "c7i.xlarge", "WeightedCapacity": 4.0},
        {"SubnetId": "subnet-b", "InstanceType": "c7i.xlarge", "WeightedCapacity": 4.0},
    )
    spot = arguments(Capacity(cores=20, spot=True), XLARGE)
    assert spot["LaunchTemplateConfigs"] == configs(
        # 0.1785 / 4, rounded down.
        {"SubnetId": "subnet-a", "InstanceType": "c7i.xlarge", "WeightedCapacity": 4.0, "MaxPrice": "0.04462"},
        {"SubnetId": "subnet-b", "InstanceType": "c7i.xlarge", "WeightedCapacity": 4.0, "MaxPrice": "0.04462"},
    )
    assert spot["SpotOptions"] == SPOT


def test_types_that_fit_cores_have_the_memory_and_no_accelerator() -> None:
    assert Capacity(cores=20, memory_per_core=1536).requirements() == {
        "VCpuCount": {"Min": 1, "Max": 20},
        "MemoryMiB": {"Min": 1536},
        "MemoryGiBPerVCpu": {"Min": 1.5},
        "InstanceGenerations": ["current"],
        "AcceleratorCount": {"Max": 0},
    }
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


def per_core(*machines: InstanceType, dollars: str = "0.05") -> dict[str, Decimal]:
    return {machine.name: machine.vcpus * Decimal(dollars) for machine in machines}


@given(st.integers(1, 20000), MACHINES, st.one_of(st.none(), st.integers(0, 5000)), st.booleans())
def test_cores_are_never_more_than_one_machine_too_many(
    cores: int, machines: list[InstanceType], room: int | None, spot: bool
) -> None:
    capacity, price = Capacity(cores=cores, spot=spot), per_core(*machines)
    chosen = choose_types(capacity, machines, Prices(price, price if spot else None), room, NO_EXTRAS)
    assert chosen
    assert len({machine.vcpus for machine in chosen}) == 1
    assert math.ceil(cores / chosen[0].vcpus) * chosen[0].vcpus < cores + chosen[0].vcpus


def test_200_cores_do_not_become_384() -> None:
    machines = [InstanceType("c7a.48xlarge", 192, 393216), InstanceType("c7a.2xlarge", 8, 16384)]
    chosen = choose_types(Capacity(cores=200), machines, Prices(per_core(*machines)), None, Decimal("0.005"))
    assert [machine.name for machine in chosen] == ["c7a.2xlarge"]


def test_many_cores_are_few_large_machines_for_each_costs_an_address_too() -> None:
    machines = [InstanceType("c7a.48xlarge", 192, 393216), InstanceType("c7a.large", 2, 4096)]
    chosen = choose_types(Capacity(cores=19200), machines, Prices(per_core(*machines)), None, Decimal("0.005"))
    assert [machine.name for machine in chosen] == ["c7a.48xlarge"]


def test_a_size_that_the_quota_has_room_for_comes_first() -> None:
    machines = [InstanceType("c7a.16xlarge", 64, 131072), InstanceType("c7a.large", 2, 4096)]
    price = {"c7a.16xlarge": Decimal(1), "c7a.large": Decimal("0.1")}
    capacity = Capacity(cores=513)
    cheap = choose_types(capacity, machines, Prices(price), None, NO_EXTRAS)
    assert [machine.name for machine in cheap] == ["c7a.16xlarge"]
    fitting = choose_types(capacity, machines, Prices(price), 520, NO_EXTRAS)
    assert [machine.name for machine in fitting] == ["c7a.large"]


def test_exotic_types_and_types_without_a_price_are_left_out() -> None:
    machines = [LARGE, InstanceType("hpc7a.large", 2, 4096), InstanceType("m7i.large", 2, 8192)]
    price = {"c7i.large": Decimal("0.09"), "hpc7a.large": Decimal("0.01")}
    assert choose_types(Capacity(cores=8), machines, Prices(price), None, NO_EXTRAS) == [LARGE]


def test_on_demand_what_costs_a_fifth_more_than_the_cheapest_is_left_out() -> None:
    machines = [InstanceType(f"{name}.large", 2, 8192) for name in ("c7i", "m7i", "r7i")]
    price = {"c7i.large": Decimal("0.10"), "m7i.large": Decimal("0.12"), "r7i.large": Decimal("0.121")}
    chosen = choose_types(Capacity(cores=8), machines, Prices(price), None, NO_EXTRAS)
    assert [machine.name for machine in chosen] == ["c7i.large", "m7i.large"]


def test_on_the_spot_market_what_is_below_the_cheapest_on_demand_is_taken_and_capped_there() -> None:
    machines = [InstanceType(f"{name}.large", 2, 8192) for name in ("c7i", "m7i", "r7i")]
    demand = {"c7i.large": Decimal("0.10"), "m7i.large": Decimal("0.12"), "r7i.large": Decimal("0.15")}
    spot = {"c7i.large": Decimal("0.09"), "m7i.large": Decimal("0.04"), "r7i.large": Decimal("0.11")}
    capacity = Capacity(cores=8, spot=True)
    chosen = choose_types(capacity, machines, Prices(demand, spot), None, NO_EXTRAS)
    assert [machine.name for machine in chosen] == ["m7i.large", "c7i.large"]
    assert price_caps(capacity, chosen, Prices(demand, spot)) == {
        "m7i.large": Decimal("0.10"),
        "c7i.large": Decimal("0.10"),
    }


def test_machines_of_given_types_are_capped_each_by_its_price_on_demand() -> None:
    prices = Prices({"c7i.large": Decimal("0.10")}, {"c7i.large": Decimal("0.03"), "c7i.xlarge": Decimal("0.06")})
    assert price_caps(Capacity(count=1, spot=True), [LARGE, XLARGE], prices) == {"c7i.large": Decimal("0.10")}


@given(CAPACITIES, MACHINES)
def test_no_choice_of_aws_costs_more_than_the_estimate_or_brings_fewer_cores(
    capacity: Capacity, machines: list[InstanceType]
) -> None:
    assume(len({machine.name for machine in machines}) == len(machines))
    prices, extras = per_core(*machines), Decimal("0.01")
    expected = estimate(capacity, machines, prices, prices, extras)
    assert expected.dearest is not None
    assert expected.most is not None
    for machine in machines:
        count = math.ceil(capacity.cores / machine.vcpus) if capacity.cores else capacity.count
        assert expected.machines[0] <= count <= expected.machines[1]
        assert count * prices[machine.name] <= expected.dearest
        assert count * (prices[machine.name] + extras) <= expected.most
        assert capacity.cores <= count * machine.vcpus <= expected.vcpus


def test_an_estimate_names_the_least_and_the_most_of_each() -> None:
    machines = [LARGE, InstanceType("c7i.2xlarge", 8, 32768)]
    prices = {"c7i.large": Decimal("0.1"), "c7i.2xlarge": Decimal("0.5")}
    caps = {"c7i.large": Decimal("0.2"), "c7i.2xlarge": Decimal("0.6")}
    assert estimate(Capacity(cores=10), machines, prices, caps, Decimal("0.01")) == Estimate(
        machines=(2, 5), vcpus=16, cheapest=Decimal("0.5"), dearest=Decimal("1.0"), most=Decimal("1.22")
    )


def test_a_type_without_a_price_leaves_the_most_unknown() -> None:
    prices = {"c7i.large": Decimal("0.1")}
    expected = estimate(Capacity(count=3), [LARGE, XLARGE], prices, prices, NO_EXTRAS)
    assert (expected.cheapest, expected.dearest, expected.most) == (Decimal("0.3"), None, None)


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
