"""The machines' role and profile: the calls of a first creation, and of one that finds a profile left behind."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from custom_resources import instance_role
from custom_resources.lifecycle import Request, ResourceError

STACK = "arn:aws:cloudformation:eu-west-1:123456789012:stack/s/12345678-1234-1234-1234-123456789012"
NAME = "annex-bootstrap-instance-1"
PROPERTIES = {
    "RoleName": NAME,
    "TrustedService": "ec2.amazonaws.com",
    "BucketName": "pool-bucket",
    "KeyPattern": "config-*.tar.gz",
    "PermissionsBoundaryArn": "",
}
REQUEST = Request(STACK, "InstanceRole", "r", NAME, PROPERTIES, math.inf)
MADE = {"Path": "/annex-bootstrap/", "CreateDate": datetime(2026, 1, 1, tzinfo=UTC)}
ROLE = MADE | {
    "RoleName": NAME,
    "RoleId": "AROAMADEUPMADEUP",
    "Arn": f"arn:aws:iam::123456789012:role/annex-bootstrap/{NAME}",
}


def profile(tags: list[dict[str, str]]) -> dict[str, Any]:
    arn = f"arn:aws:iam::123456789012:instance-profile/annex-bootstrap/{NAME}"
    names = {"InstanceProfileName": NAME, "InstanceProfileId": "AIPAMADEUPMADEUP", "Arn": arn}
    return {"InstanceProfile": MADE | names | {"Roles": [], "Tags": tags}}


@pytest.fixture
def iam(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """IAM, which has no such role, and takes one with its two policies."""
    client: Any = boto3.Session("AKIAMADEUP", "made-up", region_name="eu-west-1").client("iam")
    monkeypatch.setattr(instance_role, "client", lambda _service: client)
    with Stubber(client) as stubber:
        stubber.add_client_error("get_role", "NoSuchEntity")
        stubber.add_response("create_role", {"Role": ROLE})
        stubber.add_response("put_role_policy", {})
        stubber.add_response("put_role_policy", {})
        yield stubber
        stubber.assert_no_pending_responses()


def test_a_first_creation_does_not_look_for_a_profile(iam: Stubber) -> None:
    iam.add_response("create_instance_profile", profile([]))
    iam.add_response("add_role_to_instance_profile", {}, {"InstanceProfileName": NAME, "RoleName": NAME})
    assert instance_role.put(REQUEST)["RoleArn"] == ROLE["Arn"]


def test_our_own_profile_without_its_role_is_used(iam: Stubber) -> None:
    iam.add_client_error("create_instance_profile", "EntityAlreadyExists")
    iam.add_response("get_instance_profile", profile([{"Key": "annex-bootstrap:stack", "Value": STACK}]))
    iam.add_response("add_role_to_instance_profile", {}, {"InstanceProfileName": NAME, "RoleName": NAME})
    assert instance_role.put(REQUEST)["RoleArn"] == ROLE["Arn"]


def test_a_profile_of_somebody_else_is_left_alone(iam: Stubber) -> None:
    iam.add_client_error("create_instance_profile", "EntityAlreadyExists")
    iam.add_response("get_instance_profile", profile([]))
    with pytest.raises(ResourceError, match="was not made by this stack"):
        instance_role.put(REQUEST)
