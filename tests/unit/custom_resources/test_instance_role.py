"""The machines' role and profile: the calls that make them, find one left behind, change and delete them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from custom_resources import instance_role
from custom_resources.lifecycle import ResourceError
from custom_resources.profiles import delete_profile_and_role
from tests.unit.custom_resources.conftest import OWN, request
from tests.unit.recorded import Recorded, RefusedError

NAME = "annex-bootstrap-instance-1"
REQUEST = request(
    NAME,
    {
        "RoleName": NAME,
        "TrustedService": "ec2.amazonaws.com",
        "BucketName": "pool-bucket",
        "KeyPattern": "config-*.tar.gz",
        "PermissionsBoundaryArn": "",
    },
)
MADE = {"Path": "/annex-bootstrap/", "CreateDate": datetime(2026, 1, 1, tzinfo=UTC)}
ROLE_ARN = f"arn:aws:iam::123456789012:role/annex-bootstrap/{NAME}"
PROFILE_ARN = f"arn:aws:iam::123456789012:instance-profile/annex-bootstrap/{NAME}"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
)
ROLE = MADE | {"RoleName": NAME, "RoleId": "AROAMADEUPMADEUP", "Arn": ROLE_ARN}
FOUND = {"Role": ROLE | {"AssumeRolePolicyDocument": TRUST, "Tags": [OWN]}}
NONE = RefusedError("NoSuchEntity", status=404)
TAKEN = RefusedError("EntityAlreadyExists", status=409)
LINK = {"InstanceProfileName": NAME, "RoleName": NAME}
POLICIES = [
    (
        "PutRolePolicy",
        {
            "RoleName": NAME,
            "PolicyName": name,
            "PolicyDocument": json.dumps({"Version": "2012-10-17", "Statement": statements}),
        },
    )
    for name, statements in (
        (
            "annex-configuration",
            [
                {
                    "Sid": "ReadPoolConfiguration",
                    "Effect": "Allow",
                    "Action": "s3:GetObject",
                    "Resource": "arn:aws:s3:::pool-bucket/config-*.tar.gz",
                }
            ],
        ),
        (
            "annex-boot",
            [
                {
                    "Sid": "ReadOwnRole",
                    "Effect": "Allow",
                    "Action": ["iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies"],
                    "Resource": ROLE_ARN,
                },
                {
                    "Sid": "ReadOwnProfile",
                    "Effect": "Allow",
                    "Action": "iam:GetInstanceProfile",
                    "Resource": PROFILE_ARN,
                },
                {
                    "Sid": "FindOwnAnnex",
                    "Effect": "Allow",
                    "Action": ["ec2:DescribeInstances", "ec2:DescribeSpotFleetRequests"],
                    "Resource": "*",
                },
            ],
        ),
    )
]


def profile(tags: list[dict[str, str]], *roles: str) -> dict[str, Any]:
    held = [ROLE | {"RoleName": name} for name in roles]
    names = {"InstanceProfileName": NAME, "InstanceProfileId": "AIPAMADEUPMADEUP", "Arn": PROFILE_ARN}
    return {"InstanceProfile": MADE | names | {"Roles": held, "Tags": tags}}


NEW: dict[str, Any] = {
    "GetRole": NONE,
    "CreateRole": {"Role": ROLE},
    "PutRolePolicy": {},
    "AddRoleToInstanceProfile": {},
    "RemoveRoleFromInstanceProfile": {},
}


def test_a_first_creation_does_not_look_for_a_profile(aws: Callable[..., Recorded]) -> None:
    made = aws(**NEW, CreateInstanceProfile=profile([]))
    assert instance_role.put(REQUEST) == {"ProfileArn": PROFILE_ARN, "RoleArn": ROLE_ARN}
    assert made.calls == [
        ("GetRole", {"RoleName": NAME}),
        (
            "CreateRole",
            {
                "RoleName": NAME,
                "Path": "/annex-bootstrap/",
                "AssumeRolePolicyDocument": TRUST,
                "Description": "Lets the machines of HTCondor annexes join the pool",
                "Tags": [OWN],
            },
        ),
        *POLICIES,
        ("CreateInstanceProfile", {"InstanceProfileName": NAME, "Path": "/annex-bootstrap/", "Tags": [OWN]}),
        ("AddRoleToInstanceProfile", LINK),
    ]


def test_our_own_profile_without_its_role_is_used(aws: Callable[..., Recorded]) -> None:
    made = aws(**NEW, CreateInstanceProfile=TAKEN, GetInstanceProfile=profile([OWN]))
    instance_role.put(REQUEST)
    assert made.calls[-2:] == [
        ("GetInstanceProfile", {"InstanceProfileName": NAME}),
        ("AddRoleToInstanceProfile", LINK),
    ]


def test_a_profile_of_somebody_else_is_left_alone(aws: Callable[..., Recorded]) -> None:
    made = aws(**NEW, CreateInstanceProfile=TAKEN, GetInstanceProfile=profile([]))
    with pytest.raises(ResourceError, match="was not made by this stack"):
        instance_role.put(REQUEST)
    assert made.names[-1] == "GetInstanceProfile"


def test_an_update_keeps_the_role_and_takes_another_one_out_of_the_profile(aws: Callable[..., Recorded]) -> None:
    made = aws(**NEW | {"GetRole": FOUND}, GetInstanceProfile=profile([OWN], NAME, "other"))
    assert instance_role.put(REQUEST) == {"ProfileArn": PROFILE_ARN, "RoleArn": ROLE_ARN}
    assert made.calls == [
        ("GetRole", {"RoleName": NAME}),
        *POLICIES,
        ("GetInstanceProfile", {"InstanceProfileName": NAME}),
        ("RemoveRoleFromInstanceProfile", {"InstanceProfileName": NAME, "RoleName": "other"}),
    ]


def test_an_update_whose_profile_is_gone_makes_it(aws: Callable[..., Recorded]) -> None:
    made = aws(**NEW | {"GetRole": FOUND}, GetInstanceProfile=NONE, CreateInstanceProfile=profile([]))
    instance_role.put(REQUEST)
    assert made.names[-3:] == ["GetInstanceProfile", "CreateInstanceProfile", "AddRoleToInstanceProfile"]


def test_a_profile_that_appears_after_it_was_looked_for_is_looked_at_by_the_next_attempt(
    aws: Callable[..., Recorded],
) -> None:
    aws(**NEW | {"GetRole": FOUND}, GetInstanceProfile=NONE, CreateInstanceProfile=TAKEN)
    with pytest.raises(ClientError, match="EntityAlreadyExists"):
        instance_role.put(REQUEST)


KEY = "arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012"
PRESENT = NEW | {"GetRole": FOUND, "GetInstanceProfile": profile([OWN], NAME)}


def test_where_the_stack_has_a_key_machines_may_read_with_it_through_s3(aws: Callable[..., Recorded]) -> None:
    made = aws(**PRESENT)
    instance_role.put(replace(REQUEST, properties={**REQUEST.properties, "KmsKey": KEY}))
    put = made.of("PutRolePolicy")[-1]
    assert put["PolicyName"] == "annex-key"
    assert json.loads(put["PolicyDocument"])["Statement"] == [
        {
            "Sid": "DecryptPoolConfigurations",
            "Effect": "Allow",
            "Action": ["kms:Decrypt"],
            "Resource": KEY,
            "Condition": {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}},
        }
    ]


@pytest.mark.parametrize("answer", [{}, NONE])
def test_where_the_stack_has_its_key_no_longer_that_right_goes(aws: Callable[..., Recorded], answer: Any) -> None:
    made = aws(**PRESENT | {"DeleteRolePolicy": answer})
    instance_role.put(replace(REQUEST, old_properties={**REQUEST.properties, "KmsKey": KEY}))
    assert made.of("DeleteRolePolicy") == [{"RoleName": NAME, "PolicyName": "annex-key"}]


def test_a_role_of_somebody_else_is_left_alone(aws: Callable[..., Recorded]) -> None:
    made = aws(GetRole={"Role": ROLE | {"AssumeRolePolicyDocument": TRUST}})
    with pytest.raises(ResourceError, match=f"a role {NAME} exists and was not made by this stack"):
        instance_role.put(REQUEST)
    assert made.names == ["GetRole"]


def test_deleting_empties_and_deletes_the_profile_and_then_the_role(aws: Callable[..., Recorded]) -> None:
    made = aws(
        **NEW | {"GetRole": FOUND},
        GetInstanceProfile=profile([OWN], NAME),
        DeleteInstanceProfile={},
        ListAttachedRolePolicies={"AttachedPolicies": []},
        ListRolePolicies={"PolicyNames": []},
        DeleteRole={},
    )
    assert delete_profile_and_role(REQUEST) == ""
    assert made.calls == [
        ("GetInstanceProfile", {"InstanceProfileName": NAME}),
        ("RemoveRoleFromInstanceProfile", LINK),
        ("DeleteInstanceProfile", {"InstanceProfileName": NAME}),
        ("GetRole", {"RoleName": NAME}),
        ("ListAttachedRolePolicies", {"RoleName": NAME}),
        ("ListRolePolicies", {"RoleName": NAME}),
        ("DeleteRole", {"RoleName": NAME}),
    ]


@pytest.mark.parametrize("found", [NONE, profile([], NAME)])
def test_deleting_leaves_what_is_not_ours(aws: Callable[..., Recorded], found: Any) -> None:
    made = aws(GetRole=NONE, GetInstanceProfile=found)
    delete_profile_and_role(REQUEST)
    assert made.names == ["GetInstanceProfile", "GetRole"]
