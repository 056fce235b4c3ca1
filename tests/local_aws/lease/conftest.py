"""What the tests of a stack share; each module deploys its own."""

from __future__ import annotations

import json
from collections.abc import Callable

import boto3
import pytest

from annex_contract.stack import Output
from local_aws.demo.annexes import AnnexUser
from local_aws.launcher import Credentials
from tests.local_aws.stack import DeployedStack


@pytest.fixture
def user(root: boto3.Session, deployed: DeployedStack, new_user: Callable[[str], Credentials]) -> AnnexUser:
    """A user with the stack's annex user policy and nothing else."""
    iam = root.client("iam")
    arn = deployed.outputs[Output.ANNEX_USER_POLICY_ARN]
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    credentials = new_user(json.dumps(document))
    return AnnexUser(boto3.Session(credentials.access_key_id, credentials.secret_access_key), deployed.outputs)
