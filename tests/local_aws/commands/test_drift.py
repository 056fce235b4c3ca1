"""What somebody deletes of a stack by hand: doctor finds it, and what it says to do works."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore import xform_name

from annex_bootstrap.policies.deployer import deployer_policy
from annex_bootstrap.policies.operator import operator_policy
from annex_contract.iam import document
from annex_contract.stack import LogicalId, Output, sweep_rule_name
from local_aws.launcher import ACCOUNT, Credentials
from tests.local_aws import stack
from tests.local_aws.cli_user import DEPLOY_WITHOUT_IMAGE, CliUser

pytestmark = pytest.mark.slow


@pytest.fixture
def owner(deployer: CliUser, new_user: Callable[[str], Credentials]) -> CliUser:
    """A user who may deploy and operate."""
    statements = [
        statement
        for policy in (deployer_policy, operator_policy)
        for statement in policy("aws", ACCOUNT, deployer.stack_name)["Statement"]
    ]
    return replace(deployer, credentials=new_user(json.dumps(document(statements))))


def parts(owner: CliUser) -> dict[str, Any]:
    """The finding about the parts of the stack."""
    findings = owner.run("doctor", "--output", "json").document["result"]["findings"]
    (found,) = (finding for finding in findings if finding["id"] == "parts")
    return dict(found)


def call(root: boto3.Session, line: str) -> None:
    """Do what a line of the AWS command line does."""
    program, service, operation, *options = shlex.split(line)
    assert program == "aws"
    client: Any = root.client(service)  # type: ignore[call-overload]  # any service
    method = operation.replace("-", "_")
    model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
    names = {xform_name(name, "-"): name for name in model.input_shape.members}
    given = {
        names[option[2:]]: json.loads(value) if value.startswith("[") else value
        for option, value in zip(options[::2], options[1::2], strict=True)
        if option != "--region"
    }
    getattr(client, method)(**given)


def resource(root: boto3.Session, owner: CliUser, logical_id: str) -> str:
    """The physical ID of a resource of the stack."""
    found = root.client("cloudformation").describe_stack_resource(
        StackName=owner.stack_name, LogicalResourceId=logical_id
    )
    return found["StackResourceDetail"]["PhysicalResourceId"]


def test_rule_and_permission_that_are_gone_come_back_by_the_lines_that_doctor_prints(
    owner: CliUser, root: boto3.Session
) -> None:
    owner.must(*DEPLOY_WITHOUT_IMAGE)
    assert parts(owner)["detail"] == "all are there"
    events, functions = root.client("events"), root.client("lambda")
    rule = sweep_rule_name(owner.stack_name)
    arn = stack.describe(root, owner.stack_name).outputs[Output.LEASE_FUNCTION_ARN]
    before, target = events.describe_rule(Name=rule), events.list_targets_by_rule(Rule=rule)["Targets"]
    policy = json.loads(functions.get_policy(FunctionName=arn)["Policy"])["Statement"]
    events.remove_targets(Rule=rule, Ids=["sweep"])
    events.delete_rule(Name=rule)
    functions.remove_permission(FunctionName=arn, StatementId=resource(root, owner, LogicalId.LEASE_PERMISSION))

    found = parts(owner)
    assert found["level"] == "PROBLEM"
    assert found["detail"] == ("gone: the rule of the orphan check, EventBridge's permission to run the lease function")
    # A deployment does not notice.
    assert "up to date" in owner.must(*DEPLOY_WITHOUT_IMAGE).stdout
    # The JSON document has no account numbers.
    lines = [
        line for line in owner.run("doctor").stdout.splitlines() if line.startswith(("  aws events", "  aws lambda"))
    ]
    assert len(lines) == 3
    for line in lines:
        call(root, line)
    assert parts(owner)["detail"] == "all are there"
    again = events.describe_rule(Name=rule)
    assert (again["ScheduleExpression"], again["State"]) == (before["ScheduleExpression"], "ENABLED")
    assert events.list_targets_by_rule(Rule=rule)["Targets"] == target
    assert json.loads(functions.get_policy(FunctionName=arn)["Policy"])["Statement"] == policy
    owner.must("delete", "--yes")
    with pytest.raises(events.exceptions.ResourceNotFoundException):
        events.describe_rule(Name=rule)


def test_without_a_fleet_role_deleting_and_deploying_again_works(owner: CliUser, root: boto3.Session) -> None:
    owner.must(*DEPLOY_WITHOUT_IMAGE)
    iam, name = root.client("iam"), resource(root, owner, "FleetRole")
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        iam.delete_role_policy(RoleName=name, PolicyName=policy)
    iam.delete_role(RoleName=name)
    done = owner.run("doctor")
    assert "is gone" in done.stdout
    assert "run annex-bootstrap delete --end-annexes, then annex-bootstrap deploy" in " ".join(done.stdout.split())
    owner.must("delete", "--yes")
    owner.must(*DEPLOY_WITHOUT_IMAGE)
    assert iam.get_role(RoleName=resource(root, owner, "FleetRole"))


def test_without_a_custom_resources_function_the_stack_is_abandoned_as_delete_says(
    owner: CliUser, root: boto3.Session
) -> None:
    owner.must(*DEPLOY_WITHOUT_IMAGE)
    iam, role = root.client("iam"), resource(root, owner, "FleetRole")
    root.client("lambda").delete_function(FunctionName=resource(root, owner, "FleetRoleFunction"))
    found = parts(owner)
    assert (found["level"], found["detail"]) == ("PROBLEM", "gone: FleetRoleFunction")
    assert "run annex-bootstrap delete --end-annexes twice" in found["advice"]
    assert owner.run("delete", "--yes").returncode == 1
    second = owner.run("delete", "--yes")
    assert second.returncode == 1
    way_out = second.stderr.split("abandon what is left: ")[1]
    line, _, by_hand = way_out.partition(", then delete by hand: ")
    assert by_hand.startswith("FleetRole (Custom::AnnexFleetRole)")
    call(root, line)
    stack.wait_until_gone(root.client("cloudformation"), owner.stack_name)
    # What the function would have deleted.
    for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        iam.delete_role_policy(RoleName=role, PolicyName=policy)
    iam.delete_role(RoleName=role)
    owner.must(*DEPLOY_WITHOUT_IMAGE)
    assert parts(owner)["detail"] == "all are there"
