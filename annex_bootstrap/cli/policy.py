"""``annex-bootstrap policy``."""

from __future__ import annotations

import json

import click

from annex_bootstrap.cli.options import aws_options


@click.group(name="policy", short_help="Print the least policies for an administrator to grant.")
def command() -> None:
    """Print IAM policies for an administrator to grant."""


@command.command(name="deployer")
@aws_options
def deployer(region: str | None, profile: str | None, stack_name: str) -> None:
    """Print the least policy with which deploy, status, pull-config and delete work."""
    from annex_bootstrap.aws import connect
    from annex_bootstrap.policies.deployer import deployer_policy

    account = connect(region, profile)
    click.echo(json.dumps(deployer_policy(account.partition, account.account_id, stack_name), indent=2))
