"""docs/demo.md shows what the demo really prints."""

from __future__ import annotations

import pytest

from docs_gen import terminal

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("template")
def test_the_page_shows_what_the_demo_prints() -> None:
    assert terminal.lasting(terminal.record()) == terminal.lasting(terminal.read()), "run python -m docs_gen.terminal"
