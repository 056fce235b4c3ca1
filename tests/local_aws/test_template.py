"""The built template on its own: plain boto3, IAM enforced, no client of ours."""

from __future__ import annotations

import json
from collections.abc import Callable

import boto3

from annex_bootstrap.launch import launch_page
from annex_contract.outputs import OUTPUTS
from annex_contract.stack import Output
from custom_resources.bucket import bucket_policy
from local_aws.demo.inventory import is_service_linked, take_inventory
from tests.local_aws import stack


def test_the_template_deploys_and_deleting_it_leaves_nothing(
    root: boto3.Session, template: str, put_template: Callable[[str], str]
) -> None:
    url = put_template(template)
    before = take_inventory(root)
    with stack.deployed(root, "plain", url) as made:
        assert set(made.outputs) == {output for output, rule in OUTPUTS.items() if not rule.optional}
        assert len(take_inventory(root) - before) > 20
    assert {resource for resource in take_inventory(root) - before if not is_service_linked(resource)} == set()


def test_a_creation_that_fails_leaves_nothing(
    root: boto3.Session, template: str, put_template: Callable[[str], str]
) -> None:
    url = put_template(template)
    before = take_inventory(root)
    assert stack.create(root, "fails", url, {"VpcId": "vpc-00000000000000000"}) == "ROLLBACK_COMPLETE"
    assert "InvalidVpcID.NotFound" in stack.reasons(root, "fails")[0]
    assert stack.delete(root, stack.describe(root, "fails").stack_id) == "DELETE_COMPLETE"
    assert {resource for resource in take_inventory(root) - before if not is_service_linked(resource)} == set()


def test_an_update_changes_rules_in_place(
    root: boto3.Session, template: str, put_template: Callable[[str], str]
) -> None:
    url = put_template(template)
    with stack.deployed(root, "updates", url) as made:
        changed = {"CondorCidrs": "192.0.2.0/24,2001:db8::/32", "SshCidrs": "", "CondorPort": "9619"}
        assert stack.update(root, "updates", url, changed) == "UPDATE_COMPLETE", stack.reasons(root, "updates")
        assert stack.describe(root, "updates").outputs == made.outputs
        (group,) = root.client("ec2").describe_security_groups(GroupIds=[made.outputs[Output.SECURITY_GROUP_ID]])[
            "SecurityGroups"
        ]
        opened = {
            (
                rule["FromPort"],
                *(cidr_range["CidrIp"] for cidr_range in rule["IpRanges"]),
                *(cidr_range["CidrIpv6"] for cidr_range in rule["Ipv6Ranges"]),
            )
            for rule in group["IpPermissions"]
        }
        assert opened in ({(9619, "192.0.2.0/24"), (9619, "2001:db8::/32")}, {(9619, "192.0.2.0/24", "2001:db8::/32")})


def test_the_bucket_is_private_and_encrypted_and_expires_objects(
    root: boto3.Session, template: str, put_template: Callable[[str], str]
) -> None:
    s3 = root.client("s3")
    with stack.deployed(root, "bucket", put_template(template)) as made:
        bucket = made.outputs[Output.S3_BUCKET_NAME]
        assert s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"] == dict.fromkeys(
            ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
        )
        (encryption,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        assert encryption["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        (ownership,) = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
        assert ownership["ObjectOwnership"] == "BucketOwnerEnforced"
        policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
        account = made.stack_id.split(":")[4]
        assert policy == bucket_policy("aws", bucket, made.stack_id)
        tls, others = policy["Statement"]
        assert (tls["Effect"], others["Effect"]) == ("Deny", "Deny")
        assert tls["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert f"arn:aws:iam::{account}:role/annex-bootstrap/*" in others["Condition"]["ArnLike"]["aws:PrincipalArn"]
        rules = {rule["ID"]: rule for rule in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]}
        assert rules["annex-configurations-expire"]["Expiration"] == {"Days": 30}
        assert rules["unfinished-uploads-expire"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
        assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key="config-left-behind.tar.gz", Body=b"made up")


def test_a_change_set_lists_exactly_what_will_be_created(
    root: boto3.Session, template: str, put_template: Callable[[str], str]
) -> None:
    client = root.client("cloudformation")
    made = client.create_change_set(
        StackName="counted",
        ChangeSetName="first",
        ChangeSetType="CREATE",
        TemplateURL=put_template(template),
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
    )
    changes = client.describe_change_set(ChangeSetName=made["Id"])["Changes"]
    # The launch page says so without asking.
    named = [change["ResourceChange"]["LogicalResourceId"] for change in changes]
    assert sorted(named) == sorted(launch_page.created(json.loads(template)))
    assert {"AlarmTopic", "AnnexKeyPair"}.isdisjoint(
        change["ResourceChange"]["LogicalResourceId"] for change in changes
    )
    client.execute_change_set(ChangeSetName=made["Id"])
    assert stack.wait(root, "counted") == "CREATE_COMPLETE"
    resources = client.describe_stack_resources(StackName="counted")["StackResources"]
    assert len(changes) == len(resources)
    assert stack.delete(root, made["StackId"]) == "DELETE_COMPLETE"


def test_a_key_pair_and_a_mailed_alarm_are_created_on_request(
    root: boto3.Session, template: str, put_template: Callable[[str], str]
) -> None:
    asked = {"KeyPair": "yes", "NotificationEmail": "lab@example.org", "LogRetentionDays": "7"}
    with stack.deployed(root, "asked", put_template(template), asked) as made:
        names = [pair["KeyName"] for pair in root.client("ec2").describe_key_pairs()["KeyPairs"]]
        assert made.outputs[Output.KEY_PAIR_NAME] in names
        alarms = [
            described
            for described in root.client("cloudwatch").describe_alarms()["MetricAlarms"]
            if described["AlarmName"].startswith("asked-")
        ]
        assert len(alarms) == 4
        # Each mails once, and to the one topic.
        topics = [[*alarm["AlarmActions"], *alarm["InsufficientDataActions"]] for alarm in alarms]
        ((topic,),) = {tuple(actions) for actions in topics}
        subscriptions = root.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
        assert [(subscription["Protocol"], subscription["Endpoint"]) for subscription in subscriptions] == [
            ("email", "lab@example.org")
        ]
        groups = root.client("logs").describe_log_groups()["logGroups"]
        assert {group["retentionInDays"] for group in groups if "asked" in group["logGroupName"]} == {7}
