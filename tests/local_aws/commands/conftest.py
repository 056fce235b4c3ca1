"""Two stacks with an image, in two regions, and a user with their policies for ``start`` and nothing else."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import boto3
import pytest

from annex_contract.stack import Output
from local_aws.launcher import Credentials, LocalAws
from tests.local_aws import stack
from tests.local_aws.cli_user import CliUser
from tests.local_aws.commands import fake_htcondor
from tests.local_aws.commands.annexes import NAME, OTHER, REGION, end_all
from tests.local_aws.stack import DeployedStack


@pytest.fixture(scope="module")
def stacks(local: LocalAws, template: str, put_template: Callable[[str], str]) -> Iterator[Mapping[str, DeployedStack]]:
    """A stack with an image in two regions."""
    keys = (local.root.access_key_id, local.root.secret_access_key)
    url = put_template(template)
    with (
        stack.deployed(boto3.Session(*keys, region_name=REGION), NAME, url, {"Image": "yes"}) as one,
        stack.deployed(boto3.Session(*keys, region_name=OTHER), NAME, url, {"Image": "yes"}) as other,
    ):
        yield {REGION: one, OTHER: other}


@pytest.fixture
def starter(
    local: LocalAws, root: boto3.Session, stacks: Mapping[str, DeployedStack], tmp_path: Path
) -> Iterator[CliUser]:
    """A user with the policy of both stacks; what is left of annexes ends with the test."""
    iam, name = root.client("iam"), f"starter-{uuid.uuid4().hex[:8]}"
    policies = [made.outputs[Output.START_POLICY_ARN] for made in stacks.values()]
    iam.create_user(UserName=name)
    for policy in policies:
        iam.attach_user_policy(UserName=name, PolicyArn=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    fake_htcondor.install(home)
    credentials = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    yield CliUser(local, credentials, home, NAME, {"LOGNAME": name})
    for region, made in stacks.items():
        end_all(root, region, made)
    for policy in policies:
        iam.detach_user_policy(UserName=name, PolicyArn=policy)
    iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName=name)
