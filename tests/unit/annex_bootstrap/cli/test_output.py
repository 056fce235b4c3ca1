"""The options of every command's output, on what looks like a terminal."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import click
import pytest
from click.testing import CliRunner

from annex_bootstrap.cli import commands
from annex_bootstrap.cli.output import Screen, output_option
from annex_bootstrap.screen import Column
from annex_bootstrap.stack.read import Event

ESCAPE = "\x1b"
"""What every control sequence of a terminal begins with."""


@click.command()
@output_option
def command(screen: Screen) -> None:
    """Do what commands do: follow a stack, show what changes, and point on."""
    with screen.progress(["us-east-1"]) as board:
        made = Event("1", datetime(2026, 1, 1, 12, tzinfo=UTC), "Role", "AWS::IAM::Role", "CREATE_COMPLETE", "")
        board.watcher("us-east-1")(made)
    with screen.live([Column("ANNEX"), Column("BUSY", number=True)], "There is none.") as show:
        show([])
        show([])
        show([["first", "1"]])
        show([["first", "1"], ["second", "0"]])
        show([["first", "2"]])
    screen.next_steps({"annex-bootstrap doctor": "checks that all is ready"})


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes rich take standard output for a terminal.

    Source: https://rich.readthedocs.io/en/stable/console.html
    """
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")


def printed(*arguments: str) -> str:
    done = CliRunner().invoke(command, arguments, obj=Screen(), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.usefixtures("terminal")
def test_a_terminal_gets_tables_that_are_drawn_over() -> None:
    assert ESCAPE in printed("--quiet")


@pytest.mark.usefixtures("terminal")
def test_plain_prints_lines_on_a_terminal_and_draws_over_nothing() -> None:
    assert printed("--plain", "--quiet").splitlines() == [
        "  12:00:00  CREATE_COMPLETE   Role",
        "There is none.",
        "ANNEX=first  BUSY=1",
        "ANNEX=second  BUSY=0",
        "ANNEX=second  gone",
        "ANNEX=first  BUSY=2",
    ]


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (35, ["ANNEX      TIME LEFT  $/HOUR  BY", "long-name     7h 59m    0.20  alice"]),
        (34, ["             TIME", "ANNEX        LEFT  $/HOUR  BY", "long-name  7h 59m    0.20  alice"]),
        (31, ["             TIME", "ANNEX        LEFT  $/HOUR", "long-name  7h 59m    0.20"]),
        (24, ["             TIME", "ANNEX        LEFT", "long-name  7h 59m"]),
        (14, ["          TIME", "ANNEX     LEFT", "long-n  7h 59m", "ame"]),
    ],
)
def test_a_narrow_terminal_loses_columns_before_a_number_is_broken(
    width: int, lines: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    columns = [
        Column("ANNEX"),
        Column("TIME LEFT", number=True),
        Column("$/HOUR", number=True, optional=True),
        Column("BY", optional=True),
    ]
    Screen().table(columns, [["long-name", "7h 59m", "0.20", "alice"]])
    printed = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert [line.rstrip() for line in printed.splitlines()] == lines


def test_quiet_leaves_out_what_to_do_next_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    loud, quiet = printed(), printed("--quiet")
    assert loud.removeprefix(quiet).splitlines() == [
        "Next:",
        "  annex-bootstrap doctor  # checks that all is ready",
    ]


def test_what_shows_live_tables_can_be_plain() -> None:
    for name in ("deploy", "delete", "setup", "watch"):
        found = commands.get_command(click.Context(commands), name)
        assert found is not None
        assert "--plain" in [option for parameter in found.params for option in parameter.opts], name
