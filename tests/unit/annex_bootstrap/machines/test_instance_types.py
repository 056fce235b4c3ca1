"""Which instance types are asked for, with what arguments."""

from __future__ import annotations

import re

import pytest

from annex_bootstrap.errors import UnavailableError, UserError
from annex_bootstrap.machines.capacity import Capacity
from annex_bootstrap.machines.instance_types import InstanceType, describe_types, find_types
from tests.unit.annex_bootstrap.answers import answering, described_type
from tests.unit.recorded import Recorded, RefusedError


@pytest.mark.parametrize("architecture", ["x86_64", "arm64"])
def test_cores_are_looked_for_among_types_that_run_the_image(architecture: str) -> None:
    requirements = Capacity(cores=8).requirements()
    arguments = {
        "ArchitectureTypes": [architecture],
        "VirtualizationTypes": ["hvm"],
        "InstanceRequirements": requirements,
    }
    names = {"InstanceTypes": [{"InstanceType": "a.xlarge"}, {"InstanceType": "a.large"}]}
    described = {
        "InstanceTypes": [
            described_type("a.xlarge", 4, 8192, architecture),
            described_type("a.large", 2, 4096, architecture, special=True),
        ]
    }
    with answering(
        ec2=[
            ("get_instance_types_from_instance_requirements", arguments, names),
            ("describe_instance_types", {"InstanceTypes": ["a.xlarge", "a.large"]}, described),
        ]
    ) as account:
        assert find_types(account, requirements, architecture) == [
            InstanceType("a.large", 2, 4096, special=True),
            InstanceType("a.xlarge", 4, 8192),
        ]


def test_a_type_that_cannot_run_the_image_is_refused() -> None:
    described = {"InstanceTypes": [described_type("c7g.large", 2, 4096, "arm64")]}
    calls = [("describe_instance_types", {"InstanceTypes": ["c7g.large"]}, described)]
    with answering(ec2=calls) as account, pytest.raises(UserError, match="is for arm64, and the stack's image for x86"):
        describe_types(account, ["c7g.large"], "x86_64")


def test_many_types_are_described_in_as_many_calls_as_it_takes() -> None:
    names = [f"a{number}.large" for number in range(201)]
    calls = [
        (
            "describe_instance_types",
            {"InstanceTypes": batch},
            {"InstanceTypes": [described_type(name, 2, 4096) for name in batch]},
        )
        for batch in (names[:100], names[100:200], names[200:])
    ]
    with answering(ec2=calls) as account:
        assert [machine.name for machine in describe_types(account, names)] == sorted(names)


@pytest.mark.parametrize("types", ["gone.large", "gone.large also.gone"])
def test_a_type_that_the_region_has_not_is_named(types: str) -> None:
    aws = Recorded(DescribeInstanceTypes=RefusedError("InvalidInstanceType"))
    said = f"us-east-1 has no instance type {types.replace(' ', ', ')}: give another --type"
    with pytest.raises(UnavailableError, match=re.escape(said)):
        describe_types(aws.account(), types.split())


@pytest.mark.parametrize("family", ["a1", "c7g", "d3", "h1", "i4i", "im4gn", "is4gen", "m7i-flex", "r8g", "t4g", "z1d"])
def test_families_of_the_standard_quota_are_known_by_their_letters(family: str) -> None:
    assert InstanceType(f"{family}.large", 2, 8192).is_standard


@pytest.mark.parametrize("family", ["f1", "g6", "p5", "x2gd", "inf2", "trn1", "dl1", "vt1", "hpc7a", "u-6tb1", "mac2"])
def test_families_of_other_quotas_are_not_standard(family: str) -> None:
    assert not InstanceType(f"{family}.large", 2, 8192).is_standard
