"""What doctor says of the image of a stack's machines."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from annex_bootstrap.doctor.check import Level
from annex_bootstrap.doctor.stack_checks import Image
from annex_bootstrap.stack.image import StackImage

MADE = datetime(2026, 11, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 23, tzinfo=UTC)
IMAGE = StackImage("ami-0123456789abcdef0", True, "available", MADE, "ami-0base", "23.9.6", "ami-0base")


def test_an_image_is_shown_with_its_htcondor_and_its_age() -> None:
    finding = Image(IMAGE, NOW).judge()
    assert (finding.level, finding.detail) == (Level.OK, "ami-0123456789abcdef0 has HTCondor 23.9.6 and is 22 days old")


def test_a_newer_base_is_mentioned_and_not_a_problem() -> None:
    finding = Image(replace(IMAGE, newest="ami-0newer"), NOW).judge()
    assert finding.level is Level.OK
    assert finding.detail.endswith("; Debian has a newer image: run annex-bootstrap image rebuild")


@pytest.mark.parametrize(("state", "said"), [("", "gone"), ("failed", "failed"), ("pending", "pending")])
def test_an_image_that_machines_cannot_start_from_is_a_problem(state: str, said: str) -> None:
    finding = Image(replace(IMAGE, state=state), NOW).judge()
    assert (finding.level, finding.detail) == (Level.PROBLEM, f"ami-0123456789abcdef0 is {said}")
    assert finding.advice == "run annex-bootstrap image rebuild"
    assert "--param Image=" in Image(replace(IMAGE, state=state, made_by_stack=False), NOW).judge().advice


def test_a_users_own_image_has_no_newer_base() -> None:
    theirs = replace(IMAGE, made_by_stack=False, newest="ami-0newer")
    assert theirs.newer_base == ""
    assert Image(theirs, NOW).judge().detail == "ami-0123456789abcdef0 is available; it is yours"


def test_a_stack_without_an_image_comes_with_how_to_get_one() -> None:
    finding = Image(None, NOW).judge()
    assert (finding.level, finding.advice) == (Level.SKIPPED, "run annex-bootstrap deploy --param Image=yes")
