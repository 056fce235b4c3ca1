"""Early validation: what CloudFormation checks before a change set is complete. Only DescribeEvents says what it found.

A change set that would create what exists, or whose resources lack a property that they must have, fails. One that
would delete a bucket with objects only gets a warning. Not checked are the values of properties, for which a plain
install has no schemas, and what CreateStack and UpdateStack do: our commands use change sets.

Sources: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/validate-stack-deployments.html, and for the
texts https://github.com/aws/aws-cdk-cli/issues/1000, https://github.com/aws/aws-cdk-cli/pull/1463 and
https://github.com/aws-cloudformation/rain/pull/744.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape

from ministack.core.responses import get_account_id, get_region, now_iso
from ministack.services import cloudformation, cloudwatch_logs, ec2, eventbridge, iam, lambda_svc, s3, sns
from ministack.services.cloudformation import changesets, handlers

from local_aws.server import account
from local_aws.server.iam.rules import value_of
from local_aws.server.wire import Params, Response

ChangeSet = dict[str, Any]

REASON = (
    "The following hook(s)/validation failed: [AWS::EarlyValidation::{check}]. "
    "To troubleshoot Early Validation errors, use the DescribeEvents API for detailed failure information."
)

FULL = (
    "The bucket '{bucket}' is not empty. You must either delete all objects and versions or use the deletion policy to "
    "retain it, otherwise the delete operation will fail."
)

NAMED: dict[str, tuple[str, Callable[[str, Mapping[str, Any]], bool]]] = {
    "AWS::EC2::LaunchTemplate": (
        "LaunchTemplateName",
        lambda name, _: any(each["LaunchTemplateName"] == name for each in ec2._launch_templates.values()),
    ),
    "AWS::Events::Rule": ("Name", lambda name, _: eventbridge._rule_key(name, "default") in eventbridge._rules),
    "AWS::IAM::ManagedPolicy": (
        "ManagedPolicyName",
        lambda name, properties: (
            f"arn:aws:iam::{get_account_id()}:policy{properties.get('Path', '/')}{name}" in iam._policies
        ),
    ),
    "AWS::IAM::Role": ("RoleName", lambda name, _: name in iam._roles),
    "AWS::Lambda::Function": ("FunctionName", lambda name, _: name in lambda_svc._functions),
    "AWS::Logs::LogGroup": ("LogGroupName", lambda name, _: name in cloudwatch_logs._log_groups),
    "AWS::S3::Bucket": ("BucketName", lambda name, _: name in s3._buckets),
    "AWS::SNS::Topic": (
        "TopicName",
        lambda name, _: f"arn:aws:sns:{get_region()}:{get_account_id()}:{name}" in sns._topics,
    ),
}
"""The property that names a resource of each type, and whether there is one of that name."""

REQUIRED: dict[str, tuple[str, ...]] = {
    "AWS::EC2::KeyPair": ("KeyName",),
    "AWS::EC2::LaunchTemplate": ("LaunchTemplateData",),
    "AWS::IAM::ManagedPolicy": ("PolicyDocument",),
    "AWS::IAM::Role": ("AssumeRolePolicyDocument",),
    "AWS::IAM::RolePolicy": ("PolicyName", "RoleName"),
    "AWS::Lambda::EventInvokeConfig": ("FunctionName", "Qualifier"),
    "AWS::Lambda::Function": ("Code", "Role"),
    "AWS::Lambda::Permission": ("FunctionName", "Action", "Principal"),
}
"""The properties that a resource must have, by the registry's schemas; types that are not in the template have none."""


def install() -> None:
    """Extend MiniStack's CloudFormation."""
    table: dict[str, Any] = handlers._ACTION_HANDLERS
    create = table["CreateChangeSet"]

    def create_change_set(params: Params) -> Response:
        answer: Response = create(params)
        created = re.search("<Id>(.*?)</Id>", answer[2].decode())
        if created:
            change_set = cloudformation._change_sets[created[1]]
            failures = [] if change_set["Status"] == "FAILED" else list(_failures(change_set))
            change_set["_failures"] = failures
            blocking = [failure["Name"] for failure in failures if failure["Mode"] == "FAIL"]
            if blocking:
                check = "PropertyValidation" if blocking[0].startswith("PROPERTY") else "ResourceExistenceCheck"
                reason = REASON.format(check=check)
                change_set |= {"Status": "FAILED", "ExecutionStatus": "UNAVAILABLE", "StatusReason": reason}
        return answer

    table["CreateChangeSet"] = create_change_set
    table["DescribeEvents"] = describe_events


def describe_events(params: Params) -> Response:
    """DescribeEvents of a change set, by its ARN: why validation failed; of a stack, nothing.

    By a name AWS knows none, also beside its stack: https://github.com/aws-cloudformation/cloudformation-cli/issues/1116
    """
    change_set_id = value_of(params, "ChangeSetName")
    if not change_set_id.startswith("arn:") and not value_of(params, "StackName"):
        message = "One of ChangeSetName, OperationId or StackName must be specified"
        missing: Response = handlers._error("ValidationError", message)
        return missing
    _, change_set = changesets._find_change_set(change_set_id) if change_set_id else (None, {})
    if change_set is None:
        unknown: Response = handlers._error("ChangeSetNotFound", f"ChangeSet [{change_set_id}] does not exist", 404)
        return unknown
    events = "".join(_event(change_set, failure) for failure in change_set.get("_failures", []))
    found: Response = handlers._xml(
        200,
        "DescribeEventsResponse",
        f"<DescribeEventsResult><OperationEvents>{events}</OperationEvents></DescribeEventsResult>",
    )
    return found


def _failures(change_set: ChangeSet) -> Iterator[dict[str, str]]:
    """Yield the checks that fail, each with a resource's logical ID and type, and whether that stops the change set."""
    yield from account.settings().validation_failures
    stack = (change_set["StackName"], change_set["StackId"])
    resolved = changesets._resolve_props_for_diff(change_set["_template"], change_set["_resolved_params"], *stack)
    for change in (change["ResourceChange"] for change in change_set["Changes"]):
        logical_id, kind = change["LogicalResourceId"], change["ResourceType"]
        of_resource = {"LogicalId": logical_id, "Type": kind}
        if change["Action"] == "Remove":
            bucket = change.get("PhysicalResourceId", "")
            goes = kind == "AWS::S3::Bucket" and change.get("PolicyAction") != "Retain"
            if goes and bucket in s3._buckets and _is_full(bucket):
                text = FULL.format(bucket=bucket)
                yield {**of_resource, "Name": "BUCKET_EMPTINESS_VALIDATION", "Mode": "WARN", "Text": text}
            continue
        properties = resolved["Resources"][logical_id].get("Properties", {})
        for name in (name for name in REQUIRED.get(kind, ()) if name not in properties):
            text = f"Required property [{name}] not found"
            where = "/Properties"
            yield {**of_resource, "Name": "PROPERTY_VALIDATION", "Mode": "FAIL", "Text": text, "Path": where}
        if change["Action"] == "Add" and kind in NAMED:
            name = properties.get(NAMED[kind][0])
            if isinstance(name, str) and NAMED[kind][1](name, properties):
                text = f"Resource of type '{kind}' with identifier '{name}' already exists."
                yield {**of_resource, "Name": "NAME_CONFLICT_VALIDATION", "Mode": "FAIL", "Text": text}


def _is_full(bucket: str) -> bool:
    return bool(s3._buckets[bucket]["objects"]) or s3._bucket_has_versions(bucket)


def _event(change_set: ChangeSet, failure: Mapping[str, str]) -> str:
    members = {
        "EventId": str(uuid.uuid4()),
        "StackId": change_set["StackId"],
        "OperationId": change_set["ChangeSetId"].rpartition("/")[2],
        "OperationType": "CREATE_CHANGESET",
        "EventType": "VALIDATION_ERROR",
        "LogicalResourceId": failure["LogicalId"],
        "ResourceType": failure["Type"],
        "Timestamp": now_iso(),
        "ValidationFailureMode": failure["Mode"],
        "ValidationName": failure["Name"],
        "ValidationStatus": "FAILED",
        "ValidationStatusReason": failure["Text"],
        "ValidationPath": f"/Resources/{failure['LogicalId']}{failure.get('Path', '')}",
    }
    return f"<member>{''.join(f'<{name}>{escape(value)}</{name}>' for name, value in members.items())}</member>"
