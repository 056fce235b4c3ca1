"""docs/demo.md shows what the demo really prints."""

from __future__ import annotations

import re

import pytest

from docs_gen import terminal

pytestmark = pytest.mark.slow

EVENT = re.compile(r"(  0:0:0  \w+) .*")


def _lasting(line: str) -> str:
    """Return a line without what differs between two runs: numbers, IDs, and which resource is first or last."""
    return EVENT.sub(r"\1", re.sub(r"\b[0-9a-fA-F]*\d[0-9a-fA-F]*\b", "0", line))


@pytest.mark.usefixtures("template")
def test_the_page_shows_what_the_demo_prints() -> None:
    printed = [_lasting(line) for line in terminal.record()]
    assert printed == [_lasting(line) for line in terminal.read()], "run python -m docs_gen.terminal"
