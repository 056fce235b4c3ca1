"""What a command needs of the place it prints to, so that the commands know no command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from annex_bootstrap.stack.follow import Watcher


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: its heading.
        number: whether it holds numbers, which are aligned at their end.
    """

    name: str
    number: bool = False


class Progress(Protocol):
    """Shows the events of the stacks of several regions."""

    def watcher(self, region: str) -> Watcher:
        """Return what takes the events of a region's stack."""


class Screen(Protocol):
    """Prints for people, or one JSON document for programs; asks people."""

    def say(self, text: str = "", **style: Any) -> None:
        """Print a line for people."""

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
