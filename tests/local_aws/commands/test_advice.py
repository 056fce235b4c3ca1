"""What the commands say where AWS refuses for a reason outside this project: one sentence, its cause and what next."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest

from annex_bootstrap.policies.operator import operator_policy
from annex_contract.stack import DEFAULT_STACK_NAME
from local_aws.launcher import ACCOUNT, Credentials, LocalAws
from tests.local_aws.cli_user import CliUser

pytestmark = pytest.mark.slow

SetAccount = Callable[..., None]

COMMANDS = (
    ("leases",),
    ("credentials",),
    ("start", "first", "--count", "1", "--owner", "alice", "--yes"),
    ("deploy", "--dry-run", "--param", "Image=no"),
    ("doctor",),
)
"""Commands that ask AWS for something."""


def refused(user: CliUser, command: tuple[str, ...], *more: str) -> str:
    """Run a command that fails, and return the one line that it prints about that."""
    done = user.run(*command, *more)
    assert done.returncode == 1, done
    (line,) = done.stderr.splitlines()
    assert "Encoded authorization" not in line
    assert len(line) < 900
    return line


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_region_that_is_not_enabled_is_named_with_the_command_that_enables_it(
    operator: CliUser, set_account: SetAccount, command: tuple[str, ...]
) -> None:
    set_account(disabled_regions=["ap-east-1"])
    line = refused(operator, command, "--region", "ap-east-1")
    assert "your credentials work, but not in ap-east-1" in line
    assert "aws account enable-region --region-name ap-east-1" in line


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_an_account_whose_sign_up_is_not_complete_is_named(
    operator: CliUser, set_account: SetAccount, command: tuple[str, ...]
) -> None:
    set_account(unsubscribed_regions=["us-east-1"])
    assert "complete its sign-up" in refused(operator, command)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_wrong_clock_is_named(operator: CliUser, set_account: SetAccount, command: tuple[str, ...]) -> None:
    set_account(clock_ahead=3600)
    assert "this machine's clock is wrong by 60 minutes: set it" in refused(operator, command)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_local_aws_that_has_ended_is_named_at_once(operator: CliUser, command: tuple[str, ...]) -> None:
    gone = replace(operator, extra={"AWS_ENDPOINT_URL": "https://127.0.0.1:1"})
    line = refused(gone, command)
    assert "the local AWS at https://127.0.0.1:1 does not answer (Connection refused)" in line
    assert "unset AWS_ENDPOINT_URL" in line


STACKS = {"Sid": "No", "Effect": "Deny", "Action": "cloudformation:*", "Resource": "*"}


@pytest.mark.parametrize("command", [c for c in COMMANDS if c[0] != "doctor"], ids=lambda command: command[0])
def test_what_an_organisation_forbids_is_not_blamed_on_the_callers_policy(
    operator: CliUser, set_account: SetAccount, command: tuple[str, ...]
) -> None:
    set_account(service_control_policies=[{"Version": "2012-10-17", "Statement": [STACKS]}])
    line = refused(operator, command)
    assert "a service control policy of your organisation forbids it, whatever the account allows" in line
    assert "annex-bootstrap policy" not in line


def test_the_doctor_says_of_each_check_what_the_organisation_forbids(
    operator: CliUser, set_account: SetAccount
) -> None:
    set_account(service_control_policies=[{"Version": "2012-10-17", "Statement": [STACKS]}])
    done = operator.run("doctor")
    assert done.returncode == 1
    assert "PROBLEM  stack: it cannot be checked" in done.stdout
    assert "a service control policy of your organisation forbids it" in " ".join(done.stdout.split())
    assert done.stderr == ""


@pytest.fixture
def bounded(local: LocalAws, root: boto3.Session, operator: CliUser) -> Any:
    """An operator whose permissions boundary leaves CloudFormation out."""
    iam, name = root.client("iam"), "bounded-operator"
    allow = {"Effect": "Allow", "NotAction": "cloudformation:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    boundary = iam.create_policy(PolicyName=name, PolicyDocument=document)["Policy"]["Arn"]
    iam.create_user(UserName=name, PermissionsBoundary=boundary)
    iam.put_user_policy(
        UserName=name, PolicyName="p", PolicyDocument=json.dumps(operator_policy("aws", ACCOUNT, DEFAULT_STACK_NAME))
    )
    key = iam.create_access_key(UserName=name)["AccessKey"]
    credentials = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    yield CliUser(local, credentials, operator.home)
    iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName=name, PolicyName="p")
    iam.delete_user(UserName=name)
    iam.delete_policy(PolicyArn=boundary)


def test_what_a_boundary_does_not_allow_is_not_blamed_on_the_callers_policy(bounded: CliUser) -> None:
    for command in (("leases",), ("start", "first", "--count", "1", "--owner", "alice")):
        line = refused(bounded, command)
        assert "your permissions boundary does not allow it, whatever your policies allow" in line
        assert "annex-bootstrap policy" not in line
