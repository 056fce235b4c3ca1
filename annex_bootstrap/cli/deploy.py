"""``annex-bootstrap deploy``."""

from __future__ import annotations

from pathlib import Path

import click

from annex_bootstrap.cli.options import aws_options, config_option, parse_parameters, yes_option


@click.command(name="deploy")
@aws_options
@click.option(
    "--param",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    callback=parse_parameters,
    help="A parameter of the stack, such as CondorCidrs=192.0.2.0/24. Those not given keep their earlier value.",
)
@click.option("--dry-run", is_flag=True, help="Show what would change, and stop there.")
@click.option("--no-pull", is_flag=True, help="Do not write the pool's configuration afterwards.")
@config_option
@yes_option
def command(
    region: str | None,
    profile: str | None,
    stack_name: str,
    parameters: dict[str, str],
    dry_run: bool,
    no_pull: bool,
    config: Path | None,
    yes: bool,
) -> None:
    """Create or update the stack, then write its outputs into the pool's configuration."""
    from annex_bootstrap import deploy, plan
    from annex_bootstrap.aws import connect
    from annex_bootstrap.cli.progress import progress
    from annex_bootstrap.cli.pull_config import pull

    account = connect(region, profile)
    with progress() as watcher:
        change_set = deploy.prepare(account, stack_name, parameters, watcher)
    if change_set is None:
        click.echo(f"The stack {stack_name} in {account.region} is up to date.")
    else:
        click.echo(f"The stack {stack_name} in {account.region}, account {account.account_id}:")
        for line in plan.describe(change_set.changes):
            click.echo(f"  {line}")
        if dry_run or not (yes or click.confirm("Go ahead?", default=True)):
            deploy.discard(account, change_set)
            click.echo("Nothing was changed.")
            return
        with progress() as watcher:
            stack = deploy.execute(account, change_set, watcher)
        click.secho(f"{stack.status}: {stack_name} in {account.region}", fg="green")
    if not (no_pull or dry_run):
        pull(account, stack_name, config)
