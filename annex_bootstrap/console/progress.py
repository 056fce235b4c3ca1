"""The progress of stacks: one live table for all regions on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import click
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from annex_bootstrap.console.tables import printable
from annex_bootstrap.stack.follow import Watcher
from annex_bootstrap.stack.read import Event

SPARE_LINES = 4
"""Lines of the terminal that the table leaves free: a table taller than the terminal cannot be redrawn."""


@dataclass
class _Row:
    region: str
    resource: str
    status: str
    began: float
    ended: float | None = None


@dataclass
class _Stack:
    name: str
    status: str = ""
    began: float = field(default_factory=time.time)
    ended: float | None = None


class Board:
    """The state of the stacks, updated by several threads at once."""

    def __init__(self, regions: Sequence[str], totals: Mapping[str, int]) -> None:
        self.regions = regions
        self.totals = totals
        self.stacks: dict[str, _Stack] = {}
        self.rows: dict[tuple[str, str], _Row] = {}
        self.lock = threading.Lock()

    def watcher(self, region: str) -> Watcher:
        """Return what takes the events of a region's stack."""

        def watch(event: Event) -> None:
            with self.lock:
                self.take(region, event)

        return watch

    def take(self, region: str, event: Event) -> None:
        """Take one event."""
        at, going = event.at.timestamp(), event.status.endswith("_IN_PROGRESS")
        if event.is_stack:
            stack = self.stacks.get(region)
            if stack is None or stack.ended is not None:
                stack = self.stacks[region] = _Stack(event.resource, began=at)
            stack.status, stack.ended = event.status, None if going else at
            return
        row = self.rows.pop((region, event.resource), None)
        if row is None or row.ended is not None:
            row = _Row(region, event.resource, event.status, at)
        row.status, row.ended = event.status, None if going else at
        # The row that changed last comes last.
        self.rows[region, event.resource] = row

    def unfinished(self) -> list[tuple[str, str, str]]:
        """Return region, name and status of the stacks that CloudFormation is still working on."""
        with self.lock:
            return [(region, stack.name, stack.status) for region, stack in self.stacks.items() if stack.ended is None]

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the table, with as many of the resources as fit."""
        with self.lock:
            rows = sorted(self.rows.values(), key=lambda row: row.ended is None)
            room = max(options.size.height - SPARE_LINES - len(self.stacks), 3)
            # Apart, so that neither needs room for the other's columns.
            stacks, table = Table.grid(padding=(0, 2)), Table.grid(padding=(0, 2))
            for region, stack in self.stacks.items():
                done = sum(row.ended is not None for row in rows if row.region == region)
                total = self.totals.get(region, 0)
                count = f"{done} of {total}" if total >= done else f"{done} done"
                name, seconds = Text(stack.name, "bold"), _seconds(stack.began, stack.ended)
                stacks.add_row(*self._where(region), name, _status(stack.status), seconds, Text(count))
            for row in rows[-room:]:
                seconds = _seconds(row.began, row.ended)
                table.add_row(*self._where(row.region), Text(printable(row.resource)), _status(row.status), seconds)
        yield stacks
        yield table

    def _where(self, region: str) -> list[Text]:
        return [Text(region)] if len(self.regions) > 1 else []


class _Lines(Board):
    """Prints what is done, line by line."""

    def __init__(self, regions: Sequence[str], say: Callable[[str], None]) -> None:
        super().__init__(regions, {})
        self.say = say

    def take(self, region: str, event: Event) -> None:
        super().take(region, event)
        # The stack's final status is printed afterwards.
        if event.is_stack or event.status.endswith("_IN_PROGRESS"):
            return
        where = f"{region:<14}  " if len(self.regions) > 1 else ""
        reason = f"  {event.reason}" if event.reason and event.status.endswith("_FAILED") else ""
        self.say(f"  {event.at:%H:%M:%S}  {where}{event.status:<16}  {event.resource}{reason}")


def _status(status: str) -> Text:
    # No yellow, which cannot be read on a light terminal.
    failed = status.endswith("_FAILED") or "ROLLBACK" in status
    return Text(status, "red" if failed else "green" if status.endswith("_COMPLETE") else "")


def _seconds(began: float, ended: float | None) -> Text:
    return Text(f"{max((ended or time.time()) - began, 0):6.1f} s", justify="right")


@contextmanager
def progress(
    say: Callable[[str], None], regions: Sequence[str], totals: Mapping[str, int], *, live: bool
) -> Iterator[Board]:
    """Show the events that the board gets until the context ends.

    Args:
        say: prints a line.
        regions: of the stacks.
        totals: how many resources will change, by region, as far as that is known.
        live: whether a terminal gets a live table, not lines.

    Raises:
        KeyboardInterrupt: Ctrl-C; what continues in AWS has been printed.
    """
    console = Console(highlight=False)
    try:
        if live and console.is_terminal and not console.is_dumb_terminal:
            board = Board(regions, totals)
            with Live(board, console=console, refresh_per_second=8, transient=True):
                yield board
        else:
            board = _Lines(regions, say)
            yield board
    except KeyboardInterrupt:
        click.echo(err=True)
        for region, name, status in board.unfinished():
            click.echo(
                f"CloudFormation continues with the stack {name} in {region} ({status}) without this client. "
                "Run the same command again to watch it.",
                err=True,
            )
        raise
