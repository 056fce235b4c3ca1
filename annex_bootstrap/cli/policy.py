"""``annex-bootstrap policy``."""

from __future__ import annotations

import json

import click

from annex_bootstrap.cli.options import aws_options


@click.group(name="policy", short_help="Print the minimal policies for an administrator to grant.")
def command() -> None:
    """Print IAM policies for an administrator to grant."""


@command.command(name="deployer")
@aws_options
def deployer(region: str | None, profile: str | None, stack_name: str) -> None:
    """Print the minimal policy with which deploy, status, pull-config and delete work."""
    from annex_bootstrap.aws import connect
    from annex_bootstrap.policies.deployer import deployer_policy

    account = connect(region, profile)
    click.echo(json.dumps(deployer_policy(account.partition, account.account_id, stack_name), indent=2))


@command.command(name="operator")
@aws_options
def operator(region: str | None, profile: str | None, stack_name: str) -> None:
    """Print the minimal policy with which credentials, fleet-config, leases and doctor work."""
    from annex_bootstrap.aws import connect
    from annex_bootstrap.policies.operator import operator_policy

    account = connect(region, profile)
    click.echo(json.dumps(operator_policy(account.partition, account.account_id, stack_name), indent=2))
