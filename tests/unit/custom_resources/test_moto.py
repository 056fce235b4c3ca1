"""The custom resources against moto's EC2: an imitation of AWS by others than those who wrote the local AWS."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from crhelper import CfnResource
from moto import mock_aws

from annex_bootstrap.stack.resolve import resolve
from annex_contract.resources import CUSTOM_RESOURCES
from custom_resources import image_builder, lifecycle, security_group
from custom_resources.image_parts import name_of
from tests.stack_values import TEMPLATE, conditions_of, new_stack_id, values_of

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

HANDLERS = {"SecurityGroup": security_group.handler, "ImageBuilder": image_builder.handler}

NAMES = {resource.logical_id: resource.name_property for resource in CUSTOM_RESOURCES}


class Context:
    """A function that may run five minutes."""

    aws_request_id = "request"

    def get_remaining_time_in_millis(self) -> int:
        """All of it."""
        return 300_000


class Stack:
    """Sends the requests of one stack, as CloudFormation does."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        """Answer nobody but the test."""
        self.id = new_stack_id()
        self._patch = patch
        self._answers: list[dict[str, Any]] = []
        original = CfnResource._send  # type: ignore[attr-defined]  # private, and so not in crhelper's types

        def send(helper: Any, status: str | None = None, reason: str = "") -> None:
            original(helper, status, reason, send_response=lambda _url, body, _verify: self._answers.append(body))

        patch.setattr(CfnResource, "_send", send)
        self._now = 0.0
        patch.setattr(lifecycle, "sleep", self._pass)
        patch.setattr(lifecycle, "monotonic", lambda: self._now)

    def _pass(self, seconds: float) -> None:
        self._now += seconds

    def send(self, kind: str, resource: str, parameters: Mapping[str, str], **more: str) -> dict[str, Any]:
        """Send a request and return the answer."""
        values, conditions = values_of(self.id, parameters), conditions_of(parameters)
        function = TEMPLATE[f"{resource}Function"]["Properties"]
        for name, value in resolve(function["Environment"]["Variables"], values, conditions).items():
            self._patch.setenv(name, str(value))
        properties = resolve(TEMPLATE[resource]["Properties"], values, conditions)
        event = {
            "RequestType": kind,
            "RequestId": str(uuid.uuid4()),
            "StackId": self.id,
            "ResponseURL": "https://response.example.org/",
            "ResourceType": TEMPLATE[resource]["Type"],
            "LogicalResourceId": resource,
            "ResourceProperties": {
                name: value if isinstance(value, list) else str(value) for name, value in properties.items()
            },
            **more,
        }
        HANDLERS[resource](json.loads(json.dumps(event)), Context())
        (answer,) = self._answers
        self._answers.clear()
        return answer


@pytest.fixture(autouse=True)
def _moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack."""
    return Stack(monkeypatch)


@pytest.fixture
def ec2() -> EC2Client:
    """Moto's EC2."""
    return boto3.client("ec2")


def rules(ec2: EC2Client, group_id: str) -> set[tuple[int, str]]:
    """Return the ports of a group and to whom each is open."""
    (group,) = ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
    return {
        (permission["FromPort"], source)
        for permission in group["IpPermissions"]
        for source in [
            *(each["CidrIp"] for each in permission["IpRanges"]),
            *(each["CidrIpv6"] for each in permission["Ipv6Ranges"]),
        ]
    }


def test_a_security_group_is_made_once_changed_and_deleted(stack: Stack, ec2: EC2Client) -> None:
    before = {group["GroupId"] for group in ec2.describe_security_groups()["SecurityGroups"]}
    made = stack.send("Create", "SecurityGroup", {})
    assert (made["Status"], made["Reason"]) == ("SUCCESS", "")
    group_id = made["Data"]["GroupId"]
    assert rules(ec2, group_id) == {(9618, "0.0.0.0/0"), (22, "0.0.0.0/0")}
    assert stack.send("Create", "SecurityGroup", {})["Data"] == made["Data"]

    closed = {"CondorCidrs": "192.0.2.0/24,2001:db8::/32", "SshCidrs": ""}
    changed = stack.send("Update", "SecurityGroup", closed, PhysicalResourceId=made["PhysicalResourceId"])
    assert (changed["Status"], changed["Data"]) == ("SUCCESS", made["Data"])
    assert rules(ec2, group_id) == {(9618, "192.0.2.0/24"), (9618, "2001:db8::/32")}

    gone = stack.send("Delete", "SecurityGroup", closed, PhysicalResourceId=made["PhysicalResourceId"])
    assert gone["Status"] == "SUCCESS"
    assert {group["GroupId"] for group in ec2.describe_security_groups()["SecurityGroups"]} == before


def test_another_stacks_group_of_that_name_is_not_deleted(stack: Stack, ec2: EC2Client) -> None:
    name = resolve(TEMPLATE["SecurityGroup"]["Properties"], values_of(stack.id, {}), conditions_of({}))["GroupName"]
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    other = ec2.create_security_group(GroupName=name, Description="made up", VpcId=vpc)["GroupId"]
    assert stack.send("Delete", "SecurityGroup", {}, PhysicalResourceId=name)["Status"] == "SUCCESS"
    assert ec2.describe_security_groups(GroupIds=[other])["SecurityGroups"]


def test_a_builder_that_is_left_is_terminated_and_no_other_machine(stack: Stack, ec2: EC2Client) -> None:
    properties = resolve(TEMPLATE["ImageBuilder"]["Properties"], values_of(stack.id, {}), conditions_of({}))
    name = name_of(properties)
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    own, default = (
        ec2.create_security_group(GroupName=name, Description="made up", VpcId=vpc)["GroupId"],
        ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["default"]}])["SecurityGroups"][0][
            "GroupId"
        ],
    )
    # The tags are anybody's: only the builder is alone in the builder's group.
    builder, other, tagged = (
        ec2.run_instances(
            ImageId=ec2.describe_images()["Images"][0]["ImageId"],
            MinCount=1,
            MaxCount=1,
            SecurityGroupIds=[group],
            TagSpecifications=[
                {
                    "ResourceType": "instance",
                    "Tags": [
                        {"Key": "annex-bootstrap:stack", "Value": stack_id},
                        {"Key": "annex-bootstrap:image", "Value": name},
                    ],
                }
            ],
        )["Instances"][0]["InstanceId"]
        for stack_id, group in ((stack.id, own), (new_stack_id(), own), (stack.id, default))
    )
    assert stack.send("Delete", "ImageBuilder", {}, PhysicalResourceId=name)["Status"] == "SUCCESS"
    states = {
        machine["InstanceId"]: machine["State"]["Name"]
        for held in ec2.describe_instances()["Reservations"]
        for machine in held["Instances"]
    }
    assert states == {builder: "terminated", other: "running", tagged: "running"}
