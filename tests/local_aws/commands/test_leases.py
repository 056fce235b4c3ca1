"""``annex-bootstrap leases`` under the policy that ``policy operator`` prints, on an annex user's annexes."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator

import boto3
import pytest

from annex_contract.stack import ANNEX_TAG, LogicalId, Output
from local_aws.demo.annexes import AnnexUser
from tests.local_aws import stack
from tests.local_aws.cli_user import CliUser
from tests.local_aws.stack import DeployedStack

pytestmark = pytest.mark.slow

IMAGE = "ami-0c2023a1b2c3d4e5f"
PATIENCE = 60
"""Seconds to wait for anything."""


@pytest.fixture
def scientist(root: boto3.Session, shared_stack: DeployedStack) -> Iterator[AnnexUser]:
    """A user as `annex-bootstrap credentials` creates one; their annexes end with the test."""
    iam = root.client("iam")
    name = f"scientist-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    policy = shared_stack.outputs[Output.ANNEX_USER_POLICY_ARN]
    iam.attach_user_policy(UserName=name, PolicyArn=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    yield AnnexUser(boto3.Session(key["AccessKeyId"], key["SecretAccessKey"]), shared_stack.outputs)
    events = root.client("events")
    for rule in events.list_rule_names_by_target(TargetArn=shared_stack.outputs[Output.LEASE_FUNCTION_ARN])[
        "RuleNames"
    ]:
        # The lease function may be removing it too.
        with contextlib.suppress(events.exceptions.ResourceNotFoundException):
            if rule in [target["Id"] for target in events.list_targets_by_rule(Rule=rule)["Targets"]]:
                events.remove_targets(Rule=rule, Ids=[rule])
                events.delete_rule(Name=rule)
    ec2 = root.client("ec2")
    running = [
        instance["InstanceId"] for group in ec2.describe_instances()["Reservations"] for instance in group["Instances"]
    ]
    if running:
        ec2.terminate_instances(InstanceIds=running)
    iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    iam.detach_user_policy(UserName=name, PolicyArn=policy)
    iam.delete_user(UserName=name)


def listed(operator: CliUser) -> dict[str, dict[str, object]]:
    rows = operator.must("leases", "--output", "json").document["result"]["leases"]
    return {row["annex"]: row for row in rows}


def test_without_annexes_it_says_so(operator: CliUser) -> None:
    assert operator.must("leases").stdout == "No annex holds a lease in us-east-1.\n"


def test_an_annex_is_listed_with_its_machines_time_left_and_cost(operator: CliUser, scientist: AnnexUser) -> None:
    scientist.start("blast", count=2, seconds=7190, image_id=IMAGE)
    scientist.start("blast2", count=1, seconds=100_000, image_id=IMAGE)
    lines = operator.must("leases").stdout.splitlines()
    assert lines[1].split() == ["blast", "on", "demand", "2", "1h", "59m", "0.1920", "-"]
    assert lines[2].split()[:4] == ["blast2", "on", "demand", "1"]


def test_a_spot_annex_is_distinguished_from_an_on_demand_one(
    operator: CliUser, scientist: AnnexUser, root: boto3.Session, shared_stack: DeployedStack
) -> None:
    scientist.set_lease("cheap", 3600)
    ec2 = scientist.session.client("ec2")
    fleet_id = ec2.request_spot_fleet(
        SpotFleetRequestConfig={
            "IamFleetRole": shared_stack.outputs[Output.IAM_FLEET_ROLE_ARN],
            "SpotPrice": "0.1",
            "TargetCapacity": 3,
            "ClientToken": f"cheap_{uuid.uuid4()}",
            "LaunchSpecifications": [
                {
                    "ImageId": IMAGE,
                    "InstanceType": "c7i.large",
                    "IamInstanceProfile": {"Arn": shared_stack.outputs[Output.INSTANCE_CONFIGURATION_PROFILE]},
                    "SecurityGroups": [{"GroupId": shared_stack.outputs[Output.SECURITY_GROUP_ID]}],
                    "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": ANNEX_TAG, "Value": "cheap"}]}],
                }
            ],
        }
    )["SpotFleetRequestId"]
    row = listed(operator)["cheap"]
    root.client("ec2").cancel_spot_fleet_requests(SpotFleetRequestIds=[fleet_id], TerminateInstances=True)
    assert (row["kind"], row["machines"]) == ("spot", 3)
    assert row["dollars_per_hour"] == 0.26775


def test_extending_changes_the_time_and_nothing_else(
    operator: CliUser, scientist: AnnexUser, root: boto3.Session, shared_stack: DeployedStack
) -> None:
    scientist.start("blast", count=1, seconds=600, image_id=IMAGE)
    events = root.client("events")
    (before,) = events.list_targets_by_rule(Rule="blast")["Targets"]
    assert "now runs until" in operator.must("leases", "extend", "blast", "2h").stdout
    (after,) = events.list_targets_by_rule(Rule="blast")["Targets"]
    lease, old = json.loads(after.pop("Input")), json.loads(before.pop("Input"))
    assert after == before
    assert 7000 < lease.pop("LeaseExpiration") - time.time() <= 7200
    assert old.pop("LeaseExpiration")
    assert lease == old == {"AnnexID": "blast", "S3BucketName": shared_stack.outputs[Output.S3_BUCKET_NAME]}


def test_extending_never_shortens(operator: CliUser, scientist: AnnexUser) -> None:
    scientist.set_lease("long", 50_000)
    refused = operator.run("leases", "extend", "long", "1h")
    assert refused.returncode == 1
    assert "leases end" in refused.stderr
    left = listed(operator)["long"]["seconds_left"]
    assert isinstance(left, int)
    assert left > 40_000


def test_ending_leaves_an_annex_whose_name_has_the_same_beginning(operator: CliUser, scientist: AnnexUser) -> None:
    blast = scientist.start("blast", count=2, seconds=5000, image_id=IMAGE)
    blast2 = scientist.start("blast2", count=1, seconds=5000, image_id=IMAGE)
    assert "  blast: 2 machines\n" in operator.must("leases", "end", "blast", "--yes").stdout
    give_up = time.monotonic() + PATIENCE
    while scientist.running(blast) and time.monotonic() < give_up:
        time.sleep(0.2)
    assert (scientist.running(blast), scientist.running(blast2)) == (0, 1)


@pytest.mark.parametrize(("version", "has_annex_command"), [("23.9.6", False), ("25.14.1", True)])
def test_ending_says_how_to_remove_what_htcondor_itself_remembers(
    operator: CliUser, scientist: AnnexUser, version: str, has_annex_command: bool
) -> None:
    program = operator.home / "condor_version"
    program.write_text(f"#!/bin/sh\necho '$CondorVersion: {version} $'\n")
    program.chmod(0o755)
    scientist.start("blast", count=1, seconds=5000, image_id=IMAGE)
    said = operator.must("leases", "end", "blast", "--yes").stdout
    assert ("condor_rm -constraint 'hpc_annex_name == \"blast\"'\n" in said) == has_annex_command
    give_up = time.monotonic() + PATIENCE
    while listed(operator) and time.monotonic() < give_up:
        time.sleep(0.2)
    assert listed(operator) == {}


def test_all_annexes_end_after_one_question_and_their_cost_is_summed(operator: CliUser, scientist: AnnexUser) -> None:
    for name in ("blast", "blast2"):
        scientist.start(name, count=1, seconds=5000, image_id=IMAGE)
    assert "Total: $" in operator.must("leases").stdout
    assert "Nothing was changed." in operator.run("leases", "end", "--all", text="n\n").stdout
    assert listed(operator).keys() == {"blast", "blast2"}
    asked = operator.run("leases", "end", "--all", text="y\n")
    assert asked.returncode == 0
    assert "  blast: 1 machine\n  blast2: 1 machine\nEnd all 2? [y/N]:" in asked.stdout
    give_up = time.monotonic() + PATIENCE
    while listed(operator) and time.monotonic() < give_up:
        time.sleep(0.2)
    assert listed(operator) == {}
    assert operator.must("leases", "end", "--all", "--yes", "--output", "json").document["result"] == {"ended": []}


@pytest.mark.parametrize("arguments", [["end"], ["end", "blast", "--all"]])
def test_end_needs_a_name_or_all(operator: CliUser, arguments: list[str]) -> None:
    refused = operator.run("leases", *arguments)
    assert (refused.returncode, "give either the name of an annex or --all" in refused.stderr) == (2, True)


def test_nothing_ends_without_confirmation(operator: CliUser, scientist: AnnexUser) -> None:
    blast = scientist.start("blast", count=1, seconds=5000, image_id=IMAGE)
    assert operator.run("leases", "end", "blast").returncode != 0
    assert scientist.running(blast) == 1


def test_an_unknown_annex_is_reported_with_those_that_exist(operator: CliUser, scientist: AnnexUser) -> None:
    scientist.set_lease("blast", 5000)
    refused = operator.run("leases", "extend", "blats", "2h")
    assert refused.returncode == 1
    assert "there are: blast" in refused.stderr


def test_options_work_before_and_after_the_subcommand_and_the_later_one_wins(operator: CliUser) -> None:
    before = operator.run("leases", "--region", "eu-west-1", "extend", "blast", "2h")
    assert "no stack annex-bootstrap in eu-west-1" in before.stderr
    after = operator.run("leases", "--region", "us-west-2", "end", "blast", "--region", "eu-west-1", "--output", "json")
    assert "no stack annex-bootstrap in eu-west-1" in after.document["error"]
    json_before = operator.run("leases", "--output", "json", "end", "blast", "--region", "eu-west-1")
    assert json_before.document == after.document


def test_another_stacks_leases_and_machines_are_not_taken_for_this_stacks(
    operator: CliUser,
    scientist: AnnexUser,
    root: boto3.Session,
    template: str,
    put_template: Callable[[str], str],
) -> None:
    with stack.deployed(root, "annex-bootstrap-2", put_template(template)) as other:
        theirs = AnnexUser(root, other.outputs)
        scientist.start("twin", count=1, seconds=3600, image_id=IMAGE)
        foreign = theirs.start("theirs", count=2, seconds=3600, image_id=IMAGE).instance_ids
        # As they may still run from an earlier annex, which had the name before.
        (machine,) = root.client("ec2").run_instances(
            ImageId=IMAGE,
            InstanceType="m5.large",
            MinCount=1,
            MaxCount=1,
            IamInstanceProfile={"Arn": other.outputs[Output.INSTANCE_CONFIGURATION_PROFILE]},
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": ANNEX_TAG, "Value": "twin"}]}],
        )["Instances"]
        root.client("cloudwatch").set_alarm_state(
            AlarmName=physical_id(root, other.stack_id, LogicalId.LEASE_ALARM),
            StateValue="ALARM",
            StateReason="made up",
        )
        try:
            rows = listed(operator)
            assert {annex: row["machines"] for annex, row in rows.items()} == {"twin": 1}
            shown = operator.must("status").stdout
            assert "theirs" not in shown
            assert "none raised" in shown
            assert "$0.0960/hour" in shown
            watched = subprocess.Popen(
                operator.command("watch", "--plain"), env=operator.environ(), stdout=subprocess.PIPE, text=True
            )
            assert watched.stdout is not None
            line = watched.stdout.readline()
            watched.send_signal(signal.SIGINT)
            watched.communicate(timeout=PATIENCE)
            assert "  annex=twin  pending=0  running=1  " in line
            findings = operator.run("doctor", "--output", "json").document["result"]["findings"]
            (machines,) = (finding for finding in findings if finding["id"] == "machines")
            assert "1 running" in machines["detail"]
            assert not any(each in json.dumps(findings) for each in [*foreign, machine["InstanceId"], "theirs"])
            for command in (("extend", "theirs", "9h"), ("end", "theirs", "--yes")):
                assert "no annex theirs holds a lease" in operator.run("leases", *command).stderr
        finally:
            root.client("ec2").terminate_instances(InstanceIds=[*foreign, machine["InstanceId"]])
            events = root.client("events")
            events.remove_targets(Rule="theirs", Ids=["theirs"])
            events.delete_rule(Name="theirs")


def physical_id(root: boto3.Session, stack_id: str, logical_id: str) -> str:
    """Return the name that CloudFormation gave a resource."""
    described = root.client("cloudformation").describe_stack_resource(StackName=stack_id, LogicalResourceId=logical_id)
    return described["StackResourceDetail"]["PhysicalResourceId"]
