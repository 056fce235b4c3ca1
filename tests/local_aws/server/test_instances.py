"""Instances: client tokens, filters, pages and termination protection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from local_aws.server_settings import CONSOLE
from tests.local_aws.server.ec2_requests import (
    found,
    instance_tags,
    refusal,
    run,
)
from tests.local_aws.server.principals import Server

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


def test_a_repeated_token_starts_nothing_and_answers_with_the_same_machines(ec2: EC2Client) -> None:
    first = run(ec2, 3, "lab_1")
    assert run(ec2, 3, "lab_1") == first
    assert len(found(ec2)) == len(first) == 3


def test_a_repeated_token_with_other_parameters_is_refused(ec2: EC2Client) -> None:
    run(ec2, 1, "lab_1")
    with pytest.raises(ClientError) as error:
        run(ec2, 2, "lab_1")
    assert refusal(error) == "IdempotentParameterMismatch"


def test_a_token_of_another_region_is_another_token(server: Server, ec2: EC2Client) -> None:
    assert run(ec2, 1, "lab_1") != run(server.ec2(region="test-other-1"), 1, "lab_1")


def test_a_machine_description_has_its_token(ec2: EC2Client) -> None:
    (machine,) = run(ec2, 1, "lab_<1>")
    answer = ec2.describe_instances(InstanceIds=[machine])
    assert answer["Reservations"][0]["Instances"][0]["ClientToken"] == "lab_<1>"


@pytest.mark.parametrize(
    ("pattern", "tokens"),
    [
        ("test_*", {"test_1", "test_2"}),
        ("test?1", {"test_1", "test*1"}),
        (r"test\*1", {"test*1"}),
        ("TEST_1", set()),
        ("test", set()),
    ],
)
def test_client_tokens_match_with_wildcards(ec2: EC2Client, pattern: str, tokens: set[str]) -> None:
    machines = {token: set(run(ec2, 1, token)) for token in ("test_1", "test_2", "test*1", "test2_1")}
    assert found(ec2, ("client-token", pattern)) == set().union(*(machines[token] for token in tokens))


def test_tags_match_with_wildcards_and_filters_add_up(ec2: EC2Client) -> None:
    lab, library = (run(ec2, TagSpecifications=instance_tags(name))[0] for name in ("lab", "library"))
    assert found(ec2, ("tag:htcondor:AnnexName", "l*b*")) == {lab, library}
    assert found(ec2, ("tag:htcondor:AnnexName", "lab"), ("tag-key", "htcondor:*")) == {lab}
    ec2.terminate_instances(InstanceIds=[lab])
    assert found(ec2, ("instance-state-name", "running")) == {library}


def test_profile_group_and_vpc_are_filters(ec2: EC2Client) -> None:
    group = ec2.create_security_group(GroupName="g", Description="d")["GroupId"]
    arn = "arn:aws:iam::000000000000:instance-profile/p"
    (machine,) = run(ec2, SecurityGroupIds=[group], IamInstanceProfile={"Arn": arn})
    run(ec2)
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    for name, value in [
        ("iam-instance-profile.arn", arn),
        ("instance.group-id", group),
        ("network-interface.group-id", group),
    ]:
        assert found(ec2, (name, value), ("vpc-id", vpc)) == {machine}
    assert found(ec2, ("vpc-id", "vpc-0")) == set()


def test_an_unknown_filter_is_refused(ec2: EC2Client) -> None:
    with pytest.raises(ClientError, match="The filter 'annex' is invalid") as error:
        found(ec2, ("annex", "lab"))
    assert refusal(error) == "InvalidParameterValue"


def test_a_page_of_fewer_than_five_is_refused(ec2: EC2Client) -> None:
    with pytest.raises(ClientError) as error:
        ec2.describe_instances(MaxResults=4)
    assert refusal(error) == "InvalidParameterValue"


def test_no_machine_is_skipped_when_those_of_the_previous_page_are_terminated(ec2: EC2Client) -> None:
    machines = set(run(ec2, 12))
    seen: set[str] = set()
    state: list[Any] = [{"Name": "instance-state-name", "Values": ["running"]}]
    pages = 0
    paginator = ec2.get_paginator("describe_instances")
    for page in paginator.paginate(Filters=state, PaginationConfig={"PageSize": 5}):
        ids = [i["InstanceId"] for r in page["Reservations"] for i in r["Instances"]]
        ec2.terminate_instances(InstanceIds=ids)
        seen |= set(ids)
        pages += 1
    assert (seen, pages) == (machines, 3)


def test_a_protected_machine_is_not_terminated_until_its_protection_is_removed(ec2: EC2Client) -> None:
    kept, other = run(ec2, 2)
    ec2.modify_instance_attribute(InstanceId=kept, DisableApiTermination={"Value": True})
    attribute = ec2.describe_instance_attribute(InstanceId=kept, Attribute="disableApiTermination")
    assert attribute["DisableApiTermination"] == {"Value": True}
    with pytest.raises(ClientError) as error:
        ec2.terminate_instances(InstanceIds=[other, kept])
    assert refusal(error) == "OperationNotPermitted"
    assert found(ec2, ("instance-state-name", "running")) == {kept, other}
    ec2.modify_instance_attribute(InstanceId=kept, Attribute="disableApiTermination", Value="false")
    ec2.terminate_instances(InstanceIds=[other, kept])
    assert found(ec2, ("instance-state-name", "running")) == set()


def test_a_console_keeps_its_newest_64_kb(server: Server, ec2: EC2Client) -> None:
    (machine,) = run(ec2, 1)
    said = "old" + "x" * 65_533 + "new"
    server.client("ssm", ec2.meta.region_name).put_parameter(Name=CONSOLE + machine, Value=said, Type="String")
    assert ec2.get_console_output(InstanceId=machine)["Output"] == said[3:]
