"""``launch-url``: the link that opens the AWS console with the stack filled in."""

from __future__ import annotations

from dataclasses import dataclass

import click

from annex_bootstrap.aws import open_session
from annex_bootstrap.console.command import OUTPUT, Command
from annex_bootstrap.console.result import Result
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError
from annex_bootstrap.launch.launch_links import check_link, find_region, quick_create_url
from annex_bootstrap.options import ONE_REGION, PARAMETERS
from annex_bootstrap.stack.template import built_template, parse_template
from annex_bootstrap.target import Target


@dataclass(frozen=True)
class LaunchUrl(Result):
    """The link that opens the console with the stack filled in.

    Attributes:
        region: where it would create the stack.
        stack: the name that it fills in.
        url: the link.
    """

    region: str
    stack: str
    url: str


def launch_url(screen: Screen, target: Target, template_url: str, parameters: dict[str, str]) -> LaunchUrl:
    """Print the link.

    Raises:
        UserError: no region is chosen, or something in the link cannot work.
    """
    region = open_session(target.region, target.profile).region_name
    if not region:
        raise UserError("no AWS region is chosen: add --region, or set AWS_REGION")
    check_link(parse_template(built_template()), template_url, target.stack_name, parameters)
    link = quick_create_url(find_region(region), template_url, target.stack_name, parameters)
    screen.say(link, wrap=False)
    return LaunchUrl(region, target.stack_name, link)


command = Command(
    "launch-url",
    launch_url,
    *ONE_REGION,
    click.Option(
        ["--template-url"],
        required=True,
        envvar="ANNEX_BOOTSTRAP_TEMPLATE_URL",
        show_envvar=True,
        metavar="URL",
        help="Where the template is: a link that annex-bootstrap publish printed.",
    ),
    PARAMETERS,
    *OUTPUT,
    help="""Print the link that opens the AWS console with the stack filled in.

    Makes no AWS call. Parameters that are not given get the template's defaults.
    """,
)
