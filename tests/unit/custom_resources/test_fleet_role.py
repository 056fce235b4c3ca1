"""The spot fleet's role: the calls that make it, adopt it, and bring one of an earlier version up to date."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from annex_contract.machine_policies import fleet_policy
from custom_resources import fleet_role
from custom_resources.lifecycle import ResourceError
from tests.unit.custom_resources.conftest import OWN, request
from tests.unit.recorded import Recorded, RefusedError

NAME = "annex-bootstrap-fleet-1"
BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"
PROPERTIES = {
    "RoleName": NAME,
    "InstanceRoleName": "annex-bootstrap-instance-12345678-123456789012",
    "TrustedService": "spotfleet.amazonaws.com",
    "PermissionsBoundaryArn": "",
}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "spotfleet.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
ARN = f"arn:aws:iam::123456789012:role/annex-bootstrap/{NAME}"
SERVICE_LINKED = {
    "AWSServiceRoleForEC2Spot": "spot.amazonaws.com",
    "AWSServiceRoleForEC2SpotFleet": "spotfleet.amazonaws.com",
}
MACHINES = "arn:aws:iam::123456789012:role/annex-bootstrap/annex-bootstrap-instance-12345678-123456789012"
POLICY = {
    "RoleName": NAME,
    "PolicyName": "annex-fleet",
    "PolicyDocument": json.dumps(fleet_policy("aws", "123456789012", MACHINES)),
}


def role(tags: list[dict[str, str]], **more: Any) -> dict[str, Any]:
    made = {
        "Path": "/annex-bootstrap/",
        "RoleName": NAME,
        "RoleId": "AROAMADEUPMADEUP",
        "Arn": ARN,
        "CreateDate": datetime(2026, 1, 1, tzinfo=UTC),
        "AssumeRolePolicyDocument": json.dumps(TRUST),
        "Tags": tags,
    }
    return {"Role": made | more}


@pytest.fixture
def iam(aws: Callable[..., Recorded]) -> Callable[..., Recorded]:
    """Return what makes an account with both service-linked roles, and the fleet's as given."""

    def make(found: Any, linked: Any = None, **answers: Any) -> Recorded:
        def get_role(arguments: dict[str, Any]) -> dict[str, Any]:
            answer = found if arguments["RoleName"] == NAME else linked or role([])
            if isinstance(answer, Exception):
                raise answer
            return dict(answer)

        return aws(GetRole=get_role, **answers)

    return make


def test_a_role_is_made_with_the_service_linked_roles_that_spot_needs(iam: Callable[..., Recorded]) -> None:
    made = iam(
        RefusedError("NoSuchEntity", status=404),
        RefusedError("NoSuchEntity", status=404),
        CreateServiceLinkedRole={},
        CreateRole=role([]),
        PutRolePolicy={},
    )
    assert fleet_role.put(request(NAME, PROPERTIES)) == {"RoleArn": ARN}
    assert [call for call in made.calls if call[0] != "GetRole"] == [
        ("CreateServiceLinkedRole", {"AWSServiceName": "spot.amazonaws.com"}),
        ("CreateServiceLinkedRole", {"AWSServiceName": "spotfleet.amazonaws.com"}),
        (
            "CreateRole",
            {
                "RoleName": NAME,
                "Path": "/annex-bootstrap/",
                "AssumeRolePolicyDocument": json.dumps(TRUST),
                "Description": "Lets spot fleets of HTCondor annexes start and tag machines",
                "Tags": [OWN],
            },
        ),
        ("PutRolePolicy", POLICY),
    ]
    assert [arguments["RoleName"] for arguments in made.of("GetRole")] == [*SERVICE_LINKED, NAME]


def test_a_boundary_comes_with_the_creation(iam: Callable[..., Recorded]) -> None:
    made = iam(RefusedError("NoSuchEntity", status=404), CreateRole=role([]), PutRolePolicy={})
    fleet_role.put(request(NAME, PROPERTIES | {"PermissionsBoundaryArn": BOUNDARY}))
    assert made.of("CreateRole")[0]["PermissionsBoundary"] == BOUNDARY


def test_our_role_is_brought_up_to_date_and_loses_the_policy_of_earlier_versions(iam: Callable[..., Recorded]) -> None:
    tagging = "arn:aws:iam::aws:policy/service-role/AmazonEC2SpotFleetTaggingRole"
    other = "arn:aws:iam::123456789012:policy/other"
    made = iam(
        role([OWN], AssumeRolePolicyDocument="{}"),
        UpdateAssumeRolePolicy={},
        PutRolePolicy={},
        PutRolePermissionsBoundary={},
        ListAttachedRolePolicies={"AttachedPolicies": [{"PolicyArn": other}, {"PolicyArn": tagging}]},
        DetachRolePolicy={},
    )
    assert fleet_role.put(request(NAME, PROPERTIES | {"PermissionsBoundaryArn": BOUNDARY})) == {"RoleArn": ARN}
    assert made.calls[3:] == [
        ("PutRolePermissionsBoundary", {"RoleName": NAME, "PermissionsBoundary": BOUNDARY}),
        ("UpdateAssumeRolePolicy", {"RoleName": NAME, "PolicyDocument": json.dumps(TRUST)}),
        ("PutRolePolicy", POLICY),
        ("ListAttachedRolePolicies", {"RoleName": NAME}),
        ("DetachRolePolicy", {"RoleName": NAME, "PolicyArn": tagging}),
    ]


@pytest.mark.parametrize(
    ("wanted", "current", "before", "calls"),
    [
        ("", "", "", []),
        (BOUNDARY, BOUNDARY, BOUNDARY, []),
        ("", BOUNDARY, BOUNDARY, ["DeleteRolePermissionsBoundary"]),
        ("", BOUNDARY, "", []),
        (BOUNDARY, "arn:aws:iam::123456789012:policy/other", "", ["PutRolePermissionsBoundary"]),
    ],
)
def test_the_boundary_follows_the_parameter_and_one_that_somebody_else_set_stays(
    iam: Callable[..., Recorded], wanted: str, current: str, before: str, calls: list[str]
) -> None:
    held = {"PermissionsBoundary": {"PermissionsBoundaryArn": current}} if current else {}
    made = iam(
        role([OWN], **held),
        PutRolePolicy={},
        PutRolePermissionsBoundary={},
        DeleteRolePermissionsBoundary={},
        ListAttachedRolePolicies={"AttachedPolicies": []},
    )
    asked = request(NAME, PROPERTIES | {"PermissionsBoundaryArn": wanted}, {"PermissionsBoundaryArn": before})
    fleet_role.put(asked)
    assert made.names[3:] == [*calls, "PutRolePolicy", "ListAttachedRolePolicies"]


@pytest.mark.parametrize(
    "statement",
    [
        {"Effect": "Allow", "Principal": {"Service": "spotfleet.amazonaws.com"}},
        [
            {"Effect": "Deny", "Principal": "*"},
            {"Effect": "Allow", "Principal": {"Service": ["ec2.amazonaws.com", "spotfleet.amazonaws.com"]}},
        ],
    ],
)
def test_a_role_that_spot_fleets_may_take_is_adopted_and_not_changed(
    iam: Callable[..., Recorded], statement: Any
) -> None:
    made = iam(role([], AssumeRolePolicyDocument=json.dumps({"Statement": statement})))
    assert fleet_role.put(request(NAME, PROPERTIES)) == {"RoleArn": ARN}
    assert made.names == ["GetRole", "GetRole", "GetRole"]


@pytest.mark.parametrize(
    "statement",
    [
        {"Effect": "Deny", "Principal": {"Service": "spotfleet.amazonaws.com"}},
        {"Effect": "Allow", "Principal": "*"},
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}},
        {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}},
    ],
)
def test_a_role_that_spot_fleets_may_not_take_is_refused(iam: Callable[..., Recorded], statement: Any) -> None:
    iam(role([], AssumeRolePolicyDocument=json.dumps({"Statement": statement})))
    with pytest.raises(ResourceError, match=f"the role {NAME} does not trust spotfleet.amazonaws.com"):
        fleet_role.put(request(NAME, PROPERTIES))


def test_deleting_takes_every_policy_and_then_the_role(iam: Callable[..., Recorded]) -> None:
    arn = "arn:aws:iam::123456789012:policy/other"
    made = iam(
        role([OWN]),
        ListAttachedRolePolicies={"AttachedPolicies": [{"PolicyArn": arn}]},
        DetachRolePolicy={},
        ListRolePolicies={"PolicyNames": ["annex-fleet"]},
        DeleteRolePolicy={},
        DeleteRole={},
    )
    assert fleet_role.delete(request(NAME, PROPERTIES)) == ""
    assert made.calls == [
        ("GetRole", {"RoleName": NAME}),
        ("ListAttachedRolePolicies", {"RoleName": NAME}),
        ("DetachRolePolicy", {"RoleName": NAME, "PolicyArn": arn}),
        ("ListRolePolicies", {"RoleName": NAME}),
        ("DeleteRolePolicy", {"RoleName": NAME, "PolicyName": "annex-fleet"}),
        ("DeleteRole", {"RoleName": NAME}),
    ]


@pytest.mark.parametrize("found", [role([]), RefusedError("NoSuchEntity", status=404)])
def test_a_role_of_somebody_else_or_one_that_is_gone_is_left_alone(iam: Callable[..., Recorded], found: Any) -> None:
    made = iam(found)
    fleet_role.delete(request(NAME, PROPERTIES))
    assert made.names == ["GetRole"]
