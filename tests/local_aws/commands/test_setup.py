"""``setup``: from nothing to a checked setup, killed between its steps, and run again."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

from annex_bootstrap.policies.deployer import deployer_policy
from annex_bootstrap.policies.operator import operator_policy
from local_aws.launcher import ACCOUNT, Credentials
from tests.local_aws.cli_user import CliUser

pytestmark = pytest.mark.slow


@pytest.fixture
def owner(deployer: CliUser, root: boto3.Session, new_user: Callable[[str], Credentials]) -> CliUser:
    """A user who may deploy and operate, with no HTCondor on the machine."""
    keys = new_user(json.dumps(deployer_policy("aws", ACCOUNT, deployer.stack_name)))
    users = root.client("iam").list_access_keys
    (name,) = [
        user["UserName"]
        for user in root.client("iam").list_users()["Users"]
        if keys.access_key_id in [key["AccessKeyId"] for key in users(UserName=user["UserName"])["AccessKeyMetadata"]]
    ]
    root.client("iam").put_user_policy(
        UserName=name,
        PolicyName="operator",
        PolicyDocument=json.dumps(operator_policy("aws", ACCOUNT, deployer.stack_name)),
    )
    return replace(deployer, credentials=keys)


def keys_of(root: boto3.Session, owner: CliUser) -> list[str]:
    listed = root.client("iam").list_access_keys(UserName=f"{owner.stack_name}-us-east-1")
    return [key["AccessKeyId"] for key in listed["AccessKeyMetadata"]]


QUICK = ("--yes", "--param", "Image=no")


def test_from_nothing_it_makes_stack_and_keys_says_what_the_pool_needs_and_checks(
    owner: CliUser, root: boto3.Session
) -> None:
    ran = owner.must("setup", *QUICK)
    lines = ran.stdout.splitlines()
    assert [line for line in lines if line.startswith("Step ")] == [
        "Step 1 of 5: AWS account",
        "Step 2 of 5: Stack",
        "Step 3 of 5: Who starts annexes",
        "Step 4 of 5: Pool",
        "Step 5 of 5: Check",
    ]
    assert "Account 123456789012, region us-east-1." in lines
    stack_begins = lines.index("Step 2 of 5: Stack")
    assert "OK       quota of vCPUs: 256 on demand, 128 on the spot market" in lines[:stack_begins]
    assert "Skipped: there is no HTCondor on this machine." in lines
    assert [line for line in lines if line.startswith("No problems found; ")]
    assert [line for line in lines if line.startswith(("Next:", "  condor_annex"))] == [
        "Next:",
        "  condor_annex -count 1 -annex-name my-first-annex  # rents one machine",
    ]
    made = keys_of(root, owner)

    again = owner.must("setup", *QUICK, "--output", "json")
    result = again.document["result"]
    assert result["complete"] is True
    assert result["deployment"]["regions"][0]["step"] is None
    assert result["credentials"]["changed"] is False
    assert again.stderr == ""
    assert keys_of(root, owner) == made
    assert len(made) == 1
    owner.must("credentials", "--remove", "--yes")


def test_a_no_stops_it_and_the_same_command_goes_on(owner: CliUser) -> None:
    refused = owner.run("setup", "--param", "Image=no", text="n\n")
    assert refused.returncode == 1
    assert f"Stopped. annex-bootstrap setup --stack-name {owner.stack_name} goes on from here." in refused.stdout
    assert "Step 3" not in refused.stdout
    assert owner.run("status").stdout.startswith("There is no stack")


def test_a_new_stack_opens_no_port_unless_condor_annex_needs_it(owner: CliUser) -> None:
    opens = "machines' port 9618 (HTCondor) to everyone on the Internet"
    closed = owner.run("setup", text="n\n").stdout
    assert opens not in closed
    assert "goes on from here" in closed
    assert opens in owner.run("setup", "--open-ports", text="n\n").stdout
    # Without an image there is no start.
    assert opens in owner.run("setup", "--param", "Image=no", text="n\n").stdout
    assert (
        "machines' port 9618 (HTCondor) to 192.0.2.0/24"
        in owner.run("setup", "--param", "CondorCidrs=192.0.2.0/24", text="n\n").stdout
    )


def test_a_step_that_fails_is_named_with_what_to_run_again(owner: CliUser) -> None:
    failed = owner.run("setup", "--yes", "--param", "CondorPort=0")
    assert failed.returncode == 2
    assert "step 2 of 5 (Stack): CondorPort='0' is not allowed" in failed.stderr
    assert failed.stderr.rstrip().endswith("again")


TRIES = 20
"""How often to ask for an overview, at most."""

DENY_USERS = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Deny", "Action": "iam:CreateUser", "Resource": "*"}],
}


def test_where_no_user_may_be_made_it_says_how_to_go_on_without_one_and_then_does(
    owner: CliUser, root: boto3.Session, set_account: Callable[..., None]
) -> None:
    set_account(service_control_policies=[DENY_USERS])
    refused = owner.run("setup", *QUICK)
    assert refused.returncode == 1
    assert "step 3 of 5 (Who starts annexes): making the IAM user" in refused.stderr
    assert "a service control policy of your organisation forbids it" in refused.stderr
    assert "where no IAM user may be made or is wanted, add --without-user" in refused.stderr

    without = owner.run("setup", *QUICK, "--without-user")
    assert "Skipped: annex-bootstrap start uses the AWS credentials of the person who runs it." in without.stdout
    assert "Step 5 of 5: Check" in without.stdout
    # This stack has no machines for start, so something is left to do.
    assert "PROBLEM  credentials of condor_annex: the configuration names no key files" in without.stdout
    assert f"run annex-bootstrap setup --without-user --stack-name {owner.stack_name} again" in without.stdout
    with pytest.raises(root.client("iam").exceptions.NoSuchEntityException):
        root.client("iam").get_user(UserName=f"{owner.stack_name}-us-east-1")
    bare = replace(owner, stack_name="")
    # AWS has a second to answer, and a busy machine may need another try.
    said = next(text for _ in range(TRIES) if "within a second" not in (text := bare.must().stdout))
    assert "There are no keys for running annexes yet." in said


@pytest.mark.parametrize("moment", ["8-after", "rename-after", "keys", "keys-after", "knobs", "knobs-after", "check"])
def test_killed_at_any_moment_the_next_run_completes_with_one_key(
    owner: CliUser, root: boto3.Session, moment: str
) -> None:
    command = owner.command("setup", *QUICK)
    command[1:3] = ["-m", "tests.local_aws.commands.killed_client", moment]
    killed = subprocess.run(command, env=owner.environ(), capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed
    ran = owner.must("setup", *QUICK)
    assert "No problems found" in ran.stdout
    assert len(keys_of(root, owner)) == 1
    assert Path(owner.home, ".condor", "annex-secret-key-us-east-1").stat().st_mode & 0o777 == 0o600
    owner.must("credentials", "--remove", "--yes")
