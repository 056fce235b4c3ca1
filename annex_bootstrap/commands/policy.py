"""``policy``: the IAM policies that an administrator grants."""

from __future__ import annotations

import json
from typing import Any

import click

from annex_bootstrap.console.command import Command
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError
from annex_bootstrap.options import ONE_REGION
from annex_bootstrap.policies import boundary as boundaries
from annex_bootstrap.policies.deployer import deployer_policy
from annex_bootstrap.policies.limits import INLINE_POLICY_LIMIT, size, split
from annex_bootstrap.policies.operator import operator_policy
from annex_bootstrap.target import Target

UNBOUNDED = (
    "holders of this policy can make themselves administrators of the account; "
    "with --boundary they cannot (see annex-bootstrap policy boundary)"
)


def print_boundary(screen: Screen, target: Target, holder: str) -> None:
    """Print the permissions boundary of ``roles`` or ``users``, which all stacks of the account share."""
    account = target.connect()
    chosen = boundaries.Holder(holder)
    screen.warn(f"name this managed policy {boundaries.boundary_name(chosen)}")
    screen.result(json.dumps(boundaries.boundary(account.partition, account.account_id, chosen), indent=2) + "\n")


def print_deployer(screen: Screen, target: Target, boundary: str, part: int | None) -> None:
    """Print the policy for ``deploy`` and what goes with it.

    Raises:
        UserError: there are no credentials, our stacks cannot have that name, or there is no such part.
    """
    account = target.connect()
    _print(screen, deployer_policy(account.partition, account.account_id, target.stack_name, boundary), boundary, part)


def print_operator(screen: Screen, target: Target, boundary: str) -> None:
    """Print the policy for ``credentials`` and what goes with it.

    Raises:
        UserError: there are no credentials, or our stacks cannot have that name.
    """
    account = target.connect()
    _print(screen, operator_policy(account.partition, account.account_id, target.stack_name, boundary), boundary, None)


def _print(screen: Screen, policy: dict[str, Any], boundary: str, part: int | None) -> None:
    parts = split(policy)
    if part is not None and part > len(parts):
        raise UserError(f"there is no part {part}: the policy has {len(parts)}")
    if not boundary:
        screen.warn(UNBOUNDED)
    if part is None and len(parts) > 1:
        screen.warn(f"too long for one managed policy: make {len(parts)} of --part 1 to --part {len(parts)}")
    shown = policy if part is None else parts[part - 1]
    if size(shown) > INLINE_POLICY_LIMIT:
        screen.warn(f"too long for a user's inline policy ({INLINE_POLICY_LIMIT:,} characters): make a managed policy")
    screen.result(json.dumps(shown, indent=2) + "\n")


BOUNDARY = click.Option(
    ["--boundary"],
    default="",
    metavar="ARN",
    help="The boundary of every role or user that this policy's holder makes.",
)

command = click.Group(
    "policy",
    help="""Print IAM policies for an administrator to grant.

    setup needs both deployer and operator. start and watch need neither, but the managed policy that the stack's output
    StartPolicyARN names.
    """,
)
command.add_command(
    Command(
        "boundary",
        print_boundary,
        *ONE_REGION,
        click.Option(
            ["--for", "holder"],
            required=True,
            type=click.Choice(["roles", "users"]),
            help="roles: of every stack's roles, for deploy. users: of annex users, for credentials.",
        ),
        help="Print a permissions boundary, the most that roles or users can ever do, for an administrator to make.",
    )
)
command.add_command(
    Command(
        "deployer",
        print_deployer,
        *ONE_REGION,
        BOUNDARY,
        click.Option(["--part"], type=click.IntRange(min=1), help="Print this part: each fits into a managed policy."),
        help="Print the minimal policy with which deploy, status, pull-config and delete work.",
    )
)
command.add_command(
    Command(
        "operator",
        print_operator,
        *ONE_REGION,
        BOUNDARY,
        help="Print the minimal policy with which credentials, fleet-config, leases and doctor work.",
    )
)
