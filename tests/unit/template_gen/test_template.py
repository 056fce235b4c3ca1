"""What the template asks of CloudFormation where AWS is stricter than any local one."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from annex_bootstrap.stack.resolve import resolve
from annex_contract.resources import CUSTOM_RESOURCES
from annex_contract.stack import CONFIGURATION_TAG, ROLE_PATH, LogicalId, Part, function_of, sweep_rule_name
from docs_gen.permissions import chosen, statements_of
from docs_gen.resolve import references
from template_gen import parameters
from tests.stack_values import TEMPLATE, conditions_of, new_stack_id, values_of

MAILED = {"NotificationEmail": "lab@example.org"}


def properties(title: str, partition: str = "aws") -> dict[str, Any]:
    """A resource's properties in a stack with an address for mail."""
    values = values_of(new_stack_id(), MAILED, partition)
    values |= {"AWS::StackName": "swept", "AlarmTopic": "topic", "LeaseFunction": "lease"}
    resolved: dict[str, Any] = resolve(TEMPLATE[title]["Properties"], values, conditions_of(MAILED))
    return resolved


def test_what_the_launch_template_starts_has_the_tags_that_the_stack_was_given() -> None:
    parameters = {"Tag1": "cost-center=42", "Tag3": "empty="}
    found = resolve(
        TEMPLATE["LaunchTemplate"]["Properties"],
        values_of(new_stack_id(), parameters),
        conditions_of(parameters),
    )
    listed = [*found["TagSpecifications"], *found["LaunchTemplateData"]["TagSpecifications"]]
    tags = {each["ResourceType"]: {tag["Key"]: tag["Value"] for tag in each["Tags"]} for each in listed}
    assert sorted(tags) == ["instance", "launch-template", "network-interface", "volume"]
    for given in tags.values():
        assert {key: value for key, value in given.items() if ":" not in key} == {"cost-center": "42", "empty": ""}


def test_only_the_rules_arn_limits_who_may_call_the_lease_function() -> None:
    permission = properties("LeasePermission")
    assert "SourceAccount" not in permission
    assert permission["SourceArn"] == "arn:aws:events:us-east-1:123456789012:rule/*"


def test_a_sweep_that_cannot_be_delivered_raises_an_alarm_which_no_missing_data_raises() -> None:
    alarm = properties(LogicalId.SWEEP_ALARM)
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Events", "FailedInvocations")
    assert alarm["Dimensions"] == [{"Name": "RuleName", "Value": properties(LogicalId.SWEEP_RULE)["Name"]}]
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (1, "GreaterThanOrEqualToThreshold")
    assert alarm["TreatMissingData"] == "notBreaching"
    assert alarm["AlarmActions"] == ["topic"]


def test_an_alarm_on_silence_mails_only_when_it_leaves_another_state() -> None:
    alarm = properties(LogicalId.SILENCE_ALARM)
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Lambda", "Invocations")
    assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": "lease"}]
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 3 * 3600
    # An alarm begins in INSUFFICIENT_DATA, and actions belong to changes of state: none while the stack is created.
    assert alarm["TreatMissingData"] == "missing"
    assert alarm["InsufficientDataActions"] == ["topic"]
    # A count that is there is at least one, so no data point ever breaches.
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (1, "LessThanThreshold")
    assert "AlarmActions" not in alarm


def test_no_alarm_waits_for_the_rule_which_takes_a_minute() -> None:
    assert properties(LogicalId.SWEEP_RULE)["Name"] == sweep_rule_name("swept")
    for title in (LogicalId.SWEEP_ALARM, LogicalId.SILENCE_ALARM):
        assert f'"Ref": "{LogicalId.SWEEP_RULE}"' not in json.dumps(TEMPLATE[title])


def test_ec2_is_trusted_by_the_name_that_every_partition_knows() -> None:
    for partition in ("aws", "aws-cn", "aws-us-gov", "aws-eusc"):
        assert properties("InstanceRole", partition)["TrustedService"] == "ec2.amazonaws.com"


def test_functions_have_memory_for_the_runtime_beside_the_code() -> None:
    sizes = {
        resource["Properties"]["MemorySize"]
        for resource in TEMPLATE.values()
        if resource["Type"] == "AWS::Lambda::Function"
    }
    assert sizes == {256}


def test_the_lease_function_has_executions_of_its_own_where_a_parameter_says_so() -> None:
    wanted = TEMPLATE[LogicalId.LEASE_FUNCTION]["Properties"]["ReservedConcurrentExecutions"]
    parameter = {"Ref": "ReservedConcurrency"}
    assert wanted == {"Fn::If": ["HasReservedConcurrency", parameter, {"Ref": "AWS::NoValue"}]}
    assert parameters.INPUTS["ReservedConcurrency"].default == ""


def test_an_alarm_watches_the_lease_function_being_throttled() -> None:
    alarm = properties(LogicalId.THROTTLE_ALARM)
    assert (alarm["MetricName"], alarm["Statistic"], alarm["Threshold"]) == ("Throttles", "Sum", 1)
    assert alarm["Dimensions"] == properties(LogicalId.LEASE_ALARM)["Dimensions"]


def test_a_parameter_that_is_an_address_mails_every_alarm() -> None:
    assert parameters.CONDITIONS["HasEmail"].parameter == "NotificationEmail"
    for title in (LogicalId.LEASE_ALARM, LogicalId.THROTTLE_ALARM, LogicalId.SWEEP_ALARM, LogicalId.SILENCE_ALARM):
        alarm = properties(title)
        assert [*alarm.get("AlarmActions", []), *alarm.get("InsufficientDataActions", [])] == ["topic"]


def test_the_launch_template_makes_machines_closed_encrypted_and_gone_when_they_shut_down() -> None:
    data = properties(LogicalId.LAUNCH_TEMPLATE)["LaunchTemplateData"]
    assert (data["ImageId"], data["SecurityGroupIds"]) == ("ami-0123456789abcdef0", ["sg-0123456789abcdef0"])
    assert data["IamInstanceProfile"] == {"Arn": "arn:aws:iam::123456789012:instance-profile/annex-bootstrap/start"}
    options = data["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 1)
    assert options["InstanceMetadataTags"] == "enabled"
    (root,) = data["BlockDeviceMappings"]
    ebs = {"Encrypted": True, "KmsKeyId": "alias/aws/ebs", "DeleteOnTermination": True}
    assert root == {"DeviceName": "/dev/xvda", "Ebs": ebs}
    assert data["InstanceInitiatedShutdownBehavior"] == "terminate"
    # A type would exclude attributes, and a launch on demand fails by tags for a spot request.
    assert "InstanceType" not in data
    kinds = {specification["ResourceType"] for specification in data["TagSpecifications"]}
    assert kinds == {"instance", "volume", "network-interface"}
    (tags,) = (each["Tags"] for each in data["TagSpecifications"] if each["ResourceType"] == "instance")
    bucket, role = "annex-bootstrap-123456789012-", "/AROA0123456789ABCDEFG"
    (value,) = (tag["Value"] for tag in tags if tag["Key"] == CONFIGURATION_TAG)
    assert value.startswith(bucket)
    assert value.endswith(role)


KEY = "arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012"


def test_one_key_encrypts_all_that_the_stack_stores() -> None:
    given = MAILED | {"KmsKeyArn": KEY}
    values = values_of(new_stack_id(), given) | {"LeaseFunction": "lease"}
    found: dict[str, Any] = {
        title: resolve(resource["Properties"], values, conditions_of(given))
        for title, resource in TEMPLATE.items()
        if resource["Type"] in ("AWS::EC2::LaunchTemplate", "AWS::Logs::LogGroup", "AWS::SNS::Topic")
        or resource["Type"].startswith("Custom::")
    }
    (root,) = found[LogicalId.LAUNCH_TEMPLATE]["LaunchTemplateData"]["BlockDeviceMappings"]
    assert root["Ebs"]["KmsKeyId"] == KEY
    with_key = ("Bucket", "FleetRole", "ImageBuilder", "InstanceRole", "StartRole")
    assert {found[title]["KmsKey"] for title in with_key} == {KEY}
    assert found["AlarmTopic"]["KmsMasterKeyId"] == KEY
    logs = [each for title, each in found.items() if title.endswith("Logs")]
    assert len(logs) == 9
    assert {each["KmsKeyId"] for each in logs} == {KEY}


def test_without_a_key_machines_name_the_one_that_everybody_may_use_and_the_rest_names_none() -> None:
    assert "KmsMasterKeyId" not in properties("AlarmTopic")
    assert "KmsKeyId" not in properties("LeaseFunctionLogs")
    assert properties("ImageBuilder")["KmsKey"] == "alias/aws/ebs"
    assert properties("Bucket")["KmsKey"] == ""


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, "t3.medium"),
        ({"ImageArchitecture": "arm64"}, "t4g.medium"),
        ({"BuilderType": "c7i.xlarge"}, "c7i.xlarge"),
        ({"BuilderType": "c7g.xlarge", "ImageArchitecture": "arm64"}, "c7g.xlarge"),
    ],
)
def test_the_type_of_the_builder_is_a_parameter(given: dict[str, str], wanted: str) -> None:
    builder = resolve(TEMPLATE["ImageBuilder"]["Properties"], values_of(new_stack_id(), given), conditions_of(given))
    assert builder["BuilderType"] == wanted


def test_tags_of_machines_have_keys_that_the_metadata_service_can_show() -> None:
    for specification in properties(LogicalId.LAUNCH_TEMPLATE)["LaunchTemplateData"]["TagSpecifications"]:
        for tag in specification["Tags"]:
            # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/work-with-tags-in-IMDS.html
            assert re.fullmatch(r"[A-Za-z0-9+=.,_:@-]+", tag["Key"])


def _before(title: str) -> set[str]:
    """What CloudFormation creates before a resource, and so deletes after it."""
    needed = set(references(TEMPLATE[title])) & TEMPLATE.keys()
    return needed.union(*(_before(other) for other in needed))


def test_whatever_a_function_may_do_but_log_is_allowed_before_it_is_there_and_until_it_is_gone() -> None:
    for function in (title for title, resource in TEMPLATE.items() if resource["Type"] == "AWS::Lambda::Function"):
        lasting = {
            chosen(statement)["Sid"]
            for title in _before(function)
            for policy in (TEMPLATE[title]["Properties"], *TEMPLATE[title]["Properties"].get("Policies", []))
            for statement in policy.get("PolicyDocument", {}).get("Statement", [])
        }
        everything = {chosen(statement)["Sid"] for statement in statements_of(TEMPLATE, function)}
        assert everything - lasting <= {"WriteOwnLogs"}, function


def test_a_custom_resource_is_deleted_before_the_policy_that_lets_its_function_delete_it() -> None:
    for resource in CUSTOM_RESOURCES:
        assert Part.POLICY.of(function_of(resource.logical_id)) in _before(resource.logical_id)


def test_the_rule_that_takes_a_minute_waits_only_for_a_role_and_its_function() -> None:
    assert _before(LogicalId.SWEEP_RULE) == {LogicalId.LEASE_FUNCTION, "LeaseExecRole", "LeaseFunctionLogs"}


def test_the_lease_function_knows_the_bucket_and_the_profile_by_the_names_that_they_get() -> None:
    values, conditions = values_of(new_stack_id(), {}), conditions_of({})
    environment, role, bucket = (
        resolve(part, values, conditions)
        for part in (
            TEMPLATE[LogicalId.LEASE_FUNCTION]["Properties"]["Environment"]["Variables"],
            TEMPLATE["InstanceRole"]["Properties"]["RoleName"],
            TEMPLATE["Bucket"]["Properties"]["BucketName"],
        )
    )
    assert environment["BUCKET_NAME"] == bucket
    assert environment["INSTANCE_PROFILE_ARN"] == f"arn:aws:iam::123456789012:instance-profile{ROLE_PATH}{role}"
