"""A queue and a pool that commands need not read: what is asked of them is kept, and answered as the test says."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from annex_bootstrap.growth import queue
from annex_bootstrap.growth.reading import Reader, View
from tests.unit.annex_bootstrap.growth.cases import NOW


class Reading:
    """What a command reads.

    Attributes:
        ads: of jobs.
        asked: the arguments with which HTCondor's commands were asked for them.
        view: of the pool and AWS.
        readers: who read it, each with the time.
    """

    def __init__(self, ads: list[dict[str, Any]], view: View) -> None:
        self.ads = ads
        self.asked: list[list[str]] = []
        self.view = view
        self.readers: list[tuple[Reader, int]] = []

    def serve(self, module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the module of a command read this, half a second after ``NOW``."""
        monkeypatch.setattr(queue, "check_here", lambda: None)
        monkeypatch.setattr(queue, "read_ads", self._read_ads)
        monkeypatch.setattr(Reader, "read", lambda reader, now: self._read(reader, now))
        monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: NOW + 0.5))

    def _read_ads(self, arguments: list[str]) -> list[dict[str, Any]]:
        self.asked.append(arguments)
        return self.ads

    def _read(self, reader: Reader, now: int) -> View:
        self.readers.append((reader, now))
        return self.view
