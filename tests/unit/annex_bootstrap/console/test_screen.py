"""The options of every command's output, on what looks like a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import re
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import click
import pytest
from click.testing import CliRunner

from annex_bootstrap.advice import advise
from annex_bootstrap.console.command import OUTPUT, Command
from annex_bootstrap.console.result import Result
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.console.tables import Column
from annex_bootstrap.errors import CommandLineError, UserError
from annex_bootstrap.main import commands, main
from annex_bootstrap.stack.read import Event

ESCAPE = "\x1b"
"""What every control sequence of a terminal begins with."""


@dataclass(frozen=True)
class Made(Result):
    """What the command here does."""

    made: tuple[str, ...]
    at: datetime
    dollars_per_hour: Decimal


AT = datetime(2026, 1, 1, 12, tzinfo=UTC)


def act(screen: Screen, wish: str) -> Made:
    """Do what commands do: follow a stack, show what changes, and point on."""
    if wish == "an error":
        raise UserError("there is no stack")
    if wish == "a question":
        screen.confirm("Go ahead?", default=False)
    with screen.progress(["us-east-1"]) as board:
        made = Event("1", AT, "Role", "AWS::IAM::Role", "CREATE_COMPLETE", "")
        board.watcher("us-east-1")(made)
    if wish == "a live table":
        with screen.live([Column("ANNEX"), Column("BUSY", number=True)], "There is none.") as show:
            show([])
            show([])
            show([["first", "1"]])
            show([["first", "1"], ["second", "0"]])
            show([["first", "2"]])
    if wish == "everything":
        screen.say("The stack:", bold=True)
        screen.item("OK", ["the bucket is closed to the public"], fg="green")
        screen.table([Column("ANNEX"), Column("BUSY", number=True)], [["first", "1"]])
        screen.result("text that was asked for")
    screen.next_steps({"annex-bootstrap doctor": "checks that all is ready"})
    if wish == "everything":
        screen.fail("no prices are known")
    return Made(("Role",), AT, Decimal("0.1"))


COMMAND = Command("make", act, click.Argument(["wish"], default="a live table"), *OUTPUT, help="Make a role.")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes rich take standard output for a terminal.

    Source: https://rich.readthedocs.io/en/stable/console.html
    """
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")


def printed(*arguments: str) -> str:
    done = CliRunner().invoke(COMMAND, arguments, obj=Screen(), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.usefixtures("terminal")
def test_a_terminal_gets_tables_that_are_drawn_over() -> None:
    assert ESCAPE in printed("--quiet")


@pytest.mark.usefixtures("terminal")
def test_plain_prints_lines_on_a_terminal_and_draws_over_nothing() -> None:
    lines = [re.sub(r"^\d\d:\d\d:\d\d  ", "", line) for line in printed("--plain", "--quiet").splitlines()]
    assert lines == [
        "  12:00:00  CREATE_COMPLETE   Role",
        "There is none.",
        "annex=first  busy=1",
        "annex=second  busy=0",
        "annex=second  gone",
        "annex=first  busy=2",
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


SHOW = """
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.console.tables import Column
from annex_bootstrap.stack.template import built_template, parse_template
from annex_bootstrap.stack.template import plan_parameters
from annex_bootstrap.stack.plan import Change
from annex_bootstrap.stack.preview import describe_creation

template = parse_template(built_template())
changes = [Change("Add", name, resource["Type"]) for name, resource in template["Resources"].items()]
screen = Screen()
screen.plain = {plain}
screen.say("The stack:", bold=True)
for item in describe_creation(changes, {{one.name: one.value for one in plan_parameters(template, None, {{}})}}):
    screen.item(*item)
screen.item("OK", ["bucket: annex-bootstrap-123456789012-0a1b2c3d-0a1b2c3d4e5f is closed to the public"], fg="green")
screen.table([Column("ANNEX"), Column("BUSY", number=True)], [["first", "1"]])
screen.fail("there is no HTCondor on this machine, which has to make the token by which machines join")
screen.next_steps({{"annex-bootstrap watch my-first-annex": "see the machines join the pool"}})
"""
"""Prints with everything that commands print with."""


def shown(columns: int, *, plain: bool = False, **environ: str) -> str:
    """Run ``SHOW`` on a real terminal of so many columns and return all that it got."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    dropped = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
    clean = {name: value for name, value in os.environ.items() if name not in dropped}
    with subprocess.Popen(
        [sys.executable, "-c", SHOW.format(plain=plain)],
        env={**clean, "TERM": "xterm-256color", **environ},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as running:
        os.close(theirs)
        got = b""
        # The last reader of a terminal whose other side is closed gets an error.
        with contextlib.suppress(OSError):
            while part := os.read(ours, 65536):
                got += part
        os.close(ours)
        assert running.wait() == 0, got.decode()
    return got.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [60, 80])
def test_no_line_on_a_terminal_breaks_a_word(columns: int) -> None:
    printed = shown(columns, plain=True)
    assert max(len(line) for line in printed.splitlines()) <= columns
    assert sorted(printed.split()) == sorted(shown(1000, plain=True).split())


def test_a_step_whose_line_is_too_wide_has_its_purpose_above_it() -> None:
    assert shown(60, plain=True).endswith(
        "Next:\n  # see the machines join the pool\n  annex-bootstrap watch my-first-annex\n"
    )
    assert shown(80, plain=True).endswith(
        "Next:\n  annex-bootstrap watch my-first-annex  # see the machines join the pool\n"
    )


def test_a_sentence_that_is_too_wide_goes_on_indented_below() -> None:
    assert (
        "annex-bootstrap: there is no HTCondor on this machine, which\n  has to make the token by which machines join\n"
    ) in shown(60, plain=True)


def test_colours_on_a_terminal_are_none_that_a_light_background_hides() -> None:
    codes = set(re.findall(r"\x1b\[([0-9;]*)m", shown(80)))
    assert codes == {"0", "1", "31", "32"}


@pytest.mark.parametrize(("plain", "environ"), [(True, {}), (False, {"NO_COLOR": "1"}), (False, {"TERM": "dumb"})])
def test_plain_and_no_color_print_no_control_codes(plain: bool, environ: dict[str, str]) -> None:
    printed = shown(80, plain=plain, **environ)
    control = sorted({character for character in printed if not character.isprintable()} - {"\n"})
    assert control == []


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


DOCUMENT = {"made": ["Role"], "at": "2026-01-01T12:00:00Z", "dollars_per_hour": 0.1}


def as_json(
    *arguments: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[Any, str, object]:
    """Run the command as the program does; return its document, what it prints on stderr, and its exit code."""
    monkeypatch.setattr(commands, "get_command", lambda _context, _name: COMMAND)
    monkeypatch.setattr(sys, "argv", ["annex-bootstrap", "make", *arguments])
    code: object = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    printed = capsys.readouterr()
    return json.loads(printed.out), printed.err, code


@pytest.mark.usefixtures("terminal")
def test_json_prints_the_document_and_nothing_else_but_warnings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    document, err, code = as_json("everything", "--output", "json", capsys=capsys, monkeypatch=monkeypatch)
    assert document == {"command": "make", "ok": True, "error": None, "result": DOCUMENT}
    assert "no prices are known" in err
    assert (len(err.splitlines()), code) == (1, 0)


@pytest.mark.parametrize(
    ("arguments", "error", "code"),
    [
        (["an error", "--output", "json"], "there is no stack", 1),
        (["a question", "--output=json"], "add --yes: --output json asks nothing", 2),
        (["everything", "--nonsense", "--output", "json"], "no such option", 2),
        (["everything", "--output", "json", "too", "much"], "got unexpected extra arguments", 2),
    ],
)
def test_json_is_one_document_whatever_goes_wrong(
    arguments: list[str],
    error: str,
    code: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document, err, ended = as_json(*arguments, capsys=capsys, monkeypatch=monkeypatch)
    assert document | {"error": ""} == {"command": "make", "ok": False, "error": "", "result": None}
    assert error in document["error"]
    assert error in err
    assert ended == code


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("start", "StartPolicyARN names (`annex-bootstrap policy start` prints the same)"),
        ("leases end", "StartPolicyARN names (`annex-bootstrap policy start` prints the same)"),
        ("deploy", "`annex-bootstrap policy deployer` prints"),
        ("status", "`annex-bootstrap policy --help` says which that is"),
    ],
)
def test_a_denied_call_names_the_policy_of_the_command(
    command: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = Screen()
    screen.command, screen.json = command, True
    denied = advise("AccessDenied", "you may not, because no identity-based policy allows it")
    screen.fail(denied)
    screen.document(None, denied)
    said = capsys.readouterr()
    assert named in said.err
    assert named in json.loads(said.out)["error"]


@pytest.mark.parametrize(("typed", "answer"), [("", [7]), ("1 2", [1, 2]), ("one\n3", [3])])
def test_a_line_of_text_is_asked_for_until_it_can_be_read(
    typed: str, answer: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(text: str) -> list[int]:
        try:
            return [int(word) for word in text.split()]
        except ValueError as error:
            raise CommandLineError(f"{text!r} is not a number") from error

    monkeypatch.setattr("sys.stdin", io.StringIO(f"{typed}\n"))
    assert Screen().ask("Which?", "7", read, "--which") == answer
    said = capsys.readouterr().out
    assert said.startswith("Which? [7]: ")
    assert ("Error: 'one' is not a number" in said) is typed.startswith("one")


def test_a_line_of_text_without_a_terminal_names_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(UserError, match="no terminal to answer on: add --which or --yes"):
        Screen().ask("Which?", "", str, "--which")


@pytest.mark.parametrize(("typed", "default", "answer"), [("y", False, True), ("", True, True), ("", False, False)])
def test_a_question_is_asked_and_enter_gives_the_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str, default: bool, answer: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{typed}\n"))
    assert Screen().confirm("Go ahead?", default=default) is answer
    assert capsys.readouterr().out == f"Go ahead? [{'Y/n' if default else 'y/N'}]: "
