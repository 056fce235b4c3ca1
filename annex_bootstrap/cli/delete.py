"""``annex-bootstrap delete``."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from annex_bootstrap.console.options import config_option, regions_options, yes_option

from annex_bootstrap.console.screen import Screen, output_option


@click.command(name="delete")
@regions_options
@click.option("--end-annexes", is_flag=True, help="End the annexes that still run, and all their machines.")
@config_option
@yes_option
@output_option
def command(
    regions: tuple[str, ...],
    profile: str | None,
    stack_name: str,
    end_annexes: bool,
    config: Path | None,
    yes: bool,
    screen: Screen,
) -> None:
    """Delete the stack, the staging bucket, and the block in the pool's configuration.

    Refuses while annexes have a lease, because without the stack nothing would end them.
    """
    from annex_bootstrap.commands.delete import DeleteOptions, delete

    if not delete(DeleteOptions(stack_name, regions, profile, end_annexes, config, yes), screen):
        sys.exit(1)
