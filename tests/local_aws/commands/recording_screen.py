"""A screen for calling what a command does without its command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from annex_bootstrap.console.progress import Board
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.console.tables import Column
from annex_bootstrap.stack.read import Event


class RecordingScreen(Screen):
    """Keeps what is printed, and gives the same answer to every question.

    Attributes:
        said: lines for people, errors among them.
        questions: those that were asked.
        events: of the stacks, by region.
    """

    def __init__(self, answer: bool) -> None:
        super().__init__()
        self.answer = answer
        self.said: list[str] = []
        self.questions: list[str] = []
        self.events: dict[str, list[Event]] = {}

    def say(self, text: str = "", *, wrap: bool = True, **_style: Any) -> None:
        del wrap
        self.said.append(text)

    def fail(self, message: str) -> None:
        self.said.append(message)

    def result(self, text: str) -> None:
        self.said.append(text)

    def item(self, head: str, lines: Sequence[str], **_style: Any) -> None:
        self.said += [f"{head} {line}" for line in lines]

    def next_steps(self, steps: Mapping[str, str]) -> None:
        self.said += [f"{line}  # {purpose}" for line, purpose in steps.items()]

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        self.said += [" ".join(column.name for column in columns), *(" ".join(row) for row in rows)]

    def confirm(self, question: str, default: bool) -> bool:
        del default
        self.questions.append(question)
        return self.answer

    @contextmanager
    def progress(self, regions: Sequence[str], totals: Mapping[str, int] | None = None) -> Iterator[Board]:
        yield _Events(regions, totals or {}, self.events)


class _Events(Board):
    """Keeps the events of the stacks."""

    def __init__(self, regions: Sequence[str], totals: Mapping[str, int], events: dict[str, list[Event]]) -> None:
        super().__init__(regions, totals)
        self.events = events

    def take(self, region: str, event: Event) -> None:
        self.events.setdefault(region, []).append(event)
