"""Who starts annexes: users, roles and groups of IAM, and how they get the stack's StartPolicy."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Self

from annex_bootstrap.advice import POLICY
from annex_bootstrap.aws import Account, explained
from annex_bootstrap.errors import CommandLineError
from annex_bootstrap.policies.boundary import users_boundary
from annex_bootstrap.policies.users import check_policy
from annex_bootstrap.stack.read import Stack
from annex_contract.stack import Output, Parameter

_STARTER = re.compile(r"(user|role|group)/([\w+=,.@-]{1,128})", re.ASCII)
"""Kind and name. Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""

FROM_IDENTITY_CENTER = "AWSReservedSSO_"
"""How the names of roles begin that IAM Identity Center makes, and that nobody changes but by their permission set.
Source: https://docs.aws.amazon.com/singlesignon/latest/userguide/referencingpermissionsets.html"""


@dataclass(frozen=True)
class Starter:
    """Somebody who is to start annexes.

    Attributes:
        kind: ``user``, ``role`` or ``group``.
        name: without a path.
    """

    kind: str
    name: str

    def __str__(self) -> str:
        """Return it as people type it."""
        return f"{self.kind}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``user/NAME``, ``role/NAME`` or ``group/NAME``.

        Raises:
            CommandLineError: it is something else.
        """
        found = _STARTER.fullmatch(text.strip())
        if not found:
            raise CommandLineError(
                f"{text!r} names nobody in IAM: type user/NAME, role/NAME or group/NAME, such as group/lab"
            )
        return cls(found[1], found[2])

    @classmethod
    def of_caller(cls, account: Account) -> Self | None:
        """Return who calls; None for the root user and for federated users, who hold no policies."""
        kind, _, rest = account.caller_arn.split(":", 5)[5].partition("/")
        if kind == "user":
            return cls("user", rest.rpartition("/")[2])
        return cls("role", rest.partition("/")[0]) if kind == "assumed-role" else None


def grant(account: Account, stack: Stack, starter: Starter) -> None:
    """Attach the stack's StartPolicy; to one who has it already, nothing happens.

    Raises:
        DeniedError: the caller may not.
        UserError: the policy is not the stack's, or AWS refused for another reason.
    """
    arn = stack.outputs[Output.START_POLICY_ARN]
    check_policy(account, arn)
    iam = account.iam
    with explained(f"attaching {arn.rpartition('/')[2]} to the {starter.kind} {starter.name}"):
        if starter.kind == "user":
            iam.attach_user_policy(UserName=starter.name, PolicyArn=arn)
        elif starter.kind == "group":
            iam.attach_group_policy(GroupName=starter.name, PolicyArn=arn)
        else:
            iam.attach_role_policy(RoleName=starter.name, PolicyArn=arn)


def is_for_administrators(stack: Stack, starter: Starter) -> bool:
    """Tell whether only an administrator should let somebody start annexes.

    Where the stack's roles have a boundary, its deployers are not trusted with everything, but can rewrite StartPolicy:
    its holders need a boundary first. And nobody attaches anything to a role of IAM Identity Center.
    """
    has_boundary = bool(stack.parameters.get(Parameter.PERMISSIONS_BOUNDARY_ARN))
    return has_boundary or starter.name.startswith(FROM_IDENTITY_CENTER)


def with_commands(text: str, account: Account, stack: Stack) -> str:
    """Return an error with the lines that let the caller start annexes, where it names the policy for that.

    Args:
        text: of the error.
        account: whose caller was refused.
        stack: whose machines were to start.
    """
    caller = Starter.of_caller(account)
    lines = commands(stack, caller) if caller and POLICY in text else []
    return f"{text}:" + "".join(f"\n  {line}" for line in lines) if lines else text


def commands(stack: Stack, starter: Starter) -> list[str]:
    """Return the lines with which an administrator lets somebody start annexes; a comment where there is none."""
    arn, kind, name = stack.outputs[Output.START_POLICY_ARN], starter.kind, starter.name
    if name.startswith(FROM_IDENTITY_CENTER):
        return [f"# in IAM Identity Center, add {arn} to the permission set of {name}"]
    attach = shlex.join(["aws", "iam", f"attach-{kind}-policy", f"--{kind}-name", name, "--policy-arn", arn])
    limit = stack.parameters.get(Parameter.PERMISSIONS_BOUNDARY_ARN, "")
    if not limit:
        return [attach]
    boundary = users_boundary(limit, stack.name)
    if kind == "group":
        return [f"# first, give each member of {name} the permissions boundary {boundary}", attach]
    put = ["aws", "iam", f"put-{kind}-permissions-boundary", f"--{kind}-name", name]
    return [shlex.join([*put, "--permissions-boundary", boundary]), attach]
