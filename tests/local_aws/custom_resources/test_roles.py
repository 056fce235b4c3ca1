"""The roles of the custom resources' functions: every action is needed, and none reaches others' resources."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from annex_contract.machine_policies import configuration_policy
from annex_contract.stack import ROLE_PATH
from custom_resources.lifecycle import PATIENCE
from docs_gen.permissions import call_of
from local_aws.launcher import Credentials
from tests.local_aws.custom_resources.account import Account
from tests.local_aws.custom_resources.lifecycle import SCENARIOS, Scenario, Stack
from tests.local_aws.custom_resources.provider import MODULES, Provider
from tests.stack_values import TEMPLATE

pytestmark = pytest.mark.slow

LIFECYCLES = [scenario for scenario in SCENARIOS if scenario.request != "Rollback"]

LAMBDA_CALLS = {"logs:CreateLogStream", "logs:PutLogEvents"}
"""What Lambda itself does with the role."""

UNENFORCED = {
    "s3:DeleteObjectVersion": "it checks s3:DeleteObject for versions as well",
    "s3:TagResource": "it checks s3:CreateBucket alone when a bucket is made with tags",
}
"""Actions whose removal the local AWS does not notice, and why. Their calls are compared all the same."""

ELSEWHERE = {
    "cloudformation:DescribeStacks": "it is for an image whose builder is gone: `test_attacks.py` has one",
    "s3:PutBucketTagging": "it is for regions in which S3 takes no tags when a bucket is made",
}
"""Actions that the local AWS gives no occasion for, and why."""

DENIED = ("AccessDenied", "UnauthorizedOperation", "a policy denies it")


def actions_of(provider: Provider, resource: str) -> list[str]:
    """Return every action of a custom resource's function."""
    (document,) = provider.policies(resource, {"PermissionsBoundaryArn": "arn:aws:iam::aws:policy/any"}).values()
    return sorted({action for statement in document["Statement"] for action in statement["Action"]})


@pytest.mark.parametrize("resource", MODULES)
def test_every_action_of_a_role_is_needed_and_every_call_has_one(
    provider: Provider, account: Account, vpc: str, resource: str, record_property: Callable[[str, object], None]
) -> None:
    before = account.resources()
    calls: set[str] = set()
    needed = {}
    for scenario in (scenario for scenario in LIFECYCLES if scenario.resource == resource):
        stack = Stack(provider, account, scenario, vpc)
        calls |= _calls_of_lifecycle(stack)
    actions = [action for action in actions_of(provider, resource) if action not in LAMBDA_CALLS]
    for action in actions:
        needed[action] = any(
            _denied_without(Stack(provider, account, scenario, vpc), action)
            for scenario in LIFECYCLES
            if scenario.resource == resource
        )
        assert account.resources() == before
    unnoticed = {action for action, noticed in needed.items() if not noticed}
    assert unnoticed == (UNENFORCED.keys() | ELSEWHERE.keys()) & set(actions)
    expected = {
        call
        for action in actions
        if action not in ELSEWHERE
        for call in call_of(f"{resource}ExecRole", action).split(", ")
    }
    assert calls == expected
    record_property("actions of custom resources' roles", len(actions))
    record_property("actions shown to be needed by removing them", sum(needed.values()))


def _calls_of_lifecycle(stack: Stack) -> set[str]:
    """Return every call of a whole lifecycle, by name."""
    made: set[str] = set()
    send = stack.provider.send

    def sending(*arguments: Any, **more: Any) -> Any:
        answer = send(*arguments, **more)
        # The builder of an image has calls of its own.
        if stack.scenario.resource in arguments:
            made.update(call.split(".")[1] for call in stack.provider.faults.calls if call != "answer")
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack.provider, "send", sending)
        stack.run(None, -1, False)
    return made


def _denied_without(stack: Stack, action: str) -> bool:
    """Tell whether a lifecycle fails without an action. What it leaves is deleted with the whole policy."""
    stack.without = action
    # For longer than a denied call is tried again.
    stack.machine_life = 2 * PATIENCE["UnauthorizedOperation"]
    try:
        outcome, _ = stack.run(None, -1, False)
        reason = outcome.reason if outcome else ""
    except AssertionError as error:
        reason = str(error)
    stack.without = ""
    for parameters in (stack.first, stack.then):
        name = stack.provider.name(stack.scenario.resource, parameters)
        stack.must("Delete", parameters, physical_id=name)
    stack.end()
    return any(text in reason for text in DENIED)


@pytest.mark.parametrize(
    ("resource", "other"),
    [(one, other) for one in MODULES for other in MODULES if one != other and other != "InstanceRole"],
)
def test_a_function_cannot_touch_what_another_stack_made(
    provider: Provider, account: Account, vpc: str, resource: str, other: str
) -> None:
    before = account.resources()
    theirs = Stack(provider, account, Scenario(other, "Create"), vpc)
    theirs.create()
    as_it_was = account.details(other, theirs.physical_id)
    provider.hold(provider.policies(resource, {}))
    answer = provider.send("Delete", other, {}, theirs.physical_id)
    assert answer is not None
    assert answer.status == "FAILED"
    assert account.details(other, theirs.physical_id) == as_it_was
    theirs.delete()
    theirs.end()
    assert account.resources() == before


def test_a_role_is_created_with_the_boundary_or_not_at_all(provider: Provider, account: Account, vpc: str) -> None:
    bound = {"PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/swept-boundary"}
    for resource in ("FleetRole", "InstanceRole"):
        stack = Stack(provider, account, Scenario(resource, "Create"), vpc)
        provider.hold(provider.policies(resource, bound))
        answer = provider.send("Create", resource, {})
        assert answer is not None
        assert answer.status == "FAILED"
        assert "AccessDenied" in answer.reason
        answer = provider.send("Create", resource, bound)
        assert answer is not None
        assert answer.status == "SUCCESS", answer
        role = account.iam.get_role(RoleName=answer.physical_id)["Role"]
        assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == bound["PermissionsBoundaryArn"]
        stack.must("Delete", bound, physical_id=answer.physical_id)


def test_a_machine_reads_pool_configurations_and_nothing_else(
    account: Account, new_user: Callable[[str], Credentials]
) -> None:
    bucket = "a-private-bucket"
    account.s3.create_bucket(Bucket=bucket)
    for key in ("config-a.tar.gz", "config-a.txt", "data.tar.gz"):
        account.s3.put_object(Bucket=bucket, Key=key, Body=b"made up")
    machine = new_user(json.dumps(configuration_policy(f"arn:aws:s3:::{bucket}/config-*.tar.gz")))
    s3 = boto3.client("s3", aws_access_key_id=machine.access_key_id, aws_secret_access_key=machine.secret_access_key)
    assert s3.get_object(Bucket=bucket, Key="config-a.tar.gz")["Body"].read() == b"made up"
    refused: list[Callable[[], object]] = [
        lambda: s3.get_object(Bucket=bucket, Key="config-a.txt"),
        lambda: s3.get_object(Bucket=bucket, Key="data.tar.gz"),
        lambda: s3.list_objects_v2(Bucket=bucket),
        lambda: s3.put_object(Bucket=bucket, Key="config-b.tar.gz", Body=b""),
        lambda: s3.delete_object(Bucket=bucket, Key="config-a.tar.gz"),
    ]
    for call in refused:
        with pytest.raises(ClientError, match="AccessDenied"):
            call()
    for entry in account.s3.list_objects_v2(Bucket=bucket)["Contents"]:
        account.s3.delete_object(Bucket=bucket, Key=entry["Key"])
    account.s3.delete_bucket(Bucket=bucket)


def test_the_lease_function_terminates_machines_with_the_stacks_profile_only(
    provider: Provider, account: Account
) -> None:
    (policy,) = TEMPLATE["LeaseExecRole"]["Properties"]["Policies"]
    document = policy["PolicyDocument"]
    provider.hold({"lease": provider.resolved(document, {})})
    profile = provider.name("InstanceRole", {})
    account.iam.create_instance_profile(InstanceProfileName=profile, Path=ROLE_PATH)
    launch: Any = {
        "ImageId": "ami-0123456789abcdef0",
        "MinCount": 1,
        "MaxCount": 1,
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "htcondor:AnnexName", "Value": "a"}]}],
    }
    ours, other = (
        account.ec2.run_instances(**each)["Instances"][0]["InstanceId"]
        for each in (launch | {"IamInstanceProfile": {"Name": profile}}, launch)
    )
    assert boto3.DEFAULT_SESSION is not None
    ec2 = boto3.DEFAULT_SESSION.client("ec2")
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        ec2.terminate_instances(InstanceIds=[other])
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        ec2.terminate_instances(InstanceIds=[ours, other])
    ec2.terminate_instances(InstanceIds=[ours])
    account.ec2.terminate_instances(InstanceIds=[other])
    account.iam.delete_instance_profile(InstanceProfileName=profile)
