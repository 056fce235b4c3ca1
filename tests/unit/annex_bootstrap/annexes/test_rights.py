"""Whether somebody may start annexes: what EC2 is asked, and what its answers mean."""

from __future__ import annotations

from typing import Any

import pytest

from annex_bootstrap.annexes.rights import find_refusal
from annex_bootstrap.errors import AwsError, DeniedError
from tests.unit.annex_bootstrap.commands.conftest import a_stack
from tests.unit.recorded import Recorded, RefusedError

SUBNETS: dict[str, Any] = {
    "DescribeSecurityGroups": {"SecurityGroups": [{"GroupId": "sg-0a1b", "VpcId": "vpc-1"}]},
    "DescribeSubnets": {
        "Subnets": [
            {"SubnetId": "subnet-a", "VpcId": "vpc-1", "AvailabilityZone": "us-east-1a", "MapPublicIpOnLaunch": True}
        ]
    },
    "DescribeRouteTables": RefusedError("UnauthorizedOperation"),
}


def test_ec2_is_asked_for_a_machine_of_the_stack_in_the_callers_name_and_starts_none() -> None:
    aws = Recorded(**SUBNETS, RunInstances=RefusedError("DryRunOperation", status=412))
    assert find_refusal(aws.account(), a_stack(parameters={"Tag1": "project=x"})) is None
    (asked,) = aws.of("RunInstances")
    tags = asked.pop("TagSpecifications")
    assert asked.pop("ClientToken")
    assert asked == {
        "DryRun": True,
        "MinCount": 1,
        "MaxCount": 1,
        "InstanceType": "m7i.large",
        "LaunchTemplate": {"LaunchTemplateId": "lt-0a1b", "Version": "3"},
        "SubnetId": "subnet-a",
    }
    assert [each["ResourceType"] for each in tags] == ["instance", "volume"]
    assert [{tag["Key"]: tag["Value"] for tag in each["Tags"]} for each in tags] == 2 * [
        {
            "project": "x",
            "htcondor:AnnexName": "dry-run",
            "annex-bootstrap:request": "dry-run",
            "annex-bootstrap:started-by": "alice",
            "Name": "annex dry-run",
        }
    ]


@pytest.mark.parametrize(("code", "denied"), [("UnauthorizedOperation", True), ("InvalidParameterValue", False)])
def test_any_other_answer_is_why_not(code: str, denied: bool) -> None:
    refusal = find_refusal(Recorded(**SUBNETS, RunInstances=RefusedError(code)).account(), a_stack())
    assert isinstance(refusal, AwsError)
    assert (refusal.code, isinstance(refusal, DeniedError)) == (code, denied)


def test_whoever_may_not_see_the_subnets_may_not_start_in_them() -> None:
    aws = Recorded(DescribeSecurityGroups=RefusedError("UnauthorizedOperation"))
    assert isinstance(find_refusal(aws.account(), a_stack()), DeniedError)
    assert aws.names == ["DescribeSecurityGroups"]
