"""``annex-bootstrap doctor``."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from annex_bootstrap.console.options import aws_options, config_option

from annex_bootstrap.console.screen import Screen, output_option


@click.command(name="doctor")
@aws_options
@config_option
@click.option("--collector", metavar="HOST[:PORT]", default="", help="The pool's collector. Default: COLLECTOR_HOST.")
@output_option
def command(
    region: str | None,
    profile: str | None,
    stack_name: str,
    config: Path | None,
    collector: str,
    screen: Screen,
) -> None:
    """Check everything that can be wrong, and say what to do about it.

    Changes nothing. Exits with 1 if there is a problem.
    """
    from annex_bootstrap.commands.doctor import DoctorOptions, doctor

    if not doctor(DoctorOptions(stack_name, region, profile, config, collector), screen):
        sys.exit(1)
