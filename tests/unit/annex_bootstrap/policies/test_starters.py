"""Who starts annexes: how they are named, what they get, and what an administrator runs for them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from annex_bootstrap.advice import POLICY
from annex_bootstrap.errors import CommandLineError, DeniedError, UserError
from annex_bootstrap.policies.starters import Starter, commands, grant, is_for_administrators, with_commands
from tests.unit.annex_bootstrap.commands.conftest import OUTPUTS, a_stack
from tests.unit.recorded import Recorded, RefusedError

START_POLICY = OUTPUTS["StartPolicyARN"]
IAM, STS = "arn:aws:iam::123456789012", "arn:aws:sts::123456789012"
BOUNDED = a_stack(parameters={"PermissionsBoundaryArn": f"{IAM}:policy/annex-bootstrap-roles-boundary-annex-bootstrap"})
USERS_BOUNDARY = f"{IAM}:policy/annex-bootstrap-users-boundary-annex-bootstrap"
SSO = Starter("role", "AWSReservedSSO_Lab_0a1b2c3d4e5f6789")


def called_by(arn: str) -> Recorded:
    return Recorded(GetCallerIdentity={"Account": "123456789012", "Arn": arn, "UserId": "AROA"})


@pytest.mark.parametrize("text", ["user/alice", "role/lab-start", "group/a+b=c,d.e@f_g"])
def test_a_starter_is_read_as_it_is_written(text: str) -> None:
    assert str(Starter.parse(f" {text} ")) == text


@pytest.mark.parametrize("text", ["", "alice", "users/alice", "user/", "user/a/b", "user/a b", f"{IAM}:user/alice"])
def test_anything_else_names_nobody(text: str) -> None:
    with pytest.raises(CommandLineError, match="type user/NAME, role/NAME or group/NAME, such as group/lab"):
        Starter.parse(text)


@pytest.mark.parametrize(
    ("arn", "starter"),
    [
        (f"{IAM}:user/alice", Starter("user", "alice")),
        (f"{IAM}:user/physics/alice", Starter("user", "alice")),
        (f"{STS}:assumed-role/lab/alice@example.org", Starter("role", "lab")),
        (f"{IAM}:root", None),
        (f"{STS}:federated-user/alice", None),
    ],
)
def test_a_caller_is_a_user_a_role_or_nobody_who_holds_policies(arn: str, starter: Starter | None) -> None:
    assert Starter.of_caller(called_by(arn).account()) == starter


@pytest.mark.parametrize(
    ("starter", "call", "arguments"),
    [
        (Starter("user", "alice"), "AttachUserPolicy", {"UserName": "alice"}),
        (Starter("role", "lab"), "AttachRolePolicy", {"RoleName": "lab"}),
        (Starter("group", "lab"), "AttachGroupPolicy", {"GroupName": "lab"}),
    ],
)
def test_a_grant_attaches_the_stacks_policy(starter: Starter, call: str, arguments: dict[str, str]) -> None:
    aws = Recorded(**{call: {}})
    grant(aws.account(), a_stack(), starter)
    assert aws.calls == [(call, {**arguments, "PolicyArn": START_POLICY})]


def test_a_policy_that_no_stack_of_the_account_made_is_given_to_nobody() -> None:
    stack = replace(a_stack(), outputs={**OUTPUTS, "StartPolicyARN": "arn:aws:iam::aws:policy/AdministratorAccess"})
    with pytest.raises(UserError, match="no user gets it"):
        grant(Recorded().account(), stack, Starter("user", "alice"))


def test_a_refusal_to_attach_is_known_as_one() -> None:
    with pytest.raises(DeniedError, match="attaching annex-bootstrap-StartPolicy-A to the group lab failed"):
        grant(Recorded(AttachGroupPolicy=RefusedError("AccessDenied")).account(), a_stack(), Starter("group", "lab"))


def test_an_administrator_gets_the_line_that_attaches_the_policy() -> None:
    assert commands(a_stack(), Starter("group", "lab")) == [
        f"aws iam attach-group-policy --group-name lab --policy-arn {START_POLICY}"
    ]


def test_where_the_stacks_roles_have_a_boundary_its_holders_get_one_first() -> None:
    assert commands(BOUNDED, Starter("role", "lab")) == [
        f"aws iam put-role-permissions-boundary --role-name lab --permissions-boundary {USERS_BOUNDARY}",
        f"aws iam attach-role-policy --role-name lab --policy-arn {START_POLICY}",
    ]
    assert commands(BOUNDED, Starter("group", "lab")) == [
        f"# first, give each member of lab the permissions boundary {USERS_BOUNDARY}",
        f"aws iam attach-group-policy --group-name lab --policy-arn {START_POLICY}",
    ]


def test_a_role_of_identity_center_gets_it_with_its_permission_set() -> None:
    assert commands(a_stack(), SSO) == [
        f"# in IAM Identity Center, add {START_POLICY} to the permission set of {SSO.name}"
    ]


@pytest.mark.parametrize(
    ("stack", "starter", "only"),
    [(a_stack(), Starter("user", "alice"), False), (BOUNDED, Starter("user", "alice"), True), (a_stack(), SSO, True)],
)
def test_some_are_for_administrators(stack: object, starter: Starter, only: bool) -> None:
    assert is_for_administrators(stack, starter) is only  # type: ignore[arg-type]  # a stack


def test_an_error_that_names_the_policy_gets_the_lines_of_its_caller() -> None:
    account = called_by(f"{IAM}:user/alice").account()
    line = f"aws iam attach-user-policy --user-name alice --policy-arn {START_POLICY}"
    text = f"refused; ask your administrator for {POLICY}"
    assert with_commands(text, account, a_stack()) == f"{text}:\n  {line}"
    # Something else than want of the policy, which it would not mend.
    assert with_commands("an organisation forbids it", account, a_stack()) == "an organisation forbids it"
    assert with_commands(text, called_by(f"{STS}:federated-user/a").account(), a_stack()) == text
