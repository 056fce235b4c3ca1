"""IAM policies on IAM's own calls, as users with nothing else."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.server.ec2_requests import (
    SPOT_FLEET_TRUST,
    refusal,
)
from tests.local_aws.server.principals import Server

TRUST = SPOT_FLEET_TRUST
OWNER: list[Any] = [{"Key": "owner", "Value": "us"}]
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]})


def test_a_managed_policy_has_as_many_characters_as_aws_takes(server: Server) -> None:
    iam, name = server.client("iam"), str(uuid.uuid4())

    def document(characters: int) -> str:
        policy = json.dumps(json.loads(POLICY), separators=(",", ":"))
        return policy.replace('"*"}', f'"*{"x" * (characters - len(policy))}"}}').replace(",", ", ")

    arn = iam.create_policy(PolicyName=name, PolicyDocument=document(6144))["Policy"]["Arn"]
    calls: list[Callable[[], object]] = [
        lambda: iam.create_policy(PolicyName=f"{name}-2", PolicyDocument=document(6145)),
        lambda: iam.create_policy_version(PolicyArn=arn, PolicyDocument=document(6145)),
    ]
    for call in calls:
        with pytest.raises(ClientError) as error:
            call()
        assert refusal(error) == "LimitExceeded"
    iam.delete_policy(PolicyArn=arn)


def test_a_path_is_part_of_the_resource_of_a_role_and_of_a_profile(server: Server) -> None:
    name = str(uuid.uuid4())
    resources = [f"arn:aws:iam::*:{kind}/annex/*" for kind in ("role", "instance-profile")]
    user = server.iam_user({"Action": "iam:*", "Resource": resources})
    user.create_role(RoleName=name, Path="/annex/", AssumeRolePolicyDocument=TRUST)
    user.create_instance_profile(InstanceProfileName=name, Path="/annex/")
    user.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    user.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=POLICY)
    for call in (
        lambda: user.create_role(RoleName=f"{name}-2", AssumeRolePolicyDocument=TRUST),
        lambda: user.create_instance_profile(InstanceProfileName=f"{name}-2", Path="/other/"),
    ):
        with pytest.raises(ClientError) as error:
            call()
        assert refusal(error) == "AccessDenied"


def test_a_role_needs_the_boundary_in_the_policy_when_created_and_when_changed(server: Server) -> None:
    name = str(uuid.uuid4())
    boundary = server.iam().create_policy(PolicyName=name, PolicyDocument=POLICY)["Policy"]["Arn"]
    condition = {"StringEquals": {"iam:PermissionsBoundary": boundary}}
    actions = ["iam:CreateRole", "iam:PutRolePolicy"]
    user = server.iam_user({"Action": actions, "Resource": "*", "Condition": condition})
    user.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST, PermissionsBoundary=boundary)
    user.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=POLICY)
    server.iam().create_role(RoleName=f"{name}-2", AssumeRolePolicyDocument=TRUST)
    with pytest.raises(ClientError) as error:
        user.create_role(RoleName=f"{name}-3", AssumeRolePolicyDocument=TRUST)
    assert refusal(error) == "AccessDenied"
    with pytest.raises(ClientError) as error:
        user.put_role_policy(RoleName=f"{name}-2", PolicyName="p", PolicyDocument=POLICY)
    assert refusal(error) == "AccessDenied"


def test_only_attaching_and_detaching_have_the_key_of_a_policy(server: Server) -> None:
    policy = server.iam().create_policy(PolicyName=str(uuid.uuid4()), PolicyDocument=POLICY)["Policy"]["Arn"]
    role = server.iam().create_role(RoleName=str(uuid.uuid4()), AssumeRolePolicyDocument=TRUST)["Role"]["RoleName"]
    condition = {"ArnEquals": {"iam:PolicyARN": policy}}
    actions = ["iam:AttachRolePolicy", "iam:CreatePolicyVersion", "iam:DetachRolePolicy"]
    user = server.iam_user({"Action": actions, "Resource": "*", "Condition": condition})
    user.attach_role_policy(RoleName=role, PolicyArn=policy)
    user.detach_role_policy(RoleName=role, PolicyArn=policy)
    with pytest.raises(ClientError) as error:
        user.create_policy_version(PolicyArn=policy, PolicyDocument=POLICY)
    assert refusal(error) == "AccessDenied"


@pytest.mark.parametrize("prefix", ["aws", "iam"])
def test_only_tagged_roles_are_deleted(server: Server, prefix: str) -> None:
    tagged, bare = str(uuid.uuid4()), str(uuid.uuid4())
    for name, tags in ((tagged, OWNER), (bare, [])):
        server.iam().create_role(RoleName=name, AssumeRolePolicyDocument=TRUST, Tags=tags)
    user = server.iam_user({"Action": "iam:Delete*", "Resource": "*", "Condition": owned(prefix)})
    with pytest.raises(ClientError) as error:
        user.delete_role(RoleName=bare)
    assert refusal(error) == "AccessDenied"
    user.delete_role(RoleName=tagged)


def test_only_tagged_profiles_are_deleted_and_the_tags_have_one_key(server: Server) -> None:
    tagged, bare = str(uuid.uuid4()), str(uuid.uuid4())
    for name, tags in ((tagged, OWNER), (bare, [])):
        server.iam().create_instance_profile(InstanceProfileName=name, Tags=tags)
    user, other = (
        server.iam_user({"Action": "iam:Delete*", "Resource": "*", "Condition": owned(prefix)})
        for prefix in ("aws", "iam")
    )
    for client, name in ((user, bare), (other, tagged)):
        with pytest.raises(ClientError) as error:
            client.delete_instance_profile(InstanceProfileName=name)
        assert refusal(error) == "AccessDenied"
    user.delete_instance_profile(InstanceProfileName=tagged)


def owned(prefix: str) -> dict[str, Any]:
    """Return the condition that a resource has the tag `OWNER`."""
    return {"StringEquals": {f"{prefix}:ResourceTag/owner": "us"}}


def test_adding_a_role_to_a_profile_needs_pass_role(server: Server) -> None:
    name = str(uuid.uuid4())
    server.iam().create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    server.iam().create_instance_profile(InstanceProfileName=name)
    user = server.iam_user({"Action": "iam:AddRoleToInstanceProfile", "Resource": "*"})
    with pytest.raises(ClientError, match="iam:PassRole"):
        user.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)


def test_service_linked_roles_have_fixed_names_and_are_created_once(server: Server) -> None:
    arn = "arn:aws:iam::*:role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot"
    condition = {"StringEquals": {"iam:AWSServiceName": "spot.amazonaws.com"}}
    # A stack of another test may have made it.
    with contextlib.suppress(ClientError):
        server.iam().delete_service_linked_role(RoleName="AWSServiceRoleForEC2Spot")
    user = server.iam_user(
        {"Action": "iam:CreateServiceLinkedRole", "Resource": arn, "Condition": condition},
        {"Action": "iam:GetRole", "Resource": arn},
    )
    made = user.create_service_linked_role(AWSServiceName="spot.amazonaws.com")["Role"]
    assert user.get_role(RoleName="AWSServiceRoleForEC2Spot")["Role"]["Arn"] == made["Arn"]
    with pytest.raises(ClientError) as error:
        user.create_service_linked_role(AWSServiceName="spot.amazonaws.com")
    assert refusal(error) == "InvalidInput"
    with pytest.raises(ClientError) as error:
        user.create_service_linked_role(AWSServiceName="spotfleet.amazonaws.com")
    assert refusal(error) == "AccessDenied"
