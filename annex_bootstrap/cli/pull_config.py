"""``annex-bootstrap pull-config``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from annex_bootstrap.cli.options import aws_options, config_option

if TYPE_CHECKING:
    from annex_bootstrap.aws import Account


@click.command(name="pull-config")
@aws_options
@config_option
@click.option("--print", "print_only", is_flag=True, help="Print the block and write nothing.")
def command(region: str | None, profile: str | None, stack_name: str, config: Path | None, print_only: bool) -> None:
    """Write the stack's outputs as HTCondor knobs into one marked block of the configuration."""
    from annex_bootstrap import condor_config, deploy
    from annex_bootstrap.aws import connect

    account = connect(region, profile)
    if not print_only:
        pull(account, stack_name, config)
        return
    stack = deploy.find_deployed(account, stack_name)
    click.echo(condor_config.render(stack_name, account.region, stack.outputs), nl=False)


def pull(account: Account, stack_name: str, config: Path | None) -> None:
    """Write the block into the configuration and say so."""
    from annex_bootstrap import condor_config, deploy

    stack = deploy.find_deployed(account, stack_name)
    path = condor_config.find_file(config)
    block = condor_config.render(stack_name, account.region, stack.outputs)
    changed = condor_config.update_file(path, block)
    click.echo(f"{path} {'now names' if changed else 'already names'} the stack {stack_name} in {account.region}.")
