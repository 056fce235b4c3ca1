"""What every command prints with: text for people, or one JSON document for programs."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from annex_bootstrap import PROGRAM
from annex_bootstrap.console.tables import WIDE, Column, build_table, one_line, printable
from annex_bootstrap.errors import CommandLineError, UserError

if TYPE_CHECKING:
    from annex_bootstrap.console.progress import Board
    from annex_bootstrap.console.result import Result

Answer = TypeVar("Answer")

ITEM_HEAD = 9
"""Columns of the word before the lines of an item, and the space behind it."""

LEAST_WIDTH = 30
"""Columns for which text is broken on a terminal that is narrower still."""


class Screen:
    """Where a command prints.

    Text goes to stdout. With ``--output json`` stdout is one JSON document, nothing is asked, and stderr gets errors
    and warnings only.

    Attributes:
        json: whether stdout gets one JSON document.
        quiet: whether to leave out the next steps.
        plain: whether a terminal gets neither live tables nor colours.
        lines: whether a document is one line, because others follow it.
        command: the words of the command that runs, such as ``leases end``.
    """

    def __init__(self) -> None:
        self.json = False
        self.quiet = False
        self.plain = False
        self.lines = False
        self.command = ""

    def say(self, text: str = "", *, wrap: bool = True, **style: Any) -> None:
        """Print a line for people, broken between words where a terminal is narrower; not one to paste."""
        if self.json:
            return
        text = printable(_wrapped(text, sys.stdout.isatty()) if wrap else text)
        click.secho(text, color=self._wants_style, **style)

    @property
    def _wants_style(self) -> bool | None:
        """False where nothing but text may be printed, else None: styles on a terminal only."""
        return False if self.plain else wants_colour()

    def item(self, head: str, lines: Sequence[str], **style: Any) -> None:
        """Print a styled word and lines beside it, which a terminal breaks; elsewhere they stay whole, for grep."""
        indent = " " * ITEM_HEAD
        for number, line in enumerate(lines):
            self.say(f"{head:<{ITEM_HEAD}}" if number == 0 else indent, nl=False, **(style if number == 0 else {}))
            width = _width() - ITEM_HEAD
            parts = textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False)
            self.say(f"\n{indent}".join(parts) if sys.stdout.isatty() else line, wrap=False)

    def next_steps(self, steps: Mapping[str, str]) -> None:
        """Print what to do next, only for people: lines to paste, and what each of them does."""
        if self.json or self.quiet:
            return
        self.say("Next:")
        for line, purpose in steps.items():
            whole = f"  {line}  # {purpose}"
            if sys.stdout.isatty() and len(whole) > _width():
                self.say(f"  # {purpose}")
                self.say(f"  {line}", wrap=False)
            else:
                self.say(whole, wrap=False)

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """Print a table for people: on a terminal as wide as that, elsewhere one whole line a row, for grep."""
        if self.json:
            return
        from rich.console import Console

        # Without a system of colours, rich prints no control codes at all.
        console = Console(color_system="auto" if self._wants_style is None else None)
        if not console.is_terminal:
            console.width = WIDE
        console.print(build_table(columns, rows, console.width if console.is_terminal else None))

    @property
    def shows_live(self) -> bool:
        """Whether ``live`` shows a table in place."""
        from rich.console import Console

        console = Console(highlight=False)
        return console.is_terminal and not (console.is_dumb_terminal or self.plain or self.json)

    @contextmanager
    def live(self, columns: Sequence[Column], none: str) -> Iterator[Callable[[Sequence[Sequence[str]]], None]]:
        """Show a table's rows again and again until the context ends: in place on a terminal, else each changed row."""
        from rich.console import Console
        from rich.live import Live

        console = Console(highlight=False)
        if self.shows_live:
            with Live(console=console, auto_refresh=False) as shown:
                yield lambda rows: shown.update(
                    build_table(columns, rows, console.width) if rows else printable(none), refresh=True
                )
            return
        printed: dict[str, Sequence[str]] | None = None

        def print_changes(rows: Sequence[Sequence[str]]) -> None:
            nonlocal printed
            before, printed = printed, {row[0]: row for row in rows}
            for first in sorted((before or {}).keys() - printed.keys()):
                self.say(f"{_now()}  {columns[0].key}={one_line(first)}  gone")
            for first, row in sorted(printed.items()):
                if before is None or before.get(first) != row:
                    cells = zip(columns, row, strict=True)
                    self.say("  ".join([_now(), *(f"{column.key}={one_line(cell)}" for column, cell in cells)]))
            if not printed and before != {}:
                self.say(none)
            sys.stdout.flush()

        yield print_changes

    def result(self, text: str) -> None:
        """Print what was asked for as it is, where no JSON document is."""
        if not self.json:
            click.echo(printable(text), nl=False)

    def document(self, result: Result | None, error: str | None = None) -> None:
        """Print the JSON document, where one was asked for. Called once for every command.

        Args:
            result: what the command did; None where it failed before it knew.
            error: why it failed.
        """
        if self.json:
            import json

            from annex_bootstrap.advice import name_policy
            from annex_bootstrap.console.result import as_json

            error = None if error is None else name_policy(error, self.command)
            click.echo(json.dumps(as_json(self.command, result, error), indent=None if self.lines else 2))
            sys.stdout.flush()

    def fail(self, message: str) -> None:
        """Print what went wrong, after what was printed before it also where both go into one file."""
        from annex_bootstrap.advice import name_policy

        if sys.stdout is not None:
            sys.stdout.flush()
        text = _wrapped(f"{PROGRAM}: {name_policy(message, self.command)}", sys.stderr.isatty())
        click.secho(printable(text), fg="red", err=True, color=self._wants_style)

    def warn(self, message: str) -> None:
        """Print on stderr what to know about what is printed on stdout."""
        click.echo(printable(_wrapped(f"{PROGRAM}: {message}", sys.stderr.isatty())), err=True)

    def progress(
        self, regions: Sequence[str], totals: Mapping[str, int] | None = None
    ) -> AbstractContextManager[Board]:
        """Show the progress of stacks until the context ends."""
        from annex_bootstrap.console.progress import progress

        return progress(self.say, regions, totals or {}, live=not (self.plain or self.json))

    def confirm(self, question: str, default: bool) -> bool:
        """Ask a yes-or-no question.

        Raises:
            click.UsageError: JSON is printed.
            UserError: there is no terminal.
            click.Abort: Ctrl-C.
        """
        if self.json:
            raise click.UsageError("add --yes: --output json asks nothing")
        try:
            return click.confirm(printable(question), default=default)
        except click.Abort as abort:
            if sys.stdin.isatty() or isinstance(abort.__context__, KeyboardInterrupt):
                raise
            click.echo(err=True)
            raise UserError("no terminal to confirm on: add --yes") from None

    def ask(self, question: str, default: str, read: Callable[[str], Answer], option: str) -> Answer:
        """Ask for a line of text, and again where it cannot be read.

        Args:
            question: what is asked.
            default: what Enter means; shown unless it is empty.
            read: makes the answer of the line; a `CommandLineError` says what is wrong with it.
            option: of the command line that answers it too.

        Raises:
            UserError: there is no terminal.
            click.Abort: Ctrl-C.
        """

        def parse(text: str) -> Answer:
            try:
                return read(text)
            except CommandLineError as error:
                raise click.UsageError(str(error)) from error

        try:
            answer: Answer = click.prompt(
                printable(question), default=default, show_default=bool(default), value_proc=parse
            )
        except click.Abort as abort:
            if sys.stdin.isatty() or isinstance(abort.__context__, KeyboardInterrupt):
                raise
            click.echo(err=True)
            raise UserError(f"no terminal to answer on: add {option} or --yes") from None
        return answer


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


def _now() -> str:
    return f"{datetime.now(UTC).astimezone():%H:%M:%S}"


def _width() -> int:
    return max(shutil.get_terminal_size().columns, LEAST_WIDTH)


def wants_colour() -> bool | None:
    """Return False if ``NO_COLOR`` is set (https://no-color.org) or no terminal can show any, else None.

    None means colours on a terminal only.
    """
    return False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None
