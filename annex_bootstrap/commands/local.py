"""``annex-bootstrap local``."""

from __future__ import annotations

import shlex
import threading

import click

from annex_bootstrap.commands.local_extra import local_extra


@click.command(name="local")
@click.option(
    "--schedule-speed",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many times faster than real time EventBridge's rate schedules run.",
)
def command(schedule_speed: int) -> None:
    """Run a local AWS until Ctrl-C, and print the exports that point any AWS tool at it."""
    with local_extra():
        from local_aws.launcher import local_aws
    with local_aws(schedule_speed) as local:
        click.echo("# Paste these lines into another terminal. The keys are made up and end with this server.")
        for name, value in local.environ(local.root).items():
            click.echo(f"export {name}={shlex.quote(value)}")
        click.echo("# Running. Ctrl-C ends it and everything in it.")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            click.echo("\n# Ended.")
