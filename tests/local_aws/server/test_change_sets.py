"""Change sets: the template that they were made of, and early validation."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.server.ec2_requests import refusal
from tests.local_aws.server.principals import Server


def template(group: str) -> str:
    """Return a template of one log group."""
    properties = {"LogGroupName": group}
    return json.dumps({"Resources": {"Group": {"Type": "AWS::Logs::LogGroup", "Properties": properties}}})


def propose(server: Server, body: str) -> str:
    """Return the ARN of a change set that would create a stack."""
    made = server.client("cloudformation").create_change_set(
        StackName=f"stack-{uuid.uuid4()}",
        ChangeSetName="first",
        ChangeSetType="CREATE",
        TemplateBody=body,
        Capabilities=["CAPABILITY_IAM"],
    )
    return str(made["Id"])


def test_a_change_set_shows_the_template_that_it_was_made_of(server: Server) -> None:
    cloudformation, body = server.client("cloudformation"), template(str(uuid.uuid4()))
    change_set = propose(server, body)
    assert cloudformation.get_template(ChangeSetName=change_set)["TemplateBody"] == json.loads(body)
    stack = cloudformation.describe_change_set(ChangeSetName=change_set)["StackName"]
    named = cloudformation.get_template(StackName=stack, ChangeSetName="first", TemplateStage="Original")
    assert named["TemplateBody"] == json.loads(body)


def test_a_change_set_that_would_create_what_exists_fails_and_its_events_say_why(server: Server) -> None:
    cloudformation, group = server.client("cloudformation"), f"group-{uuid.uuid4()}"
    server.client("logs").create_log_group(logGroupName=group)
    change_set = propose(server, template(group))
    described = cloudformation.describe_change_set(ChangeSetName=change_set)
    assert (described["Status"], described["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert "[AWS::EarlyValidation::ResourceExistenceCheck]" in described["StatusReason"]
    assert group not in described["StatusReason"]
    (event,) = cloudformation.describe_events(ChangeSetName=change_set)["OperationEvents"]
    assert event["EventType"] == "VALIDATION_ERROR"
    assert event["ValidationStatusReason"] == (
        f"Resource of type 'AWS::Logs::LogGroup' with identifier '{group}' already exists."
    )
    with pytest.raises(ClientError) as error:
        cloudformation.execute_change_set(ChangeSetName=change_set)
    assert refusal(error) == "InvalidChangeSetStatus"


def test_events_need_the_arn_of_a_change_set_and_a_right_on_it(server: Server) -> None:
    change_set = propose(server, template(str(uuid.uuid4())))
    with pytest.raises(ClientError) as error:
        server.client("cloudformation").describe_events(ChangeSetName="first")
    assert refusal(error) == "ValidationError"
    for resource, allowed in ((change_set, True), ("arn:aws:cloudformation:*:*:stack/*", False)):
        key = server.key({"Action": "cloudformation:DescribeEvents", "Resource": resource})
        client = server.client("cloudformation", credentials=key)
        if allowed:
            assert client.describe_events(ChangeSetName=change_set)["OperationEvents"] == []
        else:
            with pytest.raises(ClientError) as error:
                client.describe_events(ChangeSetName=change_set)
            assert refusal(error) == "AccessDenied"


@pytest.mark.parametrize(("mode", "status"), [("FAIL", "FAILED"), ("WARN", "CREATE_COMPLETE")])
def test_any_check_can_be_made_to_fail_or_to_warn(
    server: Server, set_account: Callable[..., None], mode: str, status: str
) -> None:
    failure = {"LogicalId": "Made", "Type": "AWS::Made::Up", "Name": "MADE_UP", "Mode": mode, "Text": "Full."}
    set_account(validation_failures=[failure])
    cloudformation, change_set = server.client("cloudformation"), propose(server, template(str(uuid.uuid4())))
    assert cloudformation.describe_change_set(ChangeSetName=change_set)["Status"] == status
    (event,) = cloudformation.describe_events(ChangeSetName=change_set)["OperationEvents"]
    assert (event["ValidationName"], event["ValidationFailureMode"]) == ("MADE_UP", mode)


def test_a_property_that_is_missing_fails_a_change_set(server: Server) -> None:
    cloudformation, role = server.client("cloudformation"), {"Type": "AWS::IAM::Role", "Properties": {"Path": "/"}}
    change_set = propose(server, json.dumps({"Resources": {"Role": role}}))
    described = cloudformation.describe_change_set(ChangeSetName=change_set)
    assert described["Status"] == "FAILED"
    assert "[AWS::EarlyValidation::PropertyValidation]" in described["StatusReason"]
    (event,) = cloudformation.describe_events(ChangeSetName=change_set)["OperationEvents"]
    assert event["ValidationStatusReason"] == "Required property [AssumeRolePolicyDocument] not found"
    assert event["ValidationPath"] == "/Resources/Role/Properties"


@pytest.mark.parametrize("full", [True, False])
def test_a_change_set_that_would_delete_a_bucket_warns_where_it_is_full(server: Server, full: bool) -> None:
    cloudformation, s3 = server.client("cloudformation"), server.client("s3")
    stack, bucket = f"stack-{uuid.uuid4()}", f"bucket-{uuid.uuid4()}"
    group = json.loads(template(str(uuid.uuid4())))
    both = {
        "Resources": {**group["Resources"], "Old": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": bucket}}}
    }
    cloudformation.create_stack(StackName=stack, TemplateBody=json.dumps(both))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})
    if full:
        s3.put_object(Bucket=bucket, Key="key", Body=b"text")
    change_set = cloudformation.create_change_set(
        StackName=stack, ChangeSetName="second", TemplateBody=json.dumps(group)
    )["Id"]
    assert cloudformation.describe_change_set(ChangeSetName=change_set)["Status"] == "CREATE_COMPLETE"
    events = cloudformation.describe_events(ChangeSetName=change_set)["OperationEvents"]
    names = [(event["ValidationName"], event["ValidationFailureMode"]) for event in events]
    assert names == ([("BUCKET_EMPTINESS_VALIDATION", "WARN")] if full else [])
    if full:
        s3.delete_object(Bucket=bucket, Key="key")
    cloudformation.delete_stack(StackName=stack)
