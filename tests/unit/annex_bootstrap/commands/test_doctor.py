"""``doctor``: what it examines, what it prints, and what it leaves out of its JSON document."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from annex_bootstrap.commands.doctor import COLOURS, anonymous, doctor
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.doctor import registry
from annex_bootstrap.doctor.check import Finding, Level, Setup
from annex_bootstrap.target import Target
from tests.unit.recorded import Recorded


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("arn:aws:iam::123456789012:user/somebody", "arn:aws:iam::ACCOUNT:user/somebody"),
        ("the key AKIAMADEUPMADEUPMADE of 123456789012", "the key KEY of ACCOUNT"),
        ("AROAMADEUPMADEUPMADE:i-0123456789abcdef0", "KEY:i-0123456789abcdef0"),
        ("1234567890123 bytes, ami-012345678901234567", "1234567890123 bytes, ami-012345678901234567"),
        ("stack annex-bootstrap", "stack annex-bootstrap"),
    ],
)
def test_the_document_has_no_account_numbers_and_no_ids_of_keys(text: str, shown: str) -> None:
    finding = Finding("an-id", "subject", Level.PROBLEM, text, text, (text, "other"))
    assert anonymous(finding) == Finding("an-id", "subject", Level.PROBLEM, shown, shown, (shown, "other"))


NAME = "a-name-that-is-wider-than-a-narrow-terminal"
FINDINGS = [
    Finding("one", "bucket", Level.OK, "is closed"),
    Finding("two", "key", Level.PROBLEM, "of 123456789012", "Delete it.", (f"aws iam delete {NAME}", "aws iam list")),
    Finding("three", "pool", Level.SKIPPED, "not here"),
]


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> list[Setup]:
    """The setups that are examined."""
    setups: list[Setup] = []

    def examine(setup: Setup) -> list[Finding]:
        setups.append(setup)
        return FINDINGS

    monkeypatch.setattr(registry, "examine", examine)
    return setups


def test_each_finding_is_printed_with_what_to_do_and_counted(
    screen: Screen,
    targeted: Callable[..., Target],
    examined: list[Setup],
    narrow: Callable[[], None],
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    narrow()
    found = doctor(screen, targeted(Recorded(), "eu-west-1"), "public:9700")
    (setup,) = examined
    assert (setup.account.region, setup.stack_name) == ("eu-west-1", "annex-bootstrap")
    assert (setup.config, setup.given_collector) == (home / "user_config", "public:9700")
    assert (found.ok, found.problem_count) == (False, 1)
    assert found.findings == (FINDINGS[0], replace(FINDINGS[1], detail="of ACCOUNT"), FINDINGS[2])
    assert capsys.readouterr().out == (
        "OK       bucket: is closed\n"
        "PROBLEM  key: of 123456789012\n"
        "         -> Delete it.\n"
        f"  aws iam delete {NAME}\n"
        "  aws iam list\n"
        "SKIPPED  pool: not here\n"
        "\n1 problem; 1 check skipped:\n  pool.\n"
    )


def test_without_a_problem_that_is_said_and_two_are_counted(
    screen: Screen,
    targeted: Callable[..., Target],
    examined: list[Setup],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "examine", lambda _: FINDINGS[::2])
    found = doctor(screen, targeted(Recorded()))
    assert (found.ok, found.problem_count) == (True, 0)
    assert capsys.readouterr().out.endswith("\n\nNo problems found; 1 check skipped: pool.\n")
    monkeypatch.setattr(registry, "examine", lambda _: [FINDINGS[1]] * 2)
    doctor(screen, targeted(Recorded()))
    assert capsys.readouterr().out.endswith("\n\n2 problems.\n")
    assert examined == []


def test_results_have_colours_that_a_light_terminal_shows() -> None:
    assert COLOURS == {Level.OK: "green", Level.PROBLEM: "red", Level.SKIPPED: "magenta"}
