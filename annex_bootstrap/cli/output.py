"""What every command prints with: text for people, or one JSON document for programs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from annex_bootstrap.cli.printable import one_line, printable

if TYPE_CHECKING:
    from annex_bootstrap.screen import Column, Progress

WIDE = 1000
"""Columns of what is no terminal: more than any table has, so that no row is cut."""

Command = TypeVar("Command", bound=Callable[..., Any])


class Screen:
    """Where a command prints.

    Text goes to stdout. With ``--output json`` stdout is one JSON document, and text goes to stderr.
    """

    def __init__(self) -> None:
        self.json = False

    def say(self, text: str = "", **style: Any) -> None:
        """Print a line for people."""
        click.secho(printable(text), err=self.json, **style)

    def next_steps(self, steps: Mapping[str, str]) -> None:
        """Print what to do next, only for people: lines to paste, and what each of them does."""
        if self.json:
            return
        self.say("Next:")
        for line, purpose in steps.items():
            self.say(f"  {line}  # {purpose}")

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """Print a table for people: on a terminal as wide as that, elsewhere one whole line a row, for grep."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for column in columns:
            table.add_column(column.name, justify="right" if column.number else "left", overflow="fold")
        for row in rows:
            table.add_row(*[Text(one_line(cell)) for cell in row])
        console = Console(highlight=False, stderr=self.json)
        if not console.is_terminal:
            console.width = WIDE
        console.print(table)

    def result(self, text: str) -> None:
        """Print what was asked for as it is, where no JSON document is."""
        if not self.json:
            click.echo(printable(text), nl=False)

    def document(self, data: object) -> None:
        """Print the JSON document, where one was asked for. Called once by every command."""
        if self.json:
            import json

            click.echo(json.dumps(data, indent=2))

    def fail(self, message: str) -> None:
        """Print what went wrong."""
        click.secho(f"annex-bootstrap: {printable(message)}", fg="red", err=True, color=wants_colour())

    def progress(
        self, regions: Sequence[str], totals: Mapping[str, int] | None = None
    ) -> AbstractContextManager[Progress]:
        """Show the progress of stacks until the context ends."""
        from annex_bootstrap.cli.progress import progress

        return progress(self, regions, totals, stderr=self.json)

    def confirm(self, question: str, default: bool) -> bool:
        """Ask a yes-or-no question.

        Raises:
            click.UsageError: there is nobody to ask.
            click.Abort: Ctrl-C.
        """
        try:
            return click.confirm(printable(question), default=default, err=self.json)
        except click.Abort:
            if sys.stdin.isatty():
                raise
            click.echo(err=True)
            raise click.UsageError("there is nobody to ask: give --yes to go ahead") from None


def wants_colour() -> bool | None:
    """Return False if ``NO_COLOR`` is set (https://no-color.org), else None: colours on a terminal only."""
    return False if os.environ.get("NO_COLOR") else None


def _choose(context: click.Context, _option: click.Parameter, value: str) -> Screen:
    screen: Screen = context.ensure_object(Screen)
    screen.json = value == "json"
    return screen


def output_option(command: Command) -> Command:
    """Give a command the option ``--output`` and, as ``screen``, where to print."""
    return click.option(
        "--output",
        "screen",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        callback=_choose,
        is_eager=True,
        help="json: one document on stdout, everything else on stderr.",
    )(command)
