"""Adoption, updates, refusals and deletion: in this process if one request shows it, else with the built template."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from annex_contract.ownership import HEADER
from annex_contract.stack import Output
from local_aws.demo.inventory import is_service_linked, take_inventory
from tests.local_aws import stack
from tests.local_aws.custom_resources.account import Account
from tests.local_aws.custom_resources.lifecycle import BUCKET, ROLE, Scenario, Stack
from tests.local_aws.custom_resources.provider import Answer, Provider


def send(provider: Provider, resource: str, parameters: dict[str, str]) -> Answer:
    """Create with the function's own policies."""
    provider.hold(provider.policies(resource, parameters))
    answer = provider.send("Create", resource, parameters)
    assert answer is not None
    return answer


def test_a_bucket_that_may_be_public_is_refused_and_not_touched(provider: Provider, account: Account) -> None:
    account.s3.create_bucket(Bucket="open-to-all")
    account.s3.delete_public_access_block(Bucket="open-to-all")
    as_it_was = account.details("Bucket", "open-to-all")
    answer = send(provider, "Bucket", {"BucketName": "open-to-all"})
    assert answer.status == "FAILED"
    assert "turn on its Block Public Access" in answer.reason
    assert account.details("Bucket", "open-to-all") == as_it_was
    account.s3.delete_bucket(Bucket="open-to-all")


def test_a_bucket_in_another_region_is_refused(provider: Provider, root: boto3.Session) -> None:
    s3 = root.client("s3", region_name="eu-central-1")
    s3.create_bucket(Bucket="far-away", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    answer = send(provider, "Bucket", {"BucketName": "far-away"})
    assert answer.status == "FAILED"
    assert "is in eu-central-1" in answer.reason
    s3.delete_bucket(Bucket="far-away")


def test_a_bucket_that_denies_access_is_refused(provider: Provider, account: Account) -> None:
    account.s3.create_bucket(Bucket="of-somebody-else")
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::of-somebody-else"}
    account.s3.put_bucket_policy(
        Bucket="of-somebody-else", Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    )
    answer = send(provider, "Bucket", {"BucketName": "of-somebody-else"})
    assert answer.status == "FAILED"
    assert "a policy denies it, or the bucket is not yours" in answer.reason
    account.s3.delete_bucket(Bucket="of-somebody-else")


def test_every_call_names_the_owner_that_the_bucket_must_have(provider: Provider) -> None:
    provider.hold(provider.policies("Bucket", {}))
    owners: dict[str, bytes | None] = {}
    assert boto3.DEFAULT_SESSION is not None
    boto3.DEFAULT_SESSION.events.register(
        "before-send.s3", lambda event_name, request, **_: owners.update({event_name: request.headers.get(HEADER)})
    )
    answer = provider.send("Create", "Bucket", {})
    assert answer is not None
    provider.send("Delete", "Bucket", {}, answer.physical_id)
    assert len(owners) > 8
    assert owners.pop("before-send.s3.CreateBucket") is None
    assert set(owners.values()) == {b"123456789012"}


def test_a_bucket_that_holds_other_objects_is_kept_and_the_response_says_so(
    provider: Provider, account: Account, vpc: str
) -> None:
    lifecycle = Stack(provider, account, Scenario("Bucket", "Create"), vpc)
    lifecycle.create()
    name = lifecycle.physical_id
    for key in ("config-a.tar.gz", "results/of-the-user.csv"):
        account.s3.put_object(Bucket=name, Key=key, Body=b"made up")
    answer = lifecycle.must("Delete", {}, physical_id=name)
    assert "holds objects that annex-bootstrap did not put there" in answer.reason
    assert [entry["Key"] for entry in account.s3.list_objects_v2(Bucket=name)["Contents"]] == [
        "results/of-the-user.csv"
    ]
    account.s3.delete_object(Bucket=name, Key="results/of-the-user.csv")
    lifecycle.must("Delete", {}, physical_id=name)
    assert f"bucket {name}" not in account.resources()


def test_a_deletion_that_times_out_names_the_machine_that_uses_the_group(
    provider: Provider, account: Account, vpc: str
) -> None:
    lifecycle = Stack(provider, account, Scenario("SecurityGroup", "Create"), vpc)
    lifecycle.create()
    machine = lifecycle.use_group(lifecycle.physical_id)
    _, ends = provider.clock.meanwhile.pop()
    answer = lifecycle.request("Delete", {})
    assert answer is not None
    assert answer.status == "FAILED"
    assert machine in answer.reason
    assert provider.clock.now > 200
    ends()
    lifecycle.must("Delete", {})


def test_a_role_that_the_spot_fleet_service_cannot_assume_is_refused(provider: Provider, account: Account) -> None:
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
            {"Effect": "Deny", "Principal": {"Service": "spotfleet.amazonaws.com"}, "Action": "sts:AssumeRole"},
        ],
    }
    account.iam.create_role(RoleName="wrong-trust", AssumeRolePolicyDocument=json.dumps(trust))
    answer = send(provider, "FleetRole", {"FleetRoleName": "wrong-trust"})
    assert answer.status == "FAILED"
    assert "does not trust spotfleet.amazonaws.com" in answer.reason
    account.iam.delete_role(RoleName="wrong-trust")


@pytest.mark.parametrize("resource", ["InstanceRole", "SecurityGroup"])
def test_a_resource_with_our_name_but_not_our_tag_is_refused(
    provider: Provider, account: Account, vpc: str, resource: str
) -> None:
    lifecycle = Stack(provider, account, Scenario(resource, "Create"), vpc)
    properties = provider.properties(resource, {})
    if resource == "InstanceRole":
        name = properties["RoleName"]
        account.iam.create_role(RoleName=name, Path="/annex-bootstrap/", AssumeRolePolicyDocument=_ANY_TRUST)
    else:
        name = properties["GroupName"]
        account.ec2.create_security_group(GroupName=name, Description="of somebody else")
    as_it_was = account.details(resource, name)
    outcome = lifecycle.create()
    assert outcome is not None
    assert outcome.status == "FAILED"
    assert "was not made by this stack" in outcome.reason
    assert account.details(resource, name) == as_it_was
    if resource == "InstanceRole":
        account.iam.delete_role(RoleName=name)
    else:
        account.ec2.delete_security_group(GroupName=name)


_ANY_TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
)


def test_a_boundary_that_somebody_else_set_is_kept(provider: Provider, account: Account, vpc: str) -> None:
    lifecycle = Stack(provider, account, Scenario("InstanceRole", "Create"), vpc)
    lifecycle.create()
    boundary = "arn:aws:iam::123456789012:policy/swept-boundary"
    account.iam.put_role_permissions_boundary(RoleName=lifecycle.physical_id, PermissionsBoundary=boundary)
    lifecycle.must("Update", {"ConfigKeyPattern": "config-x-*.tar.gz"}, {})
    role = account.iam.get_role(RoleName=lifecycle.physical_id)["Role"]
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary
    lifecycle.delete()


def test_a_stack_leaves_adopted_resources_unchanged(
    root: boto3.Session, account: Account, template: str, put_template: Callable[[str], str]
) -> None:
    bucket, role = account.details("Bucket", BUCKET), account.details("FleetRole", ROLE)
    with stack.deployed(root, "adopts", put_template(template), {"BucketName": BUCKET, "FleetRoleName": ROLE}) as made:
        assert made.outputs[Output.S3_BUCKET_NAME] == BUCKET
        assert made.outputs[Output.IAM_FLEET_ROLE_ARN].endswith(f":role/ops/{ROLE}")
    assert account.details("Bucket", BUCKET) == bucket
    assert account.details("FleetRole", ROLE) == role


def test_an_update_replaces_resources_and_a_failed_one_rolls_back(
    root: boto3.Session, account: Account, template: str, put_template: Callable[[str], str]
) -> None:
    url = put_template(template)
    before = take_inventory(root)
    account.s3.create_bucket(Bucket="still-open-to-all")
    account.s3.delete_public_access_block(Bucket="still-open-to-all")
    with stack.deployed(root, "replaces", url, {"BucketName": "first-name"}) as made:
        named = {"BucketName": "second-name", "FleetRoleName": "second-role"}
        assert stack.update(root, "replaces", url, named) == "UPDATE_COMPLETE", stack.reasons(root, "replaces")
        outputs = stack.describe(root, "replaces").outputs
        assert outputs[Output.S3_BUCKET_NAME] == "second-name"
        assert outputs[Output.IAM_FLEET_ROLE_ARN].endswith(":role/annex-bootstrap/second-role")
        resources = account.resources()
        assert "bucket first-name" not in resources
        assert f"role {made.outputs[Output.IAM_FLEET_ROLE_ARN]}" not in resources
        as_it_was = account.details("Bucket", "second-name")
        refused = named | {"BucketName": "still-open-to-all", "SshCidrs": ""}
        assert stack.update(root, "replaces", url, refused) == "UPDATE_ROLLBACK_COMPLETE"
        assert "Block Public Access" in " ".join(stack.reasons(root, "replaces"))
        assert stack.describe(root, "replaces").outputs == outputs
        assert account.details("Bucket", "second-name") == as_it_was
    account.s3.delete_bucket(Bucket="still-open-to-all")
    assert {resource for resource in take_inventory(root) - before if not is_service_linked(resource)} == set()


def test_a_function_that_cannot_start_says_so_and_the_stack_rolls_back(
    root: boto3.Session, template: str, put_template: Callable[[str], str]
) -> None:
    broken: dict[str, Any] = json.loads(template)
    code = broken["Resources"]["SecurityGroupFunction"]["Properties"]["Code"]["ZipFile"]
    code["Fn::Join"][1].insert(1, "broken")
    before = take_inventory(root)
    assert stack.create(root, "broken", put_template(json.dumps(broken))) == "ROLLBACK_COMPLETE"
    assert "the function cannot start" in stack.reasons(root, "broken")[0]
    assert stack.delete(root, stack.describe(root, "broken").stack_id) == "DELETE_COMPLETE"
    assert {resource for resource in take_inventory(root) - before if not is_service_linked(resource)} == set()
