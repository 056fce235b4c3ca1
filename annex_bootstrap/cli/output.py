"""What every command prints with: text for people, or one JSON document for programs."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from annex_bootstrap.cli.printable import one_line, printable

if TYPE_CHECKING:
    from rich.table import Table

    from annex_bootstrap.screen import Column, Progress

ITEM_HEAD = 9
"""Columns of the word before the lines of an item, and the space behind it."""

GAP = 2
"""Columns between those of a table."""

LEAST_WIDTH = 30
"""Columns for which text is broken on a terminal that is narrower still."""

WIDE = 1000
"""Columns of what is no terminal: more than any table has, so that no row is cut."""

Command = TypeVar("Command", bound=Callable[..., Any])


class Screen:
    """Where a command prints.

    Text goes to stdout. With ``--output json`` stdout is one JSON document, and text goes to stderr.
    """

    def __init__(self) -> None:
        self.json = False
        self.quiet = False
        self.plain = False

    def say(self, text: str = "", *, wrap: bool = True, **style: Any) -> None:
        """Print a line for people, broken between words where a terminal is narrower; not one to paste."""
        text = printable(_wrapped(text, self._is_terminal) if wrap else text)
        click.secho(text, err=self.json, color=self._wants_style, **style)

    @property
    def _wants_style(self) -> bool | None:
        """False where nothing but text may be printed, else None: styles on a terminal only."""
        return False if self.plain else wants_colour()

    @property
    def _is_terminal(self) -> bool:
        return (sys.stderr if self.json else sys.stdout).isatty()

    def item(self, head: str, lines: Sequence[str], **style: Any) -> None:
        """Print a styled word and lines beside it, which a terminal breaks; elsewhere they stay whole, for grep."""
        indent = " " * ITEM_HEAD
        for number, line in enumerate(lines):
            self.say(f"{head:<{ITEM_HEAD}}" if number == 0 else indent, nl=False, **(style if number == 0 else {}))
            width = _width() - ITEM_HEAD
            parts = textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False)
            self.say(f"\n{indent}".join(parts) if self._is_terminal else line, wrap=False)

    def next_steps(self, steps: Mapping[str, str]) -> None:
        """Print what to do next, only for people: lines to paste, and what each of them does."""
        if self.json or self.quiet:
            return
        self.say("Next:")
        for line, purpose in steps.items():
            whole = f"  {line}  # {purpose}"
            if self._is_terminal and len(whole) > _width():
                self.say(f"  # {purpose}")
                self.say(f"  {line}", wrap=False)
            else:
                self.say(whole, wrap=False)

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """Print a table for people: on a terminal as wide as that, elsewhere one whole line a row, for grep."""
        from rich.console import Console

        # Without a system of colours, rich prints no control codes at all.
        console = Console(highlight=False, stderr=self.json, color_system="auto" if self._wants_style is None else None)
        if not console.is_terminal:
            console.width = WIDE
        console.print(_table(columns, rows, console.width if console.is_terminal else None))

    @contextmanager
    def live(self, columns: Sequence[Column], none: str) -> Iterator[Callable[[Sequence[Sequence[str]]], None]]:
        """Show a table's rows anew, until the context ends: in place on a terminal, else each changed row."""
        from rich.console import Console
        from rich.live import Live

        console = Console(highlight=False, stderr=self.json)
        if console.is_terminal and not (console.is_dumb_terminal or self.plain):
            with Live(console=console, auto_refresh=False) as shown:
                yield lambda rows: shown.update(
                    _table(columns, rows, console.width) if rows else printable(none), refresh=True
                )
            return
        printed: dict[str, Sequence[str]] | None = None

        def print_changes(rows: Sequence[Sequence[str]]) -> None:
            nonlocal printed
            before, printed = printed, {row[0]: row for row in rows}
            for first in sorted((before or {}).keys() - printed.keys()):
                self.say(f"{columns[0].name}={one_line(first)}  gone")
            for first, row in sorted(printed.items()):
                if before is None or before.get(first) != row:
                    cells = zip(columns, row, strict=True)
                    self.say("  ".join(f"{column.name}={one_line(cell)}" for column, cell in cells))
            if not printed and before != {}:
                self.say(none)
            sys.stdout.flush()

        yield print_changes

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
        text = _wrapped(f"annex-bootstrap: {message}", sys.stderr.isatty())
        click.secho(printable(text), fg="red", err=True, color=self._wants_style)

    def progress(
        self, regions: Sequence[str], totals: Mapping[str, int] | None = None
    ) -> AbstractContextManager[Progress]:
        """Show the progress of stacks until the context ends."""
        from annex_bootstrap.cli.progress import progress

        return progress(self, regions, totals, stderr=self.json, plain=self.plain)

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


def _wrapped(text: str, is_terminal: bool) -> str:
    """Return a text whose lines a terminal does not break within words."""
    if not is_terminal:
        return text
    width = _width()
    return "\n".join(
        textwrap.fill(
            line,
            width,
            subsequent_indent=" " * (len(line) - len(line.lstrip()) + 2),
            break_long_words=False,
            break_on_hyphens=False,
        )
        if len(line) > width
        else line
        for line in text.split("\n")
    )


def _width() -> int:
    return max(shutil.get_terminal_size().columns, LEAST_WIDTH)


def _table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> Table:
    """Return a table, on a narrow terminal with headings on two lines, and without optional columns.

    Args:
        columns: of the table.
        rows: a cell for each column.
        width: of the terminal, in columns; None where it is none.
    """
    from rich.table import Table
    from rich.text import Text

    heads = [column.name for column in columns]
    cells = [[one_line(cell) for cell in row] for row in rows]
    shown = list(range(len(columns)))

    def fits() -> bool:
        texts = ([heads[place], *(row[place] for row in cells)] for place in shown)
        needed = sum(max(len(line) for text in column for line in text.split("\n")) + GAP for column in texts) - GAP
        return width is None or needed <= width

    if not fits():
        heads = ["\n".join(head.rsplit(" ", 1)) for head in heads]
    for place in reversed(range(len(columns))):
        if columns[place].optional and not fits():
            shown.remove(place)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for place in shown:
        number = columns[place].number
        table.add_column(heads[place], justify="right" if number else "left", overflow="fold", no_wrap=number)
    for row in cells:
        table.add_row(*[Text(row[place]) for place in shown])
    return table


def wants_colour() -> bool | None:
    """Return False if ``NO_COLOR`` is set (https://no-color.org) or no terminal can show any, else None.

    None means colours on a terminal only.
    """
    return False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None


def _choose(context: click.Context, _option: click.Parameter, value: str) -> Screen:
    screen: Screen = context.ensure_object(Screen)
    screen.json = value == "json"
    return screen


def _be_quiet(context: click.Context, _option: click.Parameter, value: bool) -> None:
    context.ensure_object(Screen).quiet |= value


def _be_plain(context: click.Context, _option: click.Parameter, value: bool) -> None:
    context.ensure_object(Screen).plain |= value


plain_option = click.option(
    "--plain", is_flag=True, expose_value=False, callback=_be_plain, help="No live tables, for screen readers."
)


def output_option(command: Command) -> Command:
    """Give a command the options of its output and, as ``screen``, where to print."""
    quiet = click.option(
        "--quiet", is_flag=True, expose_value=False, callback=_be_quiet, help="Do not say what to do next."
    )
    output = click.option(
        "--output",
        "screen",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        callback=_choose,
        is_eager=True,
        help="json: one document on stdout, everything else on stderr.",
    )
    return output(quiet(plain_option(command)))
