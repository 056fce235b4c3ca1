"""The report of a live test, and that every step of it is explained."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from tests.live import condor_annex
from tests.live.checks import CHECKS
from tests.live.report import Step, render

AT = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


def report(*steps: Step, left: list[str] | None = None) -> str:
    return render(steps, left, {"AWS::IAM::Role": 15.4}, {"Region": "us-east-1"}, "123456789012", AT)


def test_a_step_shows_what_it_proves_and_what_was_seen_without_the_account() -> None:
    said = report(Step("update", 61.2, notes=["stack of 123456789012", "a | b"]), left=[])
    assert said == (
        "## annex-bootstrap live test: passed\n\n- Date: 2026-11-27 12:00 UTC\n- Region: us-east-1\n\n"
        "| Part | Step | Result | Seconds | Proves | Seen |\n| ---: | --- | --- | ---: | --- | --- |\n"
        "| 1 | update | ok | 61 | a change of a parameter replaces nothing | stack of ACCOUNT; a \\| b |\n\n"
        "Left over, besides the account's service-linked roles: nothing\n\n"
        "| Resource type | Seconds to create, at most |\n| --- | ---: |\n| AWS::IAM::Role | 15 |\n"
    )


def test_what_a_step_cannot_show_here_is_named_and_no_success() -> None:
    said = report(Step("image", unseen="no machine boots"), Step("update"), left=[])
    assert "\n- Not shown: image\n" in said
    assert "| 2 | image | not shown | 0 |" in said
    assert said.count("no machine boots") == 1


def test_a_failure_comes_with_what_to_do() -> None:
    said = report(Step("doctor", error="PROBLEM"), left=["role x"])
    assert said.startswith("## annex-bootstrap live test: FAILED\n")
    assert f"\n- What to do about doctor: {CHECKS['doctor'].advice}\n" in said
    assert "| 10 | doctor | FAILED | 0 | doctor finds nothing wrong | PROBLEM |" in said
    assert "Left over, besides the account's service-linked roles: `role x`\n" in said


def test_a_failed_step_is_not_one_that_shows_nothing() -> None:
    said = report(Step("image", error="denied", unseen="no machine boots"), left=[])
    assert "| 2 | image | FAILED |" in said
    assert "Not shown" not in said


def test_an_unknown_rest_is_no_success() -> None:
    assert report(Step("update")).startswith("## annex-bootstrap live test: FAILED\n")


def test_every_step_is_explained_and_taken() -> None:
    sources = Path(condor_annex.__file__).parent.glob("*.py")
    taken = {name for path in sources for name in re.findall(r'step\("([^"]+)"', path.read_text())}
    ended = {"the spot annex ends", "the extended annex ends"}
    assert taken | ended == set(CHECKS)
