"""``annex-bootstrap credentials``."""

from __future__ import annotations

from pathlib import Path

import click
from annex_bootstrap.console.options import aws_options, config_option, yes_option

from annex_bootstrap.console.screen import Screen, output_option

DIRECTORY = Path("~/.condor")


directory_option = click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=DIRECTORY,
    show_default=True,
    help="Where the two key files go.",
)


@click.command(name="credentials")
@aws_options
@config_option
@click.option("--rotate", "action", flag_value="rotate", help="Replace the user's keys with a new one.")
@click.option("--remove", "action", flag_value="remove", help="Delete the user, its keys, the files and the knobs.")
@click.option(
    "--from-instance",
    "action",
    flag_value="from-instance",
    help="Create no user: condor_annex runs on an EC2 instance and uses that instance's role.",
)
@click.option("--user-name", metavar="NAME", help="The IAM user; begins with the stack's name. Default: STACK-REGION.")
@directory_option
@click.option("--boundary", default="", metavar="ARN", help="The user's permissions boundary.")
@yes_option
@output_option
def command(
    region: str | None,
    profile: str | None,
    stack_name: str,
    config: Path | None,
    action: str | None,
    user_name: str | None,
    directory: Path,
    boundary: str,
    yes: bool,
    screen: Screen,
) -> None:
    """Give condor_annex credentials that can run annexes and nothing else.

    Creates an IAM user with the stack's policy for users, writes its access key into two files that only you can
    read, and names them in the configuration. Running it again changes only what is wrong.
    """
    from annex_bootstrap.commands.credentials import Action, CredentialsOptions, credentials

    chosen = Action(action or "set-up")
    options = CredentialsOptions(stack_name, region, profile, config, chosen, user_name, directory, boundary, yes)
    credentials(options, screen)
