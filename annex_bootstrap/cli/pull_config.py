"""``annex-bootstrap pull-config``."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from annex_bootstrap.console.options import config_option, regions_options

from annex_bootstrap.console.screen import Screen, output_option


@click.command(name="pull-config")
@regions_options
@click.option(
    "--default-region",
    metavar="REGION",
    help="The region that condor_annex uses when it is given none. Default: unchanged, else the first one.",
)
@config_option
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if the file differs from the stacks.")
@click.option("--print", "print_only", is_flag=True, help="Write nothing; print the block.")
@output_option
def command(
    regions: tuple[str, ...],
    profile: str | None,
    stack_name: str,
    default_region: str | None,
    config: Path | None,
    check: bool,
    print_only: bool,
    screen: Screen,
) -> None:
    """Write the stacks' outputs as HTCondor knobs into one marked block of the configuration.

    Other regions keep their part of the block. Everything else in the file is kept byte for byte.
    """
    from annex_bootstrap.commands.pull_config import PullOptions, pull_config

    if check and print_only:
        raise click.UsageError("--check and --print exclude each other")
    options = PullOptions(stack_name, regions, profile, default_region, config, check=check, print_only=print_only)
    if not pull_config(options, screen):
        sys.exit(1)
