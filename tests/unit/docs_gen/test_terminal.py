"""The picture of the demo's terminal."""

from __future__ import annotations

import re

import pytest

from docs_gen import terminal


@pytest.mark.parametrize("scheme", terminal.THEMES)
def test_the_picture_is_drawn_from_the_page(scheme: str) -> None:
    drawn = (terminal.PAGE.parent / f"demo-{scheme}.svg").read_text()
    assert terminal.draw(terminal.read(), scheme) == drawn, "run python -m docs_gen.terminal"


@pytest.mark.parametrize("scheme", terminal.THEMES)
def test_the_picture_needs_nothing_from_elsewhere(scheme: str) -> None:
    svg = terminal.draw(["A step  with a link to https://example.org"], scheme)
    assert "example.org" in svg
    assert re.findall(r"url\((?!#)[^)]*|@import|@font-face|href=", svg) == []


def test_a_long_step_is_shortened_to_its_beginning_and_its_end() -> None:
    step = ["A step  is long", *(f"  line {number}" for number in range(20)), "CREATE_COMPLETE: it", "more"]
    svg = terminal.draw([*step, "", "Resources left over: 0"], "light")
    shown = re.sub(r"<[^>]*>", "", svg).replace("&#160;", " ")
    assert "line 4" in shown
    assert "line 5" not in shown
    assert "CREATE_COMPLETE: it" in shown
    assert "Resources left over: 0" in shown
    assert "more" not in shown


def test_of_an_annex_that_is_watched_only_the_first_and_the_last_row_stay() -> None:
    rows = [f"12:34:5{count}  annex=a  running={count}\n    started_by=b" for count in (2, 1, 0)]
    lines = ["$ watch", *"\n".join(rows).split("\n"), "12:34:59  annex=a  gone", "Nothing runs."]
    assert list(terminal._shorten(lines)) == [*lines[:3], "12:34:59  annex=a  gone", "Nothing runs."]


def test_two_runs_differ_only_in_numbers_and_ids() -> None:
    first = [
        "  03:44:35  CREATE_COMPLETE   SweepRule",
        "  ... (51 more)",
        "  role/lab-579b0df5-b31a6b38cc7c, 2 machines",
    ]
    other = [
        "  18:00:01  CREATE_COMPLETE   BucketRole",
        "  ... (7 more)",
        "  role/lab-0d2b1111-aaaa6b38cc7c, 3 machines",
    ]
    assert terminal.lasting(first) == terminal.lasting(other)
    assert terminal.lasting(first) != terminal.lasting([line.replace("machines", "annexes") for line in first])
