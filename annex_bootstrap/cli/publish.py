"""``annex-bootstrap publish``."""

from __future__ import annotations

from dataclasses import asdict

import click

from annex_bootstrap.cli.options import aws_options
from annex_bootstrap.cli.output import Screen, output_option


@click.command(name="publish", short_help="Put the template and its launch page into a bucket.")
@aws_options
@click.option("--bucket", required=True, metavar="NAME", help="The bucket to put the template and the page into.")
@click.option("--prefix", default="annex-bootstrap", show_default=True, help="What the objects' keys begin with.")
@click.option("--create-bucket", is_flag=True, help="Make the bucket where there is none. It is private.")
@click.option("--public", is_flag=True, help="Let everybody read what is below the prefix.")
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
        ("Template, for ever the same bytes", links.template),
        ("Template, always the newest", links.latest_template),
        ("Launch page of this version", links.page),
        ("Launch page, always the newest", links.latest_page),
        (f"Launch Stack in {account.region}", links.quick_create),
    ):
        screen.say(f"{what}:\n  {link}")
    if not public:
        screen.say("Only who may read the bucket can use these links; --public opens them to everybody.")
    screen.document(asdict(links))
