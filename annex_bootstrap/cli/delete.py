"""``annex-bootstrap delete``."""

from __future__ import annotations

from pathlib import Path

import click

from annex_bootstrap.cli.options import aws_options, config_option, yes_option


@click.command(name="delete")
@aws_options
@config_option
@yes_option
def command(region: str | None, profile: str | None, stack_name: str, config: Path | None, yes: bool) -> None:
    """Delete the stack, the staging bucket, and the block in the pool's configuration."""
    from annex_bootstrap import condor_config, deploy, stacks
    from annex_bootstrap.aws import connect, explained
    from annex_bootstrap.cli.progress import progress
    from annex_bootstrap.errors import UserError

    account = connect(region, profile)
    with explained(f"reading the stack {stack_name}"):
        stack = stacks.find(account.cloudformation, stack_name)
    if stack is not None:
        running = deploy.running_annexes(account, stack)
        if running:
            raise UserError(
                f"these annexes still have a lease: {', '.join(running)}; without the stack nothing would end them; "
                "end them with condor_off -annex NAME, or wait for their leases, then try again"
            )
        click.echo(f"Deletes the stack {stack_name} in {account.region}, account {account.account_id}.")
        click.echo("Stays: what the stack adopted, a bucket that holds other things, the account's spot roles.")
        if not (yes or click.confirm("Go ahead?", default=False)):
            click.echo("Nothing was changed.")
            return
        with progress() as watcher:
            deploy.delete_stack(account, stack, watcher)
        click.secho(f"DELETE_COMPLETE: {stack_name} in {account.region}", fg="green")
    else:
        click.echo(f"There is no stack {stack_name} in {account.region}.")
    deploy.delete_staging(account)
    path = condor_config.find_file(config)
    if condor_config.block_region(condor_config.read_file(path)) == (stack_name, account.region):
        condor_config.update_file(path, "")
        click.echo(f"{path} no longer names the stack.")
