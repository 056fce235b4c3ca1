"""``annex-bootstrap deploy``."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from annex_bootstrap.console.options import (
    budget_options,
    config_option,
    parameters_option,
    regions_options,
    yes_option,
)

from annex_bootstrap.console.screen import Screen, output_option


@click.command(name="deploy")
@regions_options
@parameters_option
@budget_options
@click.option("--dry-run", is_flag=True, help="Show what would change; leave only the staging bucket.")
@click.option("--verbose", is_flag=True, help="Name every resource that changes.")
@click.option("--allow-downgrade", is_flag=True, help="Allow this version to replace a newer one.")
@click.option("--no-pull", is_flag=True, help="Do not write the pool's configuration afterwards.")
@config_option
@yes_option
@output_option
def command(
    regions: tuple[str, ...],
    profile: str | None,
    stack_name: str,
    parameters: dict[str, str],
    monthly_budget: str | None,
    mail: str | None,
    dry_run: bool,
    verbose: bool,
    allow_downgrade: bool,
    no_pull: bool,
    config: Path | None,
    yes: bool,
    screen: Screen,
) -> None:
    """Create or update the stack, then write its outputs into the pool's configuration.

    Shows what would change and asks first. An operation that is already in progress, such as that of an
    interrupted client, is followed to its end. Parameters that are not given keep their earlier values.
    """
    from annex_bootstrap.commands.deploy import DeployOptions, deploy
    from annex_bootstrap.stack.budget import read_budget

    options = DeployOptions(
        stack_name,
        parameters,
        regions,
        profile,
        config,
        dry_run=dry_run,
        verbose=verbose,
        allow_downgrade=allow_downgrade,
        pull=not no_pull,
        yes=yes,
        monthly_budget=read_budget(monthly_budget, mail),
    )
    if not deploy(options, screen):
        sys.exit(1)
