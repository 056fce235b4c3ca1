"""Options that several commands take, and what completes them on a command line."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from annex_bootstrap.annexes.overview import ask_overview
from annex_bootstrap.errors import UserError
from annex_bootstrap.launch.launch_links import REGIONS as REGIONS_WITH_CONSOLE
from annex_bootstrap.machines.money import Budget, parse_budget
from annex_bootstrap.policies.limits import BOUNDARY
from annex_bootstrap.pool.blocks import Section
from annex_bootstrap.pool.config_file import known_sections
from annex_bootstrap.pool.shared import shared_sections
from annex_bootstrap.stack.template import built_template, parse_template
from annex_bootstrap.target import STACK_NAME
from annex_contract.stack import DEFAULT_STACK_NAME

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def complete_region(_context: click.Context, _option: click.Parameter, begun: str) -> list[str | CompletionItem]:
    """Return the regions of AWS."""
    return [region.name for region in REGIONS_WITH_CONSOLE if region.name.startswith(begun)]


def _sections() -> list[Section]:
    try:
        return [*known_sections(), *shared_sections()]
    except UserError:
        return []


def _complete_stack(_context: click.Context, _option: click.Parameter, begun: str) -> list[str | CompletionItem]:
    return [name for name in sorted({section.stack_name for section in _sections()}) if name.startswith(begun)]


def complete_annex(context: click.Context, _option: click.Parameter, begun: str) -> list[str | CompletionItem]:
    """Return the annexes that hold a lease, as far as AWS names them within a second."""
    region = context.params.get("region")
    sections = [section for section in _sections() if region in (None, section.region)]
    leases = ask_overview(sections[0]).leases if sections else ()
    return [lease.annex_id for lease in leases if lease.annex_id.startswith(begun)]


def check_stack_name(_context: click.Context, _option: click.Parameter, name: str) -> str:
    """Return a stack's name that CloudFormation takes.

    Raises:
        click.BadParameter: it takes no such name.
    """
    if not re.fullmatch(STACK_NAME, name):
        raise click.BadParameter(
            f"{name!r} cannot name a stack: type a letter, then letters, digits and hyphens, 128 in all at most"
        )
    return name


REGION = click.Option(
    ["--region"],
    metavar="REGION",
    shell_complete=complete_region,
    help="AWS region. Default: AWS_REGION or the profile's.",
)

REGIONS = click.Option(
    ["--region", "regions"],
    metavar="REGION",
    multiple=True,
    shell_complete=complete_region,
    help="AWS region; repeatable. Default: AWS_REGION or the profile's.",
)

PROFILE = click.Option(["--profile"], metavar="NAME", help="AWS profile. Default: AWS_PROFILE.")

STACK = click.Option(
    ["--stack-name"],
    default=DEFAULT_STACK_NAME,
    show_default=True,
    metavar="NAME",
    callback=check_stack_name,
    shell_complete=_complete_stack,
    help="Name of the stack.",
)

ONE_REGION = (REGION, PROFILE, STACK)
"""The options that name a stack in one region; with ``CONFIG`` where the command reads or writes the configuration."""

MANY_REGIONS = (REGIONS, PROFILE, STACK)
"""The options that name a stack in several regions."""

CONFIG = click.Option(
    ["--config"],
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Configuration file. Default: what condor_config_val USER_CONFIG_FILE says, or ~/.condor/user_config.",
)


def check_boundary(_context: click.Context, _option: click.Parameter, value: str) -> str:
    """Return the ARN of a managed policy, or nothing.

    Raises:
        click.BadParameter: it is something else.
    """
    if value and not BOUNDARY.fullmatch(value):
        raise click.BadParameter(
            f"{value!r} is not the ARN of a managed policy: type one such as arn:aws:iam::123456789012:policy/NAME"
        )
    return value


def boundary_option(name: str, text: str) -> click.Option:
    """Return an option that takes the ARN of a permissions boundary.

    Args:
        name: of the option.
        text: of its help.
    """
    return click.Option([name], default="", metavar="ARN", callback=check_boundary, help=text)


YES = click.Option(["--yes", "-y"], is_flag=True, help="Do not ask.")


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

    known = parse_template(built_template())["Parameters"]
    return [
        CompletionItem(f"{name}=", help=parameter["Description"])
        for name, parameter in known.items()
        if name.startswith(begun)
    ]


_MEMORY = re.compile(r"(\d+(?:\.\d+)?) ?([MGT])(?:i?B)?", re.IGNORECASE)
_MIB = {"M": 1, "G": 1024, "T": 1024 * 1024}


def parse_memory(_context: click.Context, _option: click.Parameter, text: str) -> int:
    """Return MiB of a text such as ``2G`` or ``1500M``.

    Raises:
        click.BadParameter: it is something else, or nothing.
    """
    size = _MEMORY.fullmatch(text.strip())
    mebibytes = round(float(size[1]) * _MIB[size[2].upper()]) if size else 0
    if not mebibytes:
        raise click.BadParameter(f"{text!r} is not a memory size: type one such as 2G or 1500M")
    return mebibytes


def parse_dollars(_context: click.Context, _option: click.Parameter, text: str | None) -> Decimal | None:
    """Return a sum of money such as ``200`` or ``12.50``; None where none is given.

    Raises:
        click.BadParameter: it is something else, nothing, or a sum a day.
    """
    try:
        budget = None if text is None else parse_budget(text)
    except UserError:
        budget = Budget(Decimal(0), daily=True)
    if budget is not None and budget.daily:
        raise click.BadParameter(f"{text!r} is not a sum of money: type dollars such as 200 or 12.50")
    return None if budget is None else budget.dollars


BUDGET = (
    click.Option(["--monthly-budget"], metavar="DOLLARS", help="Send mail as the monthly cost approaches this amount."),
    click.Option(["--mail"], metavar="ADDRESS", help="Where to send the budget's mail."),
)

PARAMETERS = click.Option(
    ["--param", "parameters"],
    multiple=True,
    metavar="NAME=VALUE",
    callback=parse_parameters,
    shell_complete=_complete_parameter,
    help="A parameter of the stack, such as CondorCidrs=192.0.2.0/24. Others keep their earlier values.",
)

STACK_TAGS = click.Option(
    ["--tag", "tags"],
    multiple=True,
    metavar="KEY=VALUE",
    help="A tag of all that is made; repeatable. Without it, a stack keeps the tags that it has.",
)

MACHINE_TAGS = click.Option(
    ["--tag", "tags"],
    multiple=True,
    metavar="KEY=VALUE",
    help="A tag of the machines, their disks, network interfaces and fleets; repeatable.",
)
