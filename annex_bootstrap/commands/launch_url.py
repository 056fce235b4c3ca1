"""``annex-bootstrap launch-url``."""

from __future__ import annotations

import click

from annex_bootstrap.console.options import aws_options, parameters_option
from annex_bootstrap.console.screen import Screen, output_option


@click.command(name="launch-url")
@aws_options
@click.option(
    "--template-url",
    required=True,
    envvar="ANNEX_BOOTSTRAP_TEMPLATE_URL",
    show_envvar=True,
    metavar="URL",
    help="Where the template is: a link that annex-bootstrap publish printed.",
)
@parameters_option
@output_option
def command(
    region: str | None,
    profile: str | None,
    stack_name: str,
    template_url: str,
    parameters: dict[str, str],
    screen: Screen,
) -> None:
    """Print the link that opens the AWS console with the stack filled in.

    Makes no AWS call. Parameters that are not given get the template's defaults.
    """
    from annex_bootstrap.aws import open_session
    from annex_bootstrap.errors import UserError
    from annex_bootstrap.launch import launch_links
    from annex_bootstrap.stack.artefact import built_template, parse_template

    chosen = open_session(region, profile).region_name
    if not chosen:
        raise UserError("no AWS region is chosen: give --region, or set AWS_REGION")
    launch_links.check_link(parse_template(built_template()), template_url, stack_name, parameters)
    link = launch_links.quick_create_url(launch_links.find_region(chosen), template_url, stack_name, parameters)
    screen.say(link)
    screen.document({"url": link})
