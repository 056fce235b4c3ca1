"""The deployed lease function: the schedule calls it, and IAM lets it do what it needs and nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from annex_contract.lease import SWEEP_EVENT
from annex_contract.stack import ANNEX_TAG, Output
from lambda_lease import handler
from lambda_lease.clients import Clients
from lambda_lease.settings import Settings
from local_aws.demo.annexes import Annex, AnnexUser
from tests.lambda_context import CONTEXT
from tests.local_aws import stack
from tests.local_aws.lease.fleets import request_fleet
from tests.local_aws.stack import DeployedStack

HOUR = 3600
PATIENCE = 60
"""Seconds: sixty ticks of a schedule that fires every second."""


@pytest.fixture(scope="module")
def deployed(root: boto3.Session, template: str, put_template: Callable[[str], str]) -> Iterator[DeployedStack]:
    """One stack for all tests of this module; it ends orphans, and machines that run longer than two hours."""
    parameters = {"EndOrphans": "yes", "MaxLeaseHours": "2"}
    with stack.deployed(root, "leases", put_template(template), parameters) as made:
        yield made


def start(user: AnnexUser, name: str, seconds: int, count: int = 1) -> Annex:
    return user.start(name, count, seconds, "ami-0123456789abcdef0")


def eventually(holds: Callable[[], bool], what: str) -> None:
    for _ in range(PATIENCE * 5):
        if holds():
            return
        time.sleep(0.2)
    pytest.fail(f"{what} did not happen in {PATIENCE} s")


def has_rule(root: boto3.Session, annex_id: str) -> bool:
    return any(rule["Name"] == annex_id for rule in root.client("events").list_rules(NamePrefix=annex_id)["Rules"])


def keys(root: boto3.Session, deployed: DeployedStack) -> list[str]:
    listed = root.client("s3").list_objects_v2(Bucket=deployed.outputs[Output.S3_BUCKET_NAME])
    return [entry["Key"] for entry in listed.get("Contents", [])]


def invoke(root: boto3.Session, deployed: DeployedStack, event: object) -> dict[str, Any]:
    answer = root.client("lambda").invoke(
        FunctionName=deployed.outputs[Output.LEASE_FUNCTION_ARN], Payload=json.dumps(event).encode()
    )
    result: dict[str, Any] = json.loads(answer["Payload"].read())
    return result


def test_the_schedule_ends_exactly_the_annex_whose_lease_expired(
    root: boto3.Session, deployed: DeployedStack, user: AnnexUser
) -> None:
    over, longer, other = start(user, "first", 1, 2), start(user, "first2", HOUR, 2), start(user, "first_x", HOUR)
    eventually(lambda: not has_rule(root, "first"), "the end of the annex first")
    assert user.running(over) == 0
    assert (user.running(longer), user.running(other)) == (2, 1)
    assert over.tarball not in keys(root, deployed)
    assert {longer.tarball, other.tarball} <= set(keys(root, deployed))
    for annex in (longer, other):
        user.set_lease(annex.annex_id, -1)
    eventually(lambda: not has_rule(root, "first2") and not has_rule(root, "first_x"), "the end of the other two")


def test_an_extension_that_names_no_bucket_keeps_the_annex_and_still_ends_it(
    root: boto3.Session, deployed: DeployedStack, user: AnnexUser
) -> None:
    annex = start(user, "extended", 2)
    user.set_lease("extended", HOUR)
    time.sleep(8)
    assert user.running(annex) == 1
    user.set_lease("extended", -1)
    eventually(lambda: not has_rule(root, "extended"), "the end of the extended annex")
    assert user.running(annex) == 0
    assert annex.tarball not in keys(root, deployed)


def test_a_spot_annex_ends_with_its_fleet_and_another_fleet_lives(root: boto3.Session, user: AnnexUser) -> None:
    ec2 = root.client("ec2")
    user.set_lease("spot", 2)
    user.set_lease("spot2", HOUR)
    fleet, other = request_fleet(user, "spot"), request_fleet(user, "spot2")
    eventually(lambda: not has_rule(root, "spot"), "the end of the spot annex")
    configs = ec2.describe_spot_fleet_requests(SpotFleetRequestIds=[fleet, other])["SpotFleetRequestConfigs"]
    states = {config["SpotFleetRequestId"]: config["SpotFleetRequestState"] for config in configs}
    assert states[fleet].startswith("cancelled")
    assert states[other] == "active"
    assert len(ec2.describe_spot_fleet_instances(SpotFleetRequestId=other)["ActiveInstances"]) == 3
    user.set_lease("spot2", -1)
    eventually(lambda: not has_rule(root, "spot2"), "the end of the other spot annex")


def test_the_function_can_terminate_only_machines_with_the_stacks_profile(
    root: boto3.Session, deployed: DeployedStack
) -> None:
    ec2 = root.client("ec2")
    request: Any = {"ImageId": "ami-0123456789abcdef0", "InstanceType": "m5.large", "MinCount": 1, "MaxCount": 1}
    request["TagSpecifications"] = [{"ResourceType": "instance", "Tags": [{"Key": ANNEX_TAG, "Value": "any"}]}]
    with_profile = request | {"IamInstanceProfile": {"Arn": deployed.outputs[Output.INSTANCE_CONFIGURATION_PROFILE]}}
    foreign, own = (ec2.run_instances(**asked)["Instances"][0]["InstanceId"] for asked in (request, with_profile))
    role = root.client("lambda").get_function_configuration(FunctionName=deployed.outputs[Output.LEASE_FUNCTION_ARN])[
        "Role"
    ]
    iam = root.client("iam")
    name = role.rsplit("/", 1)[1]
    trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    trusting: dict[str, Any] = json.loads(json.dumps(trust))
    trusting["Statement"][0]["Principal"] = {"AWS": "*"}
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trusting))
    taken = root.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))
    as_function = boto3.Session(taken["AccessKeyId"], taken["SecretAccessKey"], taken["SessionToken"])
    with pytest.raises(as_function.client("ec2").exceptions.ClientError, match="UnauthorizedOperation"):
        as_function.client("ec2").terminate_instances(InstanceIds=[foreign])
    as_function.client("ec2").terminate_instances(InstanceIds=[own])
    ec2.terminate_instances(InstanceIds=[foreign])


def test_the_sweeper_runs_in_the_same_function_and_leaves_young_machines_alone(
    root: boto3.Session, deployed: DeployedStack, user: AnnexUser
) -> None:
    annex = start(user, "orphan", HOUR)
    events = root.client("events")
    events.remove_targets(Rule="orphan", Ids=["orphan"])
    events.delete_rule(Name="orphan")
    (rule,) = [
        rule for rule in events.list_rules()["Rules"] if "SweepRule" in rule["Name"] and "leases" in rule["Name"]
    ]
    (target,) = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    result = invoke(root, deployed, json.loads(target["Input"]))
    assert result["decision"] == "sweep"
    assert result["orphan_machines"] == []
    assert user.running(annex) == 1
    root.client("ec2").terminate_instances(InstanceIds=list(annex.instance_ids))


def test_a_machine_that_runs_longer_than_the_stack_allows_ends_whatever_its_lease_says(
    root: boto3.Session, deployed: DeployedStack, user: AnnexUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    annex = start(user, "long", 100 * HOUR)
    function = root.client("lambda").get_function_configuration(
        FunctionName=deployed.outputs[Output.LEASE_FUNCTION_ARN]
    )
    environ = function["Environment"]["Variables"] | {"AWS_LAMBDA_FUNCTION_NAME": function["FunctionName"]}
    settings = Settings.from_environ(environ)
    keys_of_root = root.get_credentials()
    assert keys_of_root is not None
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys_of_root.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys_of_root.secret_key)
    monkeypatch.setattr(handler.metrics.provider, "namespace", "annex-bootstrap")
    clients, now = Clients(), time.time()
    assert handler.run(SWEEP_EVENT, CONTEXT, settings, now + 2 * HOUR, lambda: clients)["overdue_machines"] == []
    assert user.running(annex) == 1
    with pytest.raises(
        handler.BeyondLimitsError, match=r"longer than 2 hours \(MaxLeaseHours\), of the annexes .*long"
    ):
        handler.run(SWEEP_EVENT, CONTEXT, settings, now + 3 * HOUR, lambda: clients)
    assert user.running(annex) == 0
    user.set_lease("long", -1)
    eventually(lambda: not has_rule(root, "long"), "the end of the annex")


def test_an_event_that_is_not_a_lease_ends_nothing_and_is_an_error(
    root: boto3.Session, deployed: DeployedStack
) -> None:
    result = invoke(root, deployed, {"AnnexID": "x", "S3BucketName": "", "LeaseExpiration": "0"})
    assert "LeaseExpiration must be whole seconds" in result["errorMessage"]


def test_a_tick_leaves_one_structured_log_line(root: boto3.Session, deployed: DeployedStack) -> None:
    invoke(root, deployed, {"AnnexID": "logged", "S3BucketName": "", "LeaseExpiration": int(time.time()) + HOUR})
    logs = root.client("logs")
    (group,) = [
        group["logGroupName"]
        for group in logs.describe_log_groups()["logGroups"]
        if "leases" in group["logGroupName"] and "LeaseFunctionLogs" in group["logGroupName"]
    ]
    lines = [
        event["message"]
        for event in logs.filter_log_events(logGroupName=group)["events"]
        if "logged" in event["message"]
    ]
    (line,) = [json.loads(text) for text in lines if text.startswith("{")]
    assert (line["annex_id"], line["decision"]) == ("logged", "wait")
    assert HOUR - 60 < line["seconds_left"] <= HOUR
