"""``publish``: the built template and its launch page in a bucket."""

from __future__ import annotations

import re
from dataclasses import dataclass

import click

from annex_bootstrap import PROGRAM
from annex_bootstrap.aws import place as where
from annex_bootstrap.console.command import OUTPUT, Command
from annex_bootstrap.console.result import Result
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.launch import publish as publishing
from annex_bootstrap.options import ONE_REGION, YES
from annex_bootstrap.stack.template import built_template
from annex_bootstrap.target import Target
from annex_contract import __version__

BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True)
class Publication(Result):
    """Where this version is published.

    Attributes:
        published: whether it is; not where the answer was no.
        region: the bucket's.
        bucket: its name.
        version: what was published.
        public: whether everyone was given the right to read it.
        links: the URLs that can be shared.
    """

    published: bool
    region: str
    bucket: str
    version: str
    public: bool
    links: publishing.Links


def publish(
    screen: Screen, target: Target, bucket: str, prefix: str, *, create_bucket: bool, public: bool, yes: bool
) -> Publication:
    """Put the built template and its launch page into a bucket, and print the links; before --public, ask.

    The target is the bucket's region, and the stack's name that the links suggest.

    Raises:
        UserError: as `publishing.publish`.
    """
    account = target.connect()
    place = publishing.Place(bucket, prefix, target.stack_name)
    if public:
        exists = publishing.has_bucket(account, place)
        screen.say(f"In the {'bucket' if exists else 'new bucket'} {bucket} ({where([account])}):")
        screen.say(f"  puts version {__version__} and its launch page below {prefix}/")
        screen.say(f"  lets everyone on the Internet read what is below {prefix}/, now and later")
        if not (yes or screen.confirm("Go ahead?", default=False)):
            screen.say("Nothing was changed.")
            links = publishing.links_of(account, place)
            return Publication(False, account.region, bucket, __version__, False, links)
    links = publishing.publish(account, place, built_template(), create=create_bucket, public=public)
    screen.say(f"Published {PROGRAM} {__version__} in {account.region}.", fg="green")
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
    return Publication(True, account.region, bucket, __version__, public, links)


def check_bucket_name(_context: click.Context, _option: click.Parameter, name: str) -> str:
    """Return a name that S3 takes for a new bucket.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html

    Raises:
        click.BadParameter: it takes no such name.
    """
    if not BUCKET_NAME.fullmatch(name) or ".." in name:
        raise click.BadParameter(
            f"{name!r} cannot name a bucket: type 3 to 63 lower-case letters, digits, hyphens and dots, with a letter "
            "or a digit at both ends"
        )
    return name


command = Command(
    "publish",
    publish,
    *ONE_REGION,
    click.Option(
        ["--bucket"],
        required=True,
        metavar="NAME",
        callback=check_bucket_name,
        help="The bucket for the template and the page.",
    ),
    click.Option(["--prefix"], default="annex-bootstrap", show_default=True, help="Prefix of the objects' keys."),
    click.Option(["--create-bucket"], is_flag=True, help="Create the bucket, private, if it does not exist."),
    click.Option(["--public"], is_flag=True, help="Let everyone read the objects under the prefix."),
    YES,
    *OUTPUT,
    help="Put the built template and its launch page into a bucket, and print the links.",
)
