"""What a command needs of the place it prints to, so that the commands know no command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from annex_bootstrap.stack.follow import Watcher


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: its heading.
        number: whether it holds numbers, which are aligned at their end and never broken.
        optional: whether a terminal leaves it out where the table is too wide, the last one first.
    """

    name: str
    number: bool = False
    optional: bool = False


class Progress(Protocol):
    """Shows the events of the stacks of several regions."""

    def watcher(self, region: str) -> Watcher:
        """Return what takes the events of a region's stack."""


class Screen(Protocol):
    """Prints for people, or one JSON document for programs; asks people."""

    def say(self, text: str = "", *, wrap: bool = True, **style: Any) -> None:
        """Print a line for people, broken between words where a terminal is narrower, unless it is one to paste."""

    def item(self, head: str, lines: Sequence[str], **style: Any) -> None:
        """Print a styled word and lines beside it, which a terminal breaks; elsewhere they stay whole, for grep."""

    def next_steps(self, steps: Mapping[str, str]) -> None:
        """Print what to do next, only for people: lines to paste, and what each of them does."""

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """Print a table for people: on a terminal as wide as that, elsewhere one whole line a row."""

    def fail(self, message: str) -> None:
        """Print an error."""

    def result(self, text: str) -> None:
        """Print what was asked for as it is, where no JSON document is."""

    def document(self, data: object) -> None:
        """Print the JSON document, where one was asked for. Called once by every command."""

    def confirm(self, question: str, default: bool) -> bool:
        """Ask a yes-or-no question and return the answer."""

    def progress(
        self, regions: Sequence[str], totals: Mapping[str, int] | None = None
    ) -> AbstractContextManager[Progress]:
        """Show the progress of stacks until the context ends.

        Args:
            regions: of the stacks.
            totals: how many resources will change, by region, where that is known.
        """


class Part:
    """The screen of one part of a longer run: it points to no next command, and passes its document on.

    Attributes:
        refused: whether somebody answered no.
    """

    def __init__(self, screen: Screen, keep: Callable[[object], None]) -> None:
        """Print to ``screen``, and give documents to ``keep``."""
        self.screen = screen
        self.keep = keep
        self.refused = False
        self.say = screen.say
        self.item = screen.item
        self.table = screen.table
        self.fail = screen.fail
        self.result = screen.result
        self.progress = screen.progress

    def next_steps(self, steps: Mapping[str, str]) -> None:
        """Print nothing: the longer run says what comes next."""

    def document(self, data: object) -> None:
        """Pass the document on."""
        self.keep(data)

    def confirm(self, question: str, default: bool) -> bool:
        """Ask a yes-or-no question, remember a no, and return the answer."""
        answer = self.screen.confirm(question, default)
        self.refused |= not answer
        return answer


class LiveScreen(Screen, Protocol):
    """A screen that can also show what changes."""

    def live(
        self, columns: Sequence[Column], none: str
    ) -> AbstractContextManager[Callable[[Sequence[Sequence[str]]], None]]:
        """Return what shows a table's rows anew, until the context ends: in place on a terminal, elsewhere by lines.

        Args:
            columns: of the table; the first says what a row is about.
            none: what to say where there are no rows.
        """
