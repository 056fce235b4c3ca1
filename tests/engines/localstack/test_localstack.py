"""The built template on another CloudFormation engine than that of the local AWS: LocalStack's open one.

It judges order, references, types, what an update changes, and deletion. It enforces no IAM and does not roll back.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from annex_contract.outputs import OUTPUTS
from annex_contract.stack import TEMPLATE_NAME, Output
from tests.engines.localstack.engine import REGION, LocalStack, running

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

BUILT = Path(__file__).parents[3] / "dist" / TEMPLATE_NAME

PATIENCE = 600
"""Seconds until CloudFormation must be done."""

SPOT_ROLES = {"AWSServiceRoleForSpot", "AWSServiceRoleForSpotfleet"}
"""LocalStack's names for the service-linked roles, which stay; AWS's are AWSServiceRoleForEC2Spot and ...SpotFleet."""


@pytest.fixture
def localstack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A LocalStack of one test: a second stack does not find the spot roles of the first under their names."""
    with running(tmp_path_factory.mktemp("localstack")) as server:
        yield server


class Engine:
    """LocalStack as plain boto3 uses it."""

    def __init__(self, server: LocalStack) -> None:
        """Make a session."""
        self.server, self.session = server, boto3.Session("test", "test", region_name=REGION)
        self.cloudformation: CloudFormationClient = self.client("cloudformation")

    def client(self, service: str) -> Any:
        """Return a client of any service."""
        made: Any = self.session.client(service, endpoint_url=self.server.endpoint)  # type: ignore[call-overload]  # any
        return made

    def base_image(self) -> str:
        """Return an image that a builder can start from."""
        return str(self.client("ec2").describe_images(Owners=["amazon"])["Images"][0]["ImageId"])

    def wait(self, name: str) -> str:
        """Wait until CloudFormation is done with a stack, and return its status; empty where it is gone."""
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            try:
                status = self.cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
            except self.cloudformation.exceptions.ClientError:
                return ""
            if not status.endswith("_IN_PROGRESS"):
                return status
            time.sleep(1)
        raise AssertionError(f"{name} is not done")

    def reasons(self, name: str) -> list[str]:
        """Return why resources of a stack failed."""
        events = self.cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        return [
            f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
            for event in events
            if event["ResourceStatus"].endswith("_FAILED") and event.get("ResourceStatusReason")
        ]

    def outputs(self, name: str) -> dict[str, str]:
        """Return a stack's outputs."""
        stack = self.cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def changed_since(self, name: str, before: int) -> set[str]:
        """Return the resources whose update is among the events that came after so many."""
        events = list(reversed(self.cloudformation.describe_stack_events(StackName=name)["StackEvents"]))
        return {
            each["LogicalResourceId"] for each in events[before:] if each["ResourceStatus"] == "UPDATE_COMPLETE"
        } - {name}

    def ports(self, group: str) -> set[int]:
        """Return the ports that a security group opens."""
        (found,) = self.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]
        return {rule["FromPort"] for rule in found["IpPermissions"]}

    def left(self) -> set[str]:
        """Return what the account holds, by name."""
        listed = {
            ("iam", "list_roles", "Roles", "RoleName"),
            ("s3", "list_buckets", "Buckets", "Name"),
            ("lambda", "list_functions", "Functions", "FunctionName"),
            ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
            ("logs", "describe_log_groups", "logGroups", "logGroupName"),
            ("events", "list_rules", "Rules", "Name"),
            ("ec2", "describe_launch_templates", "LaunchTemplates", "LaunchTemplateName"),
        }
        names = {each[key] for service, call, members, key in listed for each in self._call(service, call)[members]}
        policies = self.client("iam").list_policies(Scope="Local")["Policies"]
        groups = self.client("ec2").describe_security_groups()["SecurityGroups"]
        images = self.client("ec2").describe_images(Owners=["self"])["Images"]
        return {
            *names,
            *(each["PolicyName"] for each in policies),
            *(each["GroupName"] for each in groups),
            *(each["ImageId"] for each in images),
        } - SPOT_ROLES

    def _call(self, service: str, call: str) -> Any:
        return getattr(self.client(service), call)()


@pytest.fixture
def engine(localstack: LocalStack) -> Engine:
    return Engine(localstack)


def given(**parameters: str) -> Any:
    """Return parameters as CloudFormation takes them."""
    return [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()]


def needed_by(node: Any) -> set[str]:
    """Return every name in DependsOn, Ref and Fn::GetAtt of a part of a template, as it is by default."""
    match node:
        # What only the other choice needs; nothing here is in a network.
        case {"Fn::If": ["HasConnectivityVpc", _, otherwise]}:
            return needed_by(otherwise)
        case dict():
            named = {name for key in ("DependsOn", "Ref") for name in as_list(node.get(key, []))}
            named |= {node["Fn::GetAtt"][0]} if "Fn::GetAtt" in node else set()
            return named.union(*map(needed_by, node.values()))
        case list():
            return set().union(*map(needed_by, node))
    return set()


def as_list(value: Any) -> list[str]:
    """Return a list of one or several."""
    return value if isinstance(value, list) else [value]


def out_of_order(names: list[str]) -> list[str]:
    """Return which resource of a list comes before one that it needs."""
    resources = json.loads(BUILT.read_text())["Resources"]
    return [
        f"{name} before {each}"
        for number, name in enumerate(names)
        for each in sorted(needed_by(resources[name]) & set(names[number + 1 :]))
    ]


def test_boto3_makes_changes_and_deletes_the_template_and_nothing_is_left(engine: Engine) -> None:
    name, before = "judge", engine.left()
    s3, cloudformation = engine.client("s3"), engine.cloudformation
    s3.create_bucket(Bucket="judge-staging")
    s3.put_object(Bucket="judge-staging", Key=TEMPLATE_NAME, Body=BUILT.read_bytes())
    common: Any = {
        "StackName": name,
        "TemplateURL": f"{engine.server.endpoint}/judge-staging/{TEMPLATE_NAME}",
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
    }
    chosen = {"Image": "yes", "BaseImage": engine.base_image()}
    cloudformation.create_stack(**common, Parameters=given(**chosen))
    assert engine.wait(name) == "CREATE_COMPLETE", engine.reasons(name)
    made = engine.outputs(name)
    for output, value in made.items():
        assert re.fullmatch(OUTPUTS[Output(output)].pattern, value), (output, value)
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    complete = [
        event["LogicalResourceId"] for event in reversed(events) if event["ResourceStatus"] == "CREATE_COMPLETE"
    ]
    assert len(complete) == len(set(complete)) > len(OUTPUTS)
    assert out_of_order([each for each in complete if each != name]) == []
    cloudformation.update_stack(**common, Parameters=given(**chosen, CondorPort="9619"))
    assert engine.wait(name) == "UPDATE_COMPLETE", engine.reasons(name)
    assert engine.reasons(name) == []
    assert engine.changed_since(name, len(events)) == {"SecurityGroup", "SecurityGroupFunction"}
    assert engine.outputs(name) == made
    assert 9619 in engine.ports(made[Output.SECURITY_GROUP_ID])
    cloudformation.delete_stack(StackName=name)
    assert engine.wait(name) in ("", "DELETE_COMPLETE")
    s3.delete_object(Bucket="judge-staging", Key=TEMPLATE_NAME)
    s3.delete_bucket(Bucket="judge-staging")
    assert engine.left() - before == set()


class Client:
    """Our client on LocalStack."""

    def __init__(self, engine: Engine, home: Path) -> None:
        """Name a home directory."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self.environ = clean | engine.server.environ() | {"HOME": str(home)}
        self.config = home / "user_config"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command."""
        options = ("--stack-name", "client", "--yes", "--config", str(self.config))
        return subprocess.run(
            [sys.executable, "-m", "annex_bootstrap", *arguments, *options],
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )


def test_our_client_makes_changes_and_deletes_a_stack_and_nothing_is_left(engine: Engine, tmp_path: Path) -> None:
    client, before = Client(engine, tmp_path), engine.left()
    deployed = client.run("deploy", "--param", "Image=yes", "--param", f"BaseImage={engine.base_image()}")
    assert deployed.returncode == 0, deployed
    outputs = engine.outputs("client")
    assert outputs[Output.S3_BUCKET_NAME] in client.config.read_text()
    changed = client.run("deploy", "--param", "CondorPort=9619")
    assert changed.returncode == 0, changed
    assert 9619 in engine.ports(outputs[Output.SECURITY_GROUP_ID])
    assert engine.outputs("client") == outputs
    deleted = client.run("delete")
    # The open edition has no budgets, for which delete looks last.
    assert deleted.returncode == 1
    assert engine.wait("client") in ("", "DELETE_COMPLETE")
    assert "reading the budget client-us-east-1 failed" in deleted.stderr
    assert engine.left() - before == set()
