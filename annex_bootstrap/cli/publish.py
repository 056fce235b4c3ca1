"""``annex-bootstrap publish``."""

from __future__ import annotations

from dataclasses import asdict

import click
from annex_bootstrap.console.options import aws_options

from annex_bootstrap.console.screen import Screen, output_option


@click.command(name="publish")
@aws_options
@click.option("--bucket", required=True, metavar="NAME", help="The bucket to put the template and the page into.")
@click.option("--prefix", default="annex-bootstrap", show_default=True, help="Prefix of the objects' keys.")
@click.option("--create-bucket", is_flag=True, help="Create the bucket if it does not exist. It is private.")
@click.option("--public", is_flag=True, help="Let everyone read the objects under the prefix.")
@output_option
def command(
    region: str | None,
    profile: str | None,
    stack_name: str,
    bucket: str,
    prefix: str,
    create_bucket: bool,
    public: bool,
    screen: Screen,
) -> None:
    """Put the built template and its launch page into a bucket, and print the links."""
    from annex_bootstrap.aws import connect
    from annex_bootstrap.launch.publish import Place, publish
    from annex_bootstrap.stack.artefact import built_template
    from annex_contract import __version__

    account = connect(region, profile)
    template = built_template()
    place = Place(bucket, prefix, stack_name)
    links = publish(account, place, template, create=create_bucket, public=public)
    screen.say(f"Published annex-bootstrap {__version__} in {account.region}.", fg="green")
    for what, link in (
        ("Template, an immutable URL", links.template),
        ("Template, always the latest", links.latest_template),
        ("Launch page of this version", links.page),
        ("Launch page, always the latest", links.latest_page),
        (f"Launch Stack in {account.region}", links.quick_create),
    ):
        screen.say(f"{what}:\n  {link}")
    if not public:
        screen.say("Only those who may read the bucket can use these links; --public opens them to everyone.")
    screen.document(asdict(links))
