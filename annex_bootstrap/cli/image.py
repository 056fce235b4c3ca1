"""``annex-bootstrap image``."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from annex_bootstrap.console.options import aws_options, config_option, regions_options, yes_option

from annex_bootstrap.console.screen import Screen, output_option


@click.group(name="image")
def command() -> None:
    """Show the image that the machines start from, or make it anew."""


@command.command(name="status")
@aws_options
@output_option
def status(region: str | None, profile: str | None, stack_name: str, screen: Screen) -> None:
    """Show the image, the version of HTCondor in it, its age, and whether Debian has a newer base.

    Exits with 0 if machines can start from it, else with 1.
    """
    from annex_bootstrap.commands.image import show_image

    if not show_image(stack_name, region, profile, screen):
        sys.exit(1)


@command.command(name="rebuild")
@regions_options
@config_option
@yes_option
@output_option
def rebuild(
    regions: tuple[str, ...], profile: str | None, stack_name: str, config: Path | None, yes: bool, screen: Screen
) -> None:
    """Make the image anew from Debian's newest one, then write its ID into the pool's configuration.

    The stack is updated: the new image is made first, and the old one deleted when everything has succeeded. It
    takes about ten minutes. Machines that are running go on.
    """
    from annex_bootstrap.commands.deploy import DeployOptions, deploy
    from annex_bootstrap.commands.image import rebuild_parameters

    parameters = rebuild_parameters(stack_name, regions, profile)
    if not deploy(DeployOptions(stack_name, parameters, regions, profile, config, yes=yes), screen):
        sys.exit(1)
