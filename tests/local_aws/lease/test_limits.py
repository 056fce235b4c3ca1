"""A stack's limits on all its machines together: IAM refuses what it can, and the hourly check ends the rest."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from annex_contract.lease import SWEEP_EVENT
from annex_contract.stack import LogicalId, Output, sweep_rule_name
from local_aws.demo.annexes import Annex, AnnexUser
from tests.local_aws import stack
from tests.local_aws.lease.fleets import request_fleet
from tests.local_aws.stack import DeployedStack

HOUR = 3600
IMAGE = "ami-0123456789abcdef0"
NAME = "limited"

LIMITS = {
    "MaxCores": "8",
    "InstanceTypes": "m*.large,c7i.*",
    "MaxDollarsPerHour": "100",
    "NotificationEmail": "a@example.org",
}
"""A machine of the tests has two cores."""


@pytest.fixture(scope="module")
def deployed(root: boto3.Session, template: str, put_template: Callable[[str], str]) -> Iterator[DeployedStack]:
    """One stack with every limit; its check runs only when a test says so."""
    with stack.deployed(root, NAME, put_template(template), LIMITS) as made:
        root.client("events").disable_rule(Name=sweep_rule_name(NAME))
        yield made


@pytest.fixture
def user(root: boto3.Session, deployed: DeployedStack, user: AnnexUser) -> Iterator[AnnexUser]:
    """The same user, whose machines end with the test."""
    yield user
    running: list[Any] = [
        {"Name": "iam-instance-profile.arn", "Values": [deployed.outputs["InstanceConfigurationProfile"]]}
    ]
    ec2 = root.client("ec2")
    left = [
        each["InstanceId"]
        for held in ec2.describe_instances(Filters=running)["Reservations"]
        for each in held["Instances"]
    ]
    ec2.terminate_instances(InstanceIds=left)


def start_first(user: AnnexUser, name: str, count: int) -> Annex:
    """Start an annex that is older than what starts next: EC2 says only in which second a machine started."""
    annex = user.start(name, count, HOUR, IMAGE)
    time.sleep(1 - time.time() % 1 + 0.1)
    return annex


def sweep(root: boto3.Session, deployed: DeployedStack) -> dict[str, Any]:
    """Run the deployed function, with its own role, as its hourly rule does."""
    answer = root.client("lambda").invoke(
        FunctionName=deployed.outputs[Output.LEASE_FUNCTION_ARN], Payload=json.dumps(SWEEP_EVENT).encode()
    )
    found: dict[str, Any] = json.loads(answer["Payload"].read())
    return found


def logged(root: boto3.Session) -> list[dict[str, Any]]:
    """Return the lines of the function's log, decoded, the latest last."""
    logs = root.client("logs")
    (group,) = [
        group["logGroupName"]
        for group in logs.describe_log_groups()["logGroups"]
        if f"{NAME}-LeaseFunctionLogs" in group["logGroupName"]
    ]
    texts = [event["message"] for event in logs.filter_log_events(logGroupName=group)["events"]]
    return [json.loads(text) for text in texts if text.startswith("{")]


def test_cores_beyond_the_limit_end_the_newest_annex_first_in_log_metric_and_mail(
    root: boto3.Session, deployed: DeployedStack, user: AnnexUser
) -> None:
    first = start_first(user, "first", 3)
    assert sweep(root, deployed)["beyond_limits"] == {}
    second = user.start("second", 3, HOUR, IMAGE)
    said = sweep(root, deployed)
    assert said["errorMessage"] == "ended 2 machines beyond MaxCores, of the annexes second"
    assert (user.running(first), user.running(second)) == (3, 1)
    lines = logged(root)
    (said_so,) = [line["beyond_limits"] for line in lines if line.get("beyond_limits")]
    assert (list(said_so), {*said_so["MaxCores"]} < {*second.instance_ids}) == (["MaxCores"], True)
    assert [line["MachinesBeyondLimits"] for line in lines if line.get("MachinesBeyondLimits", [0]) != [0]] == [[2.0]]
    # What mails is the alarm that counts the function's errors.
    alarms = root.client("cloudwatch").describe_alarms()["MetricAlarms"]
    (alarm,) = [each for each in alarms if each["AlarmName"].startswith(f"{NAME}-{LogicalId.LEASE_ALARM}")]
    function = deployed.outputs[Output.LEASE_FUNCTION_ARN].rpartition(":")[2]
    assert (alarm["MetricName"], alarm["Dimensions"]) == ("Errors", [{"Name": "FunctionName", "Value": function}])
    assert [action.split(":")[2] for action in alarm["AlarmActions"]] == ["sns"]
    # It holds: a second check finds nothing.
    assert sweep(root, deployed)["beyond_limits"] == {}
    assert (user.running(first), user.running(second)) == (3, 1)


def test_a_spot_fleet_beyond_the_limit_ends_and_starts_nothing_again(
    root: boto3.Session, deployed: DeployedStack, user: AnnexUser
) -> None:
    annex = start_first(user, "before", 3)
    user.set_lease("fleet", HOUR)
    fleet = request_fleet(user, "fleet")
    assert sweep(root, deployed)["errorMessage"] == "ended 2 machines beyond MaxCores, of the annexes fleet"
    ec2 = root.client("ec2")
    (described,) = ec2.describe_spot_fleet_requests(SpotFleetRequestIds=[fleet])["SpotFleetRequestConfigs"]
    assert described["SpotFleetRequestState"].startswith("cancelled")
    assert user.running(annex) == 3
    assert sweep(root, deployed)["beyond_limits"] == {}


def test_iam_refuses_other_types_and_the_check_ends_what_others_start_of_them(
    root: boto3.Session, deployed: DeployedStack, user: AnnexUser
) -> None:
    with pytest.raises(ClientError, match=r"UnauthorizedOperation.*ec2:RunInstances"):
        user.start("refused", 1, HOUR, IMAGE, "t3.micro")
    allowed = user.start("allowed", 1, HOUR, IMAGE)
    # Somebody with more rights than the stack gives.
    other = AnnexUser(root, deployed.outputs).start("other", 1, HOUR, IMAGE, "t3.micro")
    assert sweep(root, deployed)["errorMessage"] == "ended 1 machines beyond InstanceTypes, of the annexes other"
    assert (user.running(allowed), user.running(other)) == (1, 0)
