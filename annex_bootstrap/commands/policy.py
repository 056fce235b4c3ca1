"""``annex-bootstrap policy``."""

from __future__ import annotations

import json
from typing import Any

import click

from annex_bootstrap.console.options import aws_options

UNBOUNDED = (
    "annex-bootstrap: whoever holds this policy can make themselves administrator of the account; "
    "with --boundary they cannot (see annex-bootstrap policy boundary)"
)


@click.group(name="policy")
def command() -> None:
    """Print IAM policies for an administrator to grant.

    setup needs both deployer and operator. start and watch need neither, but the managed policy that the stack's output
    StartPolicyARN names.
    """


_boundary = click.option(
    "--boundary",
    default="",
    metavar="ARN",
    help="The boundary that all who are made by this policy's holder must have.",
)


@command.command(name="boundary")
@aws_options
@click.option(
    "--for",
    "holder",
    required=True,
    type=click.Choice(["roles", "users"]),
    help="roles: of every stack's roles, for deploy. users: of annex users, for credentials.",
)
def boundary(region: str | None, profile: str | None, stack_name: str, holder: str) -> None:  # noqa: ARG001 (all stacks share it)
    """Print a permissions boundary: the most that roles or users can ever do, for an administrator to make once."""
    from annex_bootstrap.aws import connect
    from annex_bootstrap.policies import boundary as boundaries

    account = connect(region, profile)
    chosen = boundaries.Holder(holder)
    click.echo(f"annex-bootstrap: name this managed policy {boundaries.boundary_name(chosen)}", err=True)
    click.echo(json.dumps(boundaries.boundary(account.partition, account.account_id, chosen), indent=2))


@command.command(name="deployer")
@aws_options
@_boundary
@click.option("--part", type=click.IntRange(min=1), help="Print this part: each fits into a managed policy.")
def deployer(region: str | None, profile: str | None, stack_name: str, boundary: str, part: int | None) -> None:
    """Print the minimal policy with which deploy, status, pull-config and delete work."""
    from annex_bootstrap.aws import connect
    from annex_bootstrap.policies.deployer import deployer_policy

    account = connect(region, profile)
    policy = deployer_policy(account.partition, account.account_id, stack_name, boundary)
    _print(policy, boundary, part)


@command.command(name="operator")
@aws_options
@_boundary
def operator(region: str | None, profile: str | None, stack_name: str, boundary: str) -> None:
    """Print the minimal policy with which credentials, fleet-config, leases and doctor work."""
    from annex_bootstrap.aws import connect
    from annex_bootstrap.policies.operator import operator_policy

    account = connect(region, profile)
    policy = operator_policy(account.partition, account.account_id, stack_name, boundary)
    _print(policy, boundary, None)


def _print(policy: dict[str, Any], boundary: str, part: int | None) -> None:
    from annex_bootstrap.errors import UserError
    from annex_bootstrap.policies.limits import INLINE_POLICY_LIMIT, size, split

    parts = split(policy)
    if part is not None and part > len(parts):
        raise UserError(f"there is no part {part}: the policy has {len(parts)}")
    if not boundary:
        click.echo(UNBOUNDED, err=True)
    if part is None and len(parts) > 1:
        click.echo(
            f"annex-bootstrap: too long for one managed policy: make {len(parts)} of --part 1 to --part {len(parts)}",
            err=True,
        )
    printed = policy if part is None else parts[part - 1]
    if size(printed) > INLINE_POLICY_LIMIT:
        click.echo(
            f"annex-bootstrap: too long for a user's inline policy ({INLINE_POLICY_LIMIT:,} characters): "
            "make a managed policy",
            err=True,
        )
    click.echo(json.dumps(printed, indent=2))
