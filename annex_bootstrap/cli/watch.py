"""``annex-bootstrap watch``."""

from __future__ import annotations

import click
from annex_bootstrap.console.options import aws_options, complete_annex

from annex_bootstrap.console.screen import Screen, plain_option


@click.command(name="watch")
@click.argument("name", default="", shell_complete=complete_annex)
@click.option("--interval", type=click.FloatRange(1), default=10, show_default=True, help="Seconds between two looks.")
@aws_options
@plain_option
@click.pass_context
def command(
    context: click.Context, name: str, interval: float, region: str | None, profile: str | None, stack_name: str
) -> None:
    """Watch the annexes, or the annex NAME: machines that start, run and have joined the pool, busy slots, time, cost.

    A table on a terminal; in a pipe, or with --plain, a line for each change. Ctrl-C ends it and touches nothing.
    """
    from annex_bootstrap.commands.watch import WatchOptions, watch

    watch(WatchOptions(name, stack_name, region, profile, interval), context.ensure_object(Screen))
