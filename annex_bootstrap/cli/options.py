"""Options that several commands take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from annex_bootstrap.contract import DEFAULT_STACK_NAME

Command = TypeVar("Command", bound=Callable[..., Any])

_region = click.option("--region", metavar="REGION", help="AWS region. Default: AWS_REGION or the profile's.")
_profile = click.option("--profile", metavar="NAME", help="AWS profile. Default: AWS_PROFILE.")
_stack_name = click.option(
    "--stack-name", default=DEFAULT_STACK_NAME, show_default=True, metavar="NAME", help="Name of the stack."
)


def aws_options(command: Command) -> Command:
    """Where the stack is: ``region``, ``profile`` and ``stack_name``."""
    return _region(_profile(_stack_name(command)))


config_option = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Configuration file. Default: what condor_config_val USER_CONFIG_FILE says, or ~/.condor/user_config.",
)

yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")


def parse_parameters(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Read ``NAME=VALUE`` options.

    Raises:
        click.BadParameter: one has no ``=``.
    """
    parsed = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals:
            raise click.BadParameter(f"{value!r} is not of the form NAME=VALUE")
        parsed[name] = text
    return parsed
