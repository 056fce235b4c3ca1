"""Names of stacks, and partitions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_contract.stack import (
    DEFAULT_STACK_NAME,
    LONGEST_STACK_NAME,
    Parameter,
    partition_problem,
    stack_name_problem,
)
from tests.template import template

LIMITS = {
    "AWS::IAM::Role": ("RoleName", 64),
    "AWS::IAM::ManagedPolicy": ("ManagedPolicyName", 128),
    "AWS::Lambda::Function": ("FunctionName", 64),
    "AWS::Logs::LogGroup": ("LogGroupName", 512),
    "AWS::Events::Rule": ("Name", 64),
    "AWS::CloudWatch::Alarm": ("AlarmName", 255),
    "AWS::SNS::Topic": ("TopicName", 256),
    "AWS::EC2::KeyPair": ("KeyName", 255),
    "AWS::EC2::LaunchTemplate": ("LaunchTemplateName", 128),
}
"""The property that names a resource, and the characters that its service allows. Sources: the quotas pages and API
references of IAM, Lambda, CloudWatch Logs, EventBridge, CloudWatch, SNS and EC2."""

UNNAMED = {"AWS::IAM::RolePolicy", "AWS::Lambda::EventInvokeConfig", "AWS::Lambda::Permission"}
"""Types whose names CloudFormation does not make up."""

GUIDE = "HTCondorLeaseImplementation"
"""The stack's name in HTCondor's guide of 8.7.0."""

SUFFIX = 13
"""Characters that CloudFormation adds at most."""


def test_no_name_that_cloudformation_makes_up_is_cut_with_the_longest_name_of_a_stack() -> None:
    spare = []
    for logical_id, resource in template()["Resources"].items():
        kind = resource["Type"]
        if kind in UNNAMED or kind.startswith("Custom::"):
            continue
        name_property, limit = LIMITS[kind]
        if name_property not in resource["Properties"]:
            spare.append(limit - len(f"-{logical_id}-") - SUFFIX - LONGEST_STACK_NAME)
    # The limit is the largest with which that holds.
    assert min(spare) == 0


@pytest.mark.parametrize(
    "name", [DEFAULT_STACK_NAME, "a", "Pool-2", "a" * LONGEST_STACK_NAME, "a-b-c", GUIDE, "a-Policies", "LeaseFunction"]
)
def test_a_name_that_stays_whole_is_taken(name: str) -> None:
    assert stack_name_problem(name) == ""


@pytest.mark.parametrize("name", ["", "1st", "a--b", "a-", "-a", "a_b", "a" * 29, "\u00e9t\u00e9", "a b", "a\n"])
def test_a_name_that_cloudformation_refuses_or_changes_is_refused_with_the_number(name: str) -> None:
    assert "at most 28 letters" in stack_name_problem(name)


def test_no_name_of_a_resource_is_part_of_a_stacks_name() -> None:
    # What policies name by the stack's name and the logical ID. Launch templates and key pairs they do not.
    for logical_id, resource in template()["Resources"].items():
        if LIMITS.keys() - {"AWS::EC2::KeyPair", "AWS::EC2::LaunchTemplate"} >= {resource["Type"]}:
            assert len(name := f"a-{logical_id}") <= LONGEST_STACK_NAME
            assert "ends like the name of a stack's resource" in stack_name_problem(name)
            assert stack_name_problem(f"{name}-b") != ""


@given(st.text("aZ9-", max_size=32))
def test_what_is_taken_begins_with_a_letter_and_has_only_single_hyphens_between(name: str) -> None:
    stays_whole = bool(name) and name[0].isalpha() and all(name.split("-")) and len(name) <= LONGEST_STACK_NAME
    assert (stack_name_problem(name) == "") == stays_whole


def test_only_partitions_whose_host_names_condor_annex_builds_are_taken() -> None:
    assert partition_problem("aws") == partition_problem("aws-us-gov") == ""
    for partition in ("aws-cn", "aws-eusc", "aws-iso"):
        assert f"cannot use the partition {partition}" in partition_problem(partition)


def test_every_parameter_of_the_template_has_its_name_here_and_no_other() -> None:
    assert {str(parameter) for parameter in Parameter} == template()["Parameters"].keys()
