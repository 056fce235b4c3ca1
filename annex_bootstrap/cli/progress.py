"""Showing how a stack gets on: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from annex_bootstrap.stacks import Event


class Watcher(Protocol):
    """Told of every event of a stack."""

    def __call__(self, event: Event) -> None:
        """Show one event."""


@dataclass
class _Row:
    status: str
    began: float
    ended: float | None = None


class _Board:
    """The resources of a stack, in the order in which they began."""

    def __init__(self) -> None:
        self.rows: dict[str, _Row] = {}

    def __call__(self, event: Event) -> None:
        if event.is_stack:
            return
        at = event.at.timestamp()
        row = self.rows.get(event.resource)
        if row is None or row.ended is not None:
            row = self.rows[event.resource] = _Row(event.status, at)
        row.status = event.status
        row.ended = None if event.status.endswith("_IN_PROGRESS") else at

    def __rich__(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for name, row in self.rows.items():
            seconds = (row.ended or time.time()) - row.began
            table.add_row("", Text(name), Text(row.status, style=_style(row.status)), Text(f"{max(seconds, 0):5.1f} s"))
        return table


def _style(status: str) -> str:
    if status.endswith("_FAILED"):
        return "red"
    return "green" if status.endswith("_COMPLETE") else "yellow"


def _line(event: Event) -> str:
    reason = f"  {event.reason}" if event.reason and event.status.endswith("_FAILED") else ""
    return f"  {event.at:%H:%M:%S}  {event.status:<20}  {event.resource}{reason}"


@contextmanager
def progress() -> Iterator[Watcher]:
    """Show the events that the watcher is told of until the context ends."""
    console = Console(highlight=False)
    if not console.is_terminal:
        yield lambda event: console.print(_line(event), soft_wrap=True, markup=False)
        return
    board = _Board()
    with Live(board, console=console, refresh_per_second=8, vertical_overflow="visible"):
        yield board
