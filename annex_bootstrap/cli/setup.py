"""``annex-bootstrap setup``."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from annex_bootstrap.console.options import aws_options, budget_options, config_option, parameters_option, yes_option

from annex_bootstrap.cli.credentials import directory_option
from annex_bootstrap.console.screen import Screen, output_option


@click.command(name="setup")
@aws_options
@parameters_option
@budget_options
@config_option
@click.option("--roles-boundary", default="", metavar="ARN", help="The permissions boundary of the stack's roles.")
@click.option("--users-boundary", default="", metavar="ARN", help="The permissions boundary of the annex user.")
@click.option(
    "--collector", metavar="HOST", default="", help="The public name of the pool's collector, if it has none yet."
)
@directory_option
@yes_option
@output_option
def command(
    region: str | None,
    profile: str | None,
    stack_name: str,
    parameters: dict[str, str],
    monthly_budget: str | None,
    mail: str | None,
    config: Path | None,
    roles_boundary: str,
    users_boundary: str,
    collector: str,
    directory: Path,
    yes: bool,
    screen: Screen,
) -> None:
    """Do everything that comes before the first annex: stack, keys, pool, and a check of it all.

    The same as deploy, credentials, pool-config and doctor, one after another. Each step shows what it does and asks
    before it changes anything; one that is done is left as it is. If a step fails or is interrupted, run the same
    command again. After a change of the pool's configuration it stops, because HTCondor has to be restarted before the
    check. Exits with 1 if something is left to do.
    """
    from annex_bootstrap.cli.setup_steps import SetupOptions, setup
    from annex_bootstrap.stack.budget import read_budget

    options = SetupOptions(
        stack_name,
        region,
        profile,
        parameters,
        config,
        roles_boundary,
        users_boundary,
        collector,
        directory,
        yes,
        read_budget(monthly_budget, mail),
    )
    if not setup(options, screen):
        sys.exit(1)
