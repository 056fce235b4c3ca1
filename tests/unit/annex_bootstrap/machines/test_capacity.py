"""What somebody wants becomes one request for a fleet, and a price that is never exceeded."""

from __future__ import annotations

import math
from decimal import Decimal

import botocore.session
import pytest
from botocore.validate import validate_parameters
from hypothesis import given
from hypothesis import strategies as st

from annex_bootstrap.machines.capacity import Wanted, estimate, fleet_request
from annex_bootstrap.machines.instance_types import InstanceType
from annex_bootstrap.machines.offers import is_standard

SHAPE = botocore.session.Session().get_service_model("ec2").operation_model("CreateFleet").input_shape

WANTED = st.one_of(
    st.builds(
        Wanted,
        count=st.integers(1, 1000),
        types=st.lists(st.sampled_from(["c7i.large", "m7i.large"]), min_size=1, unique=True).map(tuple),
        spot=st.booleans(),
    ),
    st.builds(Wanted, cores=st.integers(1, 5000), memory_per_core=st.integers(512, 16384), spot=st.booleans()),
)
SUBNETS = st.lists(st.sampled_from(["subnet-a", "subnet-b", "subnet-c"]), min_size=1, unique=True)


@given(WANTED, SUBNETS)
def test_every_request_is_one_that_ec2_takes(wanted: Wanted, subnets: list[str]) -> None:
    request = fleet_request(wanted, "0" * 32, ("lt-1", "7"), subnets, {"htcondor:AnnexName": "a"})
    assert SHAPE is not None
    validate_parameters(request, SHAPE)
    (config,) = request["LaunchTemplateConfigs"]
    # A number: the default version stays at the first, whatever the stack's updates add.
    assert config["LaunchTemplateSpecification"]["Version"] == "7"
    overrides = config["Overrides"]
    assert {override["SubnetId"] for override in overrides} == set(subnets)
    for override in overrides:
        assert ("InstanceType" in override) is not ("InstanceRequirements" in override)
    # EC2 takes the unit with attributes alone.
    assert ("TargetCapacityUnitType" in request["TargetCapacitySpecification"]) is bool(wanted.cores)
    assert {tags["ResourceType"] for tags in request["TagSpecifications"]} == {"fleet", "instance"}


@given(WANTED, st.lists(st.integers(1, 128), min_size=1))
def test_no_choice_of_aws_costs_more_than_the_estimate_or_brings_fewer_cores(wanted: Wanted, sizes: list[int]) -> None:
    machines = [InstanceType(f"t{number}", size, 1024) for number, size in enumerate(sizes)]
    prices = {machine.name: Decimal(machine.vcpus) / 20 for machine in machines}
    come_to = estimate(wanted, machines, prices)
    assert come_to.dearest is not None
    for machine in machines:
        count = math.ceil(wanted.cores / machine.vcpus) if wanted.cores else wanted.count
        assert come_to.machines[0] <= count <= come_to.machines[1]
        assert count * prices[machine.name] <= come_to.dearest
        assert wanted.cores <= count * machine.vcpus <= come_to.vcpus


def test_a_type_without_a_price_leaves_the_most_unknown() -> None:
    machines = [InstanceType("a.large", 2, 1024), InstanceType("b.large", 2, 1024)]
    come_to = estimate(Wanted(count=3, types=("a.large", "b.large")), machines, {"a.large": Decimal("0.1")})
    assert (come_to.cheapest, come_to.dearest) == (Decimal("0.3"), None)


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
    assert is_standard(name) is standard
