"""``annex-bootstrap status``."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from annex_bootstrap.console.options import config_option, regions_options

from annex_bootstrap.console.screen import Screen, output_option


@click.command(name="status")
@regions_options
@config_option
@click.option("--verbose", is_flag=True, help="Show the stack's outputs as they are, with whole ARNs.")
@output_option
def command(
    regions: tuple[str, ...],
    profile: str | None,
    stack_name: str,
    config: Path | None,
    verbose: bool,
    screen: Screen,
) -> None:
    """Show the stack, what it made, the annexes that have a lease, their cost, and whether the configuration names it.

    It also says when the lease function last ran, which it does at least every hour. Cost and that need the operator's
    policy.

    Exits with 0 if the stack is deployed in every region, else with 1.
    """
    from annex_bootstrap.commands.status import StatusOptions, status

    if not status(StatusOptions(stack_name, regions, profile, config, verbose), screen):
        sys.exit(1)
