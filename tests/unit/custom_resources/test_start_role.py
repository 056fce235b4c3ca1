"""The role and profile of the machines that ``start`` starts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from custom_resources import start_role
from tests.unit.custom_resources.conftest import OWN
from tests.unit.custom_resources.test_instance_role import (
    FOUND,
    LINK,
    NAME,
    NEW,
    PROFILE_ARN,
    REQUEST,
    TRUST,
    profile,
)
from tests.unit.recorded import Recorded

BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"
START_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "ReadOwnConfigurationOnce",
            "Effect": "Allow",
            "Action": ["s3:DeleteObject", "s3:GetObject"],
            "Resource": "arn:aws:s3:::pool-bucket/machines/*/${aws:userid}",
        }
    ],
}
PUT = ("PutRolePolicy", {"RoleName": NAME, "PolicyName": "annex-start", "PolicyDocument": json.dumps(START_POLICY)})


def test_the_role_of_start_is_made_with_its_policy_and_profile_and_bound(aws: Callable[..., Recorded]) -> None:
    made = aws(**NEW, CreateInstanceProfile=profile([]))
    bound = replace(REQUEST, properties={**REQUEST.properties, "PermissionsBoundaryArn": BOUNDARY})
    assert start_role.put(bound) == {"ProfileArn": PROFILE_ARN, "RoleId": "AROAMADEUPMADEUP"}
    assert made.calls == [
        ("GetRole", {"RoleName": NAME}),
        (
            "CreateRole",
            {
                "RoleName": NAME,
                "Path": "/annex-bootstrap/",
                "AssumeRolePolicyDocument": TRUST,
                "Description": "Lets each machine of annex-bootstrap start read its own configuration",
                "Tags": [OWN],
                "PermissionsBoundary": BOUNDARY,
            },
        ),
        PUT,
        ("CreateInstanceProfile", {"InstanceProfileName": NAME, "Path": "/annex-bootstrap/", "Tags": [OWN]}),
        ("AddRoleToInstanceProfile", LINK),
    ]


def test_an_update_gives_the_role_of_start_its_policy_again(aws: Callable[..., Recorded]) -> None:
    made = aws(GetRole=FOUND, PutRolePolicy={}, GetInstanceProfile=profile([OWN], NAME))
    assert start_role.put(REQUEST) == {"ProfileArn": PROFILE_ARN, "RoleId": "AROAMADEUPMADEUP"}
    assert made.calls == [("GetRole", {"RoleName": NAME}), PUT, ("GetInstanceProfile", {"InstanceProfileName": NAME})]
