"""A screen for calling what a command does without its command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from annex_bootstrap.console.tables import Column
from annex_bootstrap.stack.follow import Watcher
from annex_bootstrap.stack.read import Event


class RecordingScreen:
    """Keeps what is printed, and gives the same answer to every question.

    Attributes:
        said: lines for people, errors among them.
        documents: JSON documents.
        questions: those that were asked.
        events: of the stacks, by region.
    """

    def __init__(self, answer: bool) -> None:
        self.answer = answer
        self.said: list[str] = []
        self.documents: list[Any] = []
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

    def document(self, data: object) -> None:
        self.documents.append(data)

    def confirm(self, question: str, default: bool) -> bool:
        del default
        self.questions.append(question)
        return self.answer

    @contextmanager
    def progress(self, _regions: Sequence[str], _totals: Mapping[str, int] | None = None) -> Iterator[RecordingScreen]:
        yield self

    def watcher(self, region: str) -> Watcher:
        return self.events.setdefault(region, []).append
