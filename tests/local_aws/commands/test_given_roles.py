"""A guest who may make no roles deploys with those of an administrator, on the local AWS with IAM enforced."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import boto3
import pytest

from annex_contract.stack import ROLE_PATH
from local_aws.launcher import Credentials, LocalAws
from tests.local_aws.cli_user import CliUser
from tests.local_aws.commands.test_rehearse import GUARDRAILS
from tests.local_aws.conftest import make_home

pytestmark = pytest.mark.slow

POWER_USER = json.loads((GUARDRAILS / "power-user.json").read_text())

DENYING = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "iam:CreateRole", "Resource": "*"}]}


@pytest.fixture
def guest(local: LocalAws, new_user: Callable[[str], Credentials], tmp_path: Path) -> CliUser:
    """Somebody with the rights of AWS's PowerUserAccess."""
    return CliUser(local, new_user(json.dumps(POWER_USER)), make_home(tmp_path), f"g-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def printed(guest: CliUser) -> str:
    """What the guest gives to the administrator."""
    return guest.must("policy", "roles", "--param", "Image=no").stdout


@pytest.fixture
def outputs(
    root: boto3.Session, guest: CliUser, printed: str, set_account: Callable[..., None]
) -> Iterator[Mapping[str, str]]:
    """The outputs of the administrator's stack. After it, the organisation lets nobody make a role."""
    cloudformation, name = root.client("cloudformation"), f"{guest.stack_name}-roles"
    cloudformation.create_stack(StackName=name, TemplateBody=printed, Capabilities=["CAPABILITY_NAMED_IAM"])
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    set_account(service_control_policies=[DENYING], caller_rights=True)
    yield {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    cloudformation.delete_stack(StackName=name)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})


def roles_of(root: boto3.Session, unique: str) -> dict[str, list[str]]:
    """Return the roles with a part of a name, and the names of their policies."""
    iam = root.client("iam")
    pages = iam.get_paginator("list_roles").paginate(PathPrefix=ROLE_PATH)
    names = [role["RoleName"] for page in pages for role in page["Roles"] if role["RoleName"].endswith(unique)]
    return {name: iam.list_role_policies(RoleName=name)["PolicyNames"] for name in names}


def test_a_guest_deploys_updates_and_deletes_and_the_roles_stay(
    root: boto3.Session, guest: CliUser, outputs: Mapping[str, str]
) -> None:
    unique = outputs["GivenRoles"]
    before = roles_of(root, unique)
    deploy = ("deploy", "--yes", "--param", "Image=no", "--param", f"GivenRoles={unique}")
    assert set(before) == {
        *(f"annex-bootstrap-{made}-{unique}" for made in ("instance", "fleet")),
        *(
            f"annex-bootstrap-{title}ExecRole-{unique}"
            for title in ("Bucket", "Connectivity", "FleetRole", "InstanceRole", "Lease", "SecurityGroup")
        ),
    }
    guest_policies = outputs["DeployPolicyARN"]
    user = root.client("iam").get_access_key_last_used(AccessKeyId=guest.credentials.access_key_id)["UserName"]
    assert "iam:PassRole" in guest.run(*deploy).stderr
    root.client("iam").attach_user_policy(UserName=user, PolicyArn=guest_policies)
    guest.must(*deploy)
    guest.must(*deploy, "--param", "EndOrphans=yes", "--param", "SshCidrs=192.0.2.0/24")
    refused = guest.run("deploy", "--yes", "--param", "GivenRoles=")
    assert refused.returncode
    assert "GivenRoles is only for a new stack" in refused.stderr
    assert roles_of(root, unique) == before
    deleted = guest.must("delete", "--yes")
    assert "keeps the roles and policies that an administrator made" in deleted.stdout
    assert roles_of(root, unique) == before
    root.client("iam").detach_user_policy(UserName=user, PolicyArn=guest_policies)
