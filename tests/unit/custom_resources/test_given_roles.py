"""Roles and profiles that an administrator made: checked, used, and left as they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from annex_contract.machine_policies import CONFIGURATION_POLICY, START_POLICY, configuration_policy, start_policy
from custom_resources import instance_role, start_role
from custom_resources.lifecycle import ResourceError
from custom_resources.profiles import delete_profile_and_role
from tests.unit.custom_resources.conftest import request
from tests.unit.custom_resources.test_instance_role import MADE, NAME, NONE, PROFILE_ARN, REQUEST, ROLE, TRUST
from tests.unit.recorded import Recorded

GIVEN = replace(REQUEST, properties={**REQUEST.properties, "GivenRoles": "0a1b2c3d-0123456789ab"})
FOUND = {"Role": ROLE | {"AssumeRolePolicyDocument": TRUST}}
CONFIGURATION = configuration_policy("arn:aws:s3:::pool-bucket/config-*.tar.gz")
POLICY = {"RoleName": NAME, "PolicyName": CONFIGURATION_POLICY, "PolicyDocument": json.dumps(CONFIGURATION)}
OTHER = {**POLICY, "PolicyDocument": json.dumps(configuration_policy("arn:aws:s3:::another/config-*.tar.gz"))}
PROFILE = MADE | {"InstanceProfileName": NAME, "InstanceProfileId": "AIPAMADEUPMADEUP", "Arn": PROFILE_ARN}
FILLED = {"InstanceProfile": PROFILE | {"Roles": [ROLE]}}
READS = [
    ("GetRole", {"RoleName": NAME}),
    ("GetRolePolicy", {"RoleName": NAME, "PolicyName": CONFIGURATION_POLICY}),
    ("GetInstanceProfile", {"InstanceProfileName": NAME}),
]


def test_they_are_looked_at_and_used(aws: Callable[..., Recorded]) -> None:
    recorded = aws(GetRole=FOUND, GetRolePolicy=POLICY, GetInstanceProfile=FILLED)
    assert instance_role.put(GIVEN) == {"ProfileArn": PROFILE_ARN, "RoleArn": ROLE["Arn"]}
    assert recorded.calls == READS


def test_those_of_start_tell_their_unique_id(aws: Callable[..., Recorded]) -> None:
    document = json.dumps(start_policy("aws", "pool-bucket"))
    policy = {"RoleName": NAME, "PolicyName": START_POLICY, "PolicyDocument": document}
    aws(GetRole=FOUND, GetRolePolicy=policy, GetInstanceProfile=FILLED)
    assert start_role.put(GIVEN) == {"ProfileArn": PROFILE_ARN, "RoleId": ROLE["RoleId"]}


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ({"GetRole": NONE}, f"there is no role {NAME}; "),
        (
            {"GetRole": {"Role": ROLE | {"AssumeRolePolicyDocument": TRUST.replace("ec2", "lambda")}}},
            "does not trust ec2.amazonaws.com; ",
        ),
        ({"GetRolePolicy": NONE}, f"the policy {CONFIGURATION_POLICY} of the role {NAME} is not what it should be; "),
        ({"GetRolePolicy": OTHER}, f"the policy {CONFIGURATION_POLICY} of the role {NAME} is not what it should be; "),
        ({"GetInstanceProfile": NONE}, f"there is no instance profile {NAME} with the role of its name; "),
        ({"GetInstanceProfile": {"InstanceProfile": PROFILE | {"Roles": []}}}, "there is no instance profile"),
    ],
)
def test_what_is_missing_is_said_with_who_can_help(
    aws: Callable[..., Recorded], answers: Mapping[str, Any], problem: str
) -> None:
    aws(**{"GetRole": FOUND, "GetRolePolicy": POLICY, "GetInstanceProfile": FILLED, **answers})
    with pytest.raises(ResourceError, match=problem) as raised:
        instance_role.put(GIVEN)
    assert str(raised.value).endswith("an administrator updates the roles' stack: annex-bootstrap policy roles")


@pytest.mark.parametrize(("before", "after"), [("", "0a1b2c3d-0123456789ab"), ("0a1b2c3d-0123456789ab", "")])
@pytest.mark.parametrize("module", [instance_role, start_role])
def test_a_stack_that_exists_keeps_who_makes_its_roles(
    aws: Callable[..., Recorded], module: ModuleType, before: str, after: str
) -> None:
    recorded = aws()
    now, then = ({**REQUEST.properties, "GivenRoles": roles} for roles in (after, before))
    with pytest.raises(ResourceError, match="GivenRoles is only for a new stack"):
        module.put(request(NAME, now, then))
    assert recorded.calls == []


def test_they_stay_when_the_stack_goes(aws: Callable[..., Recorded]) -> None:
    recorded = aws(GetInstanceProfile=FILLED, GetRole=FOUND)
    assert delete_profile_and_role(GIVEN) == ""
    assert recorded.names == ["GetInstanceProfile", "GetRole"]
