"""Clients of the local AWS."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import boto3
import pytest

from local_aws.launcher import LocalAws
from tests.local_aws.server.ec2_requests import SPOT_FLEET_TRUST
from tests.local_aws.server.principals import Server

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


@pytest.fixture(scope="session")
def server(local: LocalAws) -> Server:
    """The local AWS that all tests of this folder share."""
    return Server(local, boto3.Session())


@pytest.fixture
def ec2(server: Server) -> EC2Client:
    """Root's client in a region of its own, so that no test sees another's machines."""
    return server.ec2(region=f"test-{uuid.uuid4().hex[:8]}-1")


@pytest.fixture(scope="session")
def fleet_role(server: Server) -> str:
    """The ARN of a role that spot fleets can assume."""
    role = server.iam().create_role(RoleName="fleet", AssumeRolePolicyDocument=SPOT_FLEET_TRUST)
    return role["Role"]["Arn"]
