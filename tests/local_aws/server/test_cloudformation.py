"""CloudFormation: custom resources that fail, and template URLs."""

from __future__ import annotations

import json
import os
import time
import uuid
from typing import Any

import boto3
import pytest
from botocore.exceptions import WaiterError

from tests.local_aws.server.ec2_requests import (
    SPOT_FLEET_TRUST,
)
from tests.local_aws.server.principals import Server

CUSTOM_RESOURCE = """
import json, time, urllib.request


def handler(event, context):
    time.sleep(SECONDS)
    failed = FAILS and event["RequestType"] == "Create"
    answer = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    answer |= {"Status": "FAILED" if failed else "SUCCESS", "Reason": "made to fail"}
    answer["PhysicalResourceId"] = event.get("PhysicalResourceId", "physical-1")
    print("SENT", event["RequestType"], event.get("PhysicalResourceId"))
    data = json.dumps(answer).encode()
    urllib.request.urlopen(urllib.request.Request(event["ResponseURL"], data=data, method="PUT"))
"""


def with_custom_resource(role: str, name: str, seconds: float, *, fails: bool) -> dict[str, Any]:
    """Return resources: a function that logs what it is sent, and a custom resource of it, ``Thing``."""
    code = CUSTOM_RESOURCE.replace("SECONDS", str(seconds)).replace("FAILS", str(fails))
    function = {
        "FunctionName": name,
        "Runtime": "python3.13",
        "Handler": "index.handler",
        "Role": role,
        "Code": {"ZipFile": code},
    }
    return {
        "Function": {"Type": "AWS::Lambda::Function", "Properties": function},
        "Thing": {"Type": "Custom::Thing", "Properties": {"ServiceToken": {"Fn::GetAtt": ["Function", "Arn"]}}},
    }


def requests_to(server: Server, function: str) -> list[list[str]]:
    """Return the type and the physical ID of every request that the function got."""
    logs = server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{function}", filterPattern="SENT")
    return [event["message"].split()[1:] for event in logs["events"]]


def test_a_custom_resource_whose_creation_failed_is_deleted_by_its_physical_id(server: Server) -> None:
    role = server.iam().create_role(RoleName="custom", AssumeRolePolicyDocument=SPOT_FLEET_TRUST)["Role"]["Arn"]
    template = {"Resources": with_custom_resource(role, "custom", 0, fails=True)}
    cloudformation = server.client("cloudformation")
    cloudformation.create_stack(StackName="custom", TemplateBody=json.dumps(template))
    with pytest.raises(WaiterError, match="ROLLBACK_COMPLETE"):
        cloudformation.get_waiter("stack_create_complete").wait(
            StackName="custom", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
    assert requests_to(server, "custom") == [["Create", "None"], ["Delete", "physical-1"]]


def test_deleting_a_stack_stops_its_creation_and_deletes_what_was_being_created(server: Server) -> None:
    role = server.iam().create_role(RoleName="stopped", AssumeRolePolicyDocument=SPOT_FLEET_TRUST)["Role"]["Arn"]
    group = {"Type": "AWS::Logs::LogGroup", "DependsOn": "Thing", "Properties": {"LogGroupName": "after-the-thing"}}
    resources = with_custom_resource(role, "stopped", 1, fails=False) | {"Group": group}
    cloudformation = server.client("cloudformation")
    made = cloudformation.create_stack(StackName="stopped", TemplateBody=json.dumps({"Resources": resources}))

    def events() -> set[tuple[str, str]]:
        listed = cloudformation.describe_stack_events(StackName=made["StackId"])["StackEvents"]
        return {(event["LogicalResourceId"], event["ResourceStatus"]) for event in listed}

    while ("Thing", "CREATE_IN_PROGRESS") not in events():
        time.sleep(0.05)
    cloudformation.delete_stack(StackName="stopped")
    assert cloudformation.describe_stacks(StackName="stopped")["Stacks"][0]["StackStatus"] == "DELETE_IN_PROGRESS"
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=made["StackId"], WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    assert requests_to(server, "stopped") == [["Create", "None"], ["Delete", "physical-1"]]
    assert ("stopped", "DELETE_COMPLETE") in events()
    assert not {("Group", "CREATE_IN_PROGRESS"), ("stopped", "CREATE_COMPLETE")} & events()
    assert not server.client("logs").describe_log_groups(logGroupNamePrefix="after-the-thing")["logGroups"]


def test_a_deleted_function_leaves_no_process(server: Server) -> None:
    role = server.iam().create_role(RoleName="process", AssumeRolePolicyDocument=SPOT_FLEET_TRUST)["Role"]["Arn"]
    function = {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "FunctionName": "process",
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "Role": role,
            "Code": {"ZipFile": "import os\n\ndef handler(event, context):\n    return os.getpid()\n"},
        },
    }
    cloudformation = server.client("cloudformation")
    cloudformation.create_stack(StackName="process", TemplateBody=json.dumps({"Resources": {"Function": function}}))
    cloudformation.get_waiter("stack_create_complete").wait(StackName="process", WaiterConfig={"Delay": 1})
    process_id = json.loads(server.client("lambda").invoke(FunctionName="process")["Payload"].read())
    os.kill(process_id, 0)
    cloudformation.delete_stack(StackName="process")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="process", WaiterConfig={"Delay": 1})
    with pytest.raises(ProcessLookupError):
        os.kill(process_id, 0)


@pytest.mark.parametrize("host", ["{bucket}.s3.amazonaws.com", "{bucket}.s3.us-west-2.amazonaws.com"])
def test_a_templates_url_may_have_the_bucket_in_its_host_name(root: boto3.Session, host: str) -> None:
    bucket = f"templates-{uuid.uuid4().hex[:12]}"
    s3 = root.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="deep/template.json", Body=b'{"Description": "here", "Resources": {}}')
    url = f"https://{host.format(bucket=bucket)}/deep/template.json"
    assert root.client("cloudformation").get_template_summary(TemplateURL=url)["Description"] == "here"


@pytest.mark.parametrize(
    ("stack_name", "logical_id", "beginning"),
    [
        # The first is a name that an account has: https://github.com/KensioSoftware/yulin/issues/1113
        (
            "ChineseboostAnalyticsStack",
            "RainlyticsSummariesJobFunRole",
            "ChineseboostAnalyticsStac-RainlyticsSummariesJobFun-",
        ),
        ("a-stack-with-a-name-that-is-rather-long", "Short", "a-stack-with-a-name-that-is-rather-long-Short-"),
        (
            "a-stack-with-a-name-of-forty-six-characters-ab",
            "Short",
            "a-stack-with-a-name-of-forty-six-characters-a-Short-",
        ),
        ("two--dashes", "Role", "two-dashes-Role-"),
    ],
)
def test_a_name_that_is_made_up_is_at_most_64_characters_long(
    server: Server, stack_name: str, logical_id: str, beginning: str
) -> None:
    role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": json.loads(SPOT_FLEET_TRUST)}}
    cloudformation = server.client("cloudformation")
    body = json.dumps({"Resources": {logical_id: role}})
    cloudformation.create_stack(StackName=stack_name, TemplateBody=body, Capabilities=["CAPABILITY_IAM"])
    cloudformation.get_waiter("stack_create_complete").wait(StackName=stack_name, WaiterConfig={"Delay": 1})
    (resource,) = cloudformation.describe_stack_resources(StackName=stack_name)["StackResources"]
    name = resource["PhysicalResourceId"]
    assert name.startswith(beginning)
    assert len(name) == len(beginning) + 12 <= 64
    cloudformation.delete_stack(StackName=stack_name)
