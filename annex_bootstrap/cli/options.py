"""Options that several commands take."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from annex_contract.stack import DEFAULT_STACK_NAME

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Command = TypeVar("Command", bound=Callable[..., Any])


def _complete_region(_context: click.Context, _option: click.Parameter, begun: str) -> list[str | CompletionItem]:
    import boto3

    return [region for region in boto3.Session().get_available_regions("cloudformation") if region.startswith(begun)]


def _complete_stack(_context: click.Context, _option: click.Parameter, begun: str) -> list[str | CompletionItem]:
    from annex_bootstrap.commands.standing import known_sections
    from annex_bootstrap.errors import UserError

    try:
        names = {section.stack_name for section in known_sections()}
    except UserError:
        return []
    return [name for name in sorted(names) if name.startswith(begun)]


def complete_annex(context: click.Context, _option: click.Parameter, begun: str) -> list[str | CompletionItem]:
    """Return the annexes that hold a lease, as far as AWS names them within a second."""
    from annex_bootstrap.commands.standing import ask_leases, known_sections
    from annex_bootstrap.errors import UserError

    region = context.params.get("region")
    try:
        sections = [section for section in known_sections() if region in (None, section.region)]
    except UserError:
        return []
    leases = ask_leases(sections[0]).leases if sections else None
    return [lease.annex_id for lease in leases or [] if lease.annex_id.startswith(begun)]


_region = click.option(
    "--region",
    metavar="REGION",
    shell_complete=_complete_region,
    help="AWS region. Default: AWS_REGION or the profile's.",
)
_regions = click.option(
    "--region",
    "regions",
    metavar="REGION",
    multiple=True,
    shell_complete=_complete_region,
    help="AWS region; give it again for several at once. Default: AWS_REGION or the profile's.",
)
_profile = click.option("--profile", metavar="NAME", help="AWS profile. Default: AWS_PROFILE.")


STACK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")
"""What CloudFormation takes as a stack's name. Source:
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateChangeSet.html"""


def check_stack_name(_context: click.Context, _option: click.Parameter, name: str) -> str:
    """Return a stack's name that CloudFormation takes.

    Raises:
        click.BadParameter: it takes no such name.
    """
    if not STACK_NAME.fullmatch(name):
        raise click.BadParameter(
            f"{name!r} cannot name a stack: type a letter, then letters, digits and hyphens, 128 in all at most"
        )
    return name


_stack_name = click.option(
    "--stack-name",
    default=DEFAULT_STACK_NAME,
    show_default=True,
    metavar="NAME",
    callback=check_stack_name,
    shell_complete=_complete_stack,
    help="Name of the stack.",
)


def aws_options(command: Command) -> Command:
    """Give a command the options for one region: ``region``, ``profile`` and ``stack_name``."""
    return _region(_profile(_stack_name(command)))


def regions_options(command: Command) -> Command:
    """Give a command the options for several regions: ``regions``, ``profile`` and ``stack_name``."""
    return _regions(_profile(_stack_name(command)))


config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
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


def _complete_parameter(_context: click.Context, _option: click.Parameter, begun: str) -> list[str | CompletionItem]:
    from click.shell_completion import CompletionItem

    from annex_bootstrap.stack.artefact import built_template, parse_template

    known = parse_template(built_template())["Parameters"]
    return [
        CompletionItem(f"{name}=", help=parameter["Description"])
        for name, parameter in known.items()
        if name.startswith(begun)
    ]


def budget_options(command: Command) -> Command:
    """Give a command the options of a budget: ``monthly_budget`` and ``mail``."""
    amount = click.option(
        "--monthly-budget", metavar="DOLLARS", help="Mail when the account's cost of a month grows towards this."
    )
    mail = click.option("--mail", metavar="ADDRESS", help="Where the budget's mails go.")
    return amount(mail(command))


parameters_option = click.option(
    "--param",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    callback=parse_parameters,
    shell_complete=_complete_parameter,
    help="A parameter of the stack, such as CondorCidrs=192.0.2.0/24. Others keep their earlier values.",
)
