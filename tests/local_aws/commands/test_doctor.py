"""``annex-bootstrap doctor`` under the policy that ``policy operator`` prints."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError

from annex_bootstrap.policies.deployer import deployer_policy
from annex_contract.stack import ANNEX_TAG, DEFAULT_STACK_NAME, Output, sweep_rule_name
from local_aws.launcher import ACCOUNT, REGION, Credentials
from local_aws.server_settings import CONSOLE
from tests.local_aws import stack
from tests.local_aws.cli_user import CliUser
from tests.local_aws.commands import fake_htcondor
from tests.local_aws.stack import DeployedStack
from tests.unit.lambda_connectivity.peer import Peer, daemon

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

pytestmark = pytest.mark.slow

IMAGE = "ami-0c2023a1b2c3d4e5f"
INSTANCE_ID = "0123456789abcdef"


def findings(operator: CliUser, *arguments: str) -> dict[str, tuple[str, str]]:
    done = operator.run("doctor", "--output", "json", *arguments)
    rows = done.document["result"]["findings"]
    assert done.returncode == (1 if any(row["level"] == "PROBLEM" for row in rows) else 0)
    return {row["subject"]: (row["level"], row["detail"]) for row in rows}


@pytest.fixture
def set_up(operator: CliUser) -> CliUser:
    """An operator who has set everything up."""
    operator.must("pull-config")
    operator.must("credentials")
    operator.must("fleet-config", "--image", IMAGE, "--types", "c7i.large")
    stored = operator.home / ".condor" / "pool_password"
    stored.write_bytes(b"made up")
    stored.chmod(0o600)
    with operator.config.open("a") as config:
        config.write(f"SEC_PASSWORD_FILE = {stored}\n")
    return operator


@pytest.fixture(autouse=True)
def _no_user_stays(operator: CliUser) -> object:
    yield
    operator.run("credentials", "--remove", "--yes")


def test_a_complete_setup_has_no_problem(set_up: CliUser) -> None:
    with Peer(daemon(INSTANCE_ID)) as collector:
        done = set_up.run("doctor", "--collector", f"127.0.0.1:{collector.port}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PROBLEM" not in done.stdout
    assert f"answers as {INSTANCE_ID}" in done.stdout
    assert "\nOK       quota of vCPUs: 256 on demand, 128 on the spot market\n" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("No problems found")


def test_what_eventbridge_could_not_call_before_the_stack_was_changed_is_not_a_problem(
    set_up: CliUser, root: boto3.Session
) -> None:
    root.client("cloudwatch").put_metric_data(
        Namespace="AWS/Events",
        MetricData=[
            {
                "MetricName": "FailedInvocations",
                "Dimensions": [{"Name": "RuleName", "Value": sweep_rule_name(DEFAULT_STACK_NAME)}],
                "Timestamp": datetime.now(UTC) - timedelta(hours=2),
                "Value": 1.0,
            }
        ],
    )
    assert findings(set_up)["orphan check"][0] != "PROBLEM"


def test_without_permission_to_read_the_quota_it_names_the_policy_that_allows_it(
    operator: CliUser, new_user: Callable[[str], Credentials]
) -> None:
    may_find_stack = json.dumps(deployer_policy("aws", ACCOUNT, DEFAULT_STACK_NAME))
    done = replace(operator, credentials=new_user(may_find_stack)).run("doctor", "--output", "json")
    (finding,) = [row for row in done.document["result"]["findings"] if row["subject"] == "quota of vCPUs"]
    assert (finding["level"], finding["detail"]) == ("SKIPPED", "it cannot be read")
    assert "annex-bootstrap policy operator" in finding["advice"]


def test_every_local_problem_is_named(set_up: CliUser) -> None:
    condor = set_up.home / ".condor"
    (condor / f"annex-secret-key-{REGION}").chmod(0o644)
    (condor / "pool_password").chmod(0o640)
    fleet = condor / f"annex-fleet-{REGION}.json"
    fleet.write_text(fleet.read_text().replace(IMAGE, "ami-00000000000000000").replace("c7i.large", "c1.gone"))
    set_up.config.write_text(set_up.config.read_text().replace("ANNEX_DEFAULT_S3_BUCKET = ", "X = "))
    seen = findings(set_up, "--collector", "127.0.0.1:1")
    problems = {subject: detail for subject, (level, detail) in seen.items() if level == "PROBLEM"}
    assert sorted(problems) == [
        "collector from AWS",
        "configuration",
        "credentials of condor_annex",
        "images of the fleet file",
        "pool password",
        "types of the fleet file",
    ]
    assert "mode 0644" in problems["credentials of condor_annex"]
    assert "ANNEX_DEFAULT_S3_BUCKET" in problems["configuration"]
    assert "Nothing listens" in problems["collector from AWS"]


def test_every_change_made_in_aws_is_named(operator: CliUser, root: boto3.Session, shared_stack: DeployedStack) -> None:
    s3, bucket = root.client("s3"), shared_stack.outputs[Output.S3_BUCKET_NAME]
    ec2, group = root.client("ec2"), shared_stack.outputs[Output.SECURITY_GROUP_ID]
    blocks = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    rules = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
    s3.delete_public_access_block(Bucket=bucket)
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=rules)
    try:
        seen = findings(operator)
    finally:
        s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=blocks)
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=rules)
    assert seen["bucket"][0] == seen["security group"][0] == "PROBLEM"
    assert seen["instance profile"][0] == seen["fleet role"][0] == seen["lease function"][0] == "OK"


def test_without_a_stack_it_says_to_deploy(operator: CliUser, tmp_path: Path) -> None:
    done = operator.run("doctor", "--region", "eu-west-1", "--config", str(tmp_path / "none"))
    assert done.returncode == 1
    assert "PROBLEM  stack: there is no stack annex-bootstrap\n         -> run annex-bootstrap deploy\n" in done.stdout


def test_a_function_that_failed_recently_is_named_with_its_error(
    operator: CliUser, template: str, put_template: Callable[[str], str]
) -> None:
    # In a region of its own, where no other test finds its failure.
    there = boto3.Session(region_name="eu-west-1")
    with stack.deployed(there, DEFAULT_STACK_NAME, put_template(template)) as made:
        function = made.outputs[Output.LEASE_FUNCTION_ARN]
        failed = there.client("lambda").invoke(FunctionName=function, Payload=b'{"AnnexID": ""}')
        assert failed["FunctionError"]
        level, detail = findings(operator, "--region", "eu-west-1")["lease function"]
    assert level == "PROBLEM"
    assert "AnnexID must be a string" in detail


@pytest.fixture
def start_machine(root: boto3.Session, shared_stack: DeployedStack) -> Iterator[Callable[..., InstanceTypeDef]]:
    """Return a function that starts a machine of the annex ``first`` whose console shows a text.

    With ``script`` it runs that, and its end ends the machine.
    """
    ec2, ssm = root.client("ec2"), root.client("ssm")
    profile = shared_stack.outputs[Output.INSTANCE_CONFIGURATION_PROFILE]
    started: list[InstanceTypeDef] = []

    def start(console: str, script: str = "") -> InstanceTypeDef:
        (machine,) = ec2.run_instances(
            ImageId=IMAGE,
            InstanceType="t3.micro",
            MinCount=1,
            MaxCount=1,
            UserData=script,
            InstanceInitiatedShutdownBehavior="terminate",
            IamInstanceProfile={"Arn": profile},
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": ANNEX_TAG, "Value": "first"}]}],
        )["Instances"]
        started.append(machine)
        ssm.put_parameter(Name=CONSOLE + machine["InstanceId"], Type="String", Value=console)
        return machine

    yield start
    ec2.terminate_instances(InstanceIds=[machine["InstanceId"] for machine in started])
    for machine in started:
        ssm.delete_parameter(Name=CONSOLE + machine["InstanceId"])


def test_machines_that_did_not_join_say_why_on_their_console_and_in_the_collectors_log(
    operator: CliUser, root: boto3.Session, start_machine: Callable[..., InstanceTypeDef], tmp_path: Path
) -> None:
    reason = "gave up after 10 minutes: GetObject was refused with NoSuchKey"
    said = f"python3[612]: annex-boot: giving up, the machine shuts down: {reason}\r\n"
    gone = start_machine(said, "#!/bin/sh\nshutdown now\n")
    refused = start_machine("python3[612]: annex-boot: done; HTCondor starts\r\n")
    machine_ids = [gone["InstanceId"], refused["InstanceId"]]
    ec2 = root.client("ec2")
    ec2.get_waiter("instance_terminated").wait(InstanceIds=machine_ids[:1], WaiterConfig={"Delay": 1})
    ec2.get_waiter("instance_running").wait(InstanceIds=machine_ids[1:], WaiterConfig={"Delay": 1})
    denied = (
        f"11/27/26 04:40:01 PERMISSION DENIED to condor@pool.example.org from host {refused['PrivateIpAddress']} "
        "for command 0 (UPDATE_STARTD_AD), access level ADVERTISE_STARTD: reason: made up"
    )
    log = tmp_path / "CollectorLog"
    log.write_text(f"{denied}\n")
    fake_htcondor.install(operator.home, COLLECTOR_LOG=str(log))
    level, detail = findings(operator)["machines"]
    assert level == "PROBLEM"
    assert f"{machine_ids[0]} of first gave up: {reason}" in detail
    assert f"{machine_ids[1]} of first was refused by the collector: {denied}" in detail


def test_an_operator_reads_no_console_of_other_machines(operator: CliUser, root: boto3.Session) -> None:
    ec2 = root.client("ec2")
    (other,) = ec2.run_instances(ImageId=IMAGE, InstanceType="t3.micro", MinCount=1, MaxCount=1)["Instances"]
    keys = (operator.credentials.access_key_id, operator.credentials.secret_access_key)
    try:
        with pytest.raises(ClientError, match="UnauthorizedOperation"):
            boto3.Session(*keys, region_name=REGION).client("ec2").get_console_output(InstanceId=other["InstanceId"])
    finally:
        ec2.terminate_instances(InstanceIds=[other["InstanceId"]])
