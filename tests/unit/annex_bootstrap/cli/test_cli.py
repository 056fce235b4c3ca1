"""The command line before it does anything: help, versions, completion, exit codes, errors."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from annex_bootstrap.cli import commands
from annex_contract import __version__

HEAVY = ("boto3", "botocore", "rich", "ministack")


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "annex_bootstrap", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["deploy", "--help"], ["completion", "bash"]])
def test_help_loads_neither_the_sdk_nor_what_draws_tables(arguments: list[str]) -> None:
    code = (
        f"import sys; sys.argv = {['annex-bootstrap', *arguments]!r}\n"
        "from annex_bootstrap.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"sys.stderr.write(' '.join(name for name in {HEAVY!r} if name in sys.modules))"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    sys.stdout.write(f"{arguments}: {(time.monotonic() - began) * 1000:.0f} ms\n")
    assert done.stderr == ""
    assert done.stdout


def test_the_version_is_told() -> None:
    assert run("--version").stdout == f"annex-bootstrap, version {__version__}\n"


@pytest.mark.parametrize("name", sorted(commands.commands))
def test_every_command_has_a_line_that_fits_and_a_help(name: str) -> None:
    command = commands.commands[name]
    assert not command.get_short_help_str(limit=62).endswith("...")
    shown = CliRunner().invoke(commands, [name, "--help"], terminal_width=80)
    assert shown.exit_code == 0
    assert "\b" not in shown.output
    assert "\\b" not in shown.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_every_shell(shell: str) -> None:
    printed = run("completion", shell)
    assert printed.returncode == 0
    assert f"_ANNEX_BOOTSTRAP_COMPLETE={shell}_complete" in printed.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [("annex-bootstrap pu", "pull-config"), ("annex-bootstrap deploy --region us-e", "us-east-1")],
)
def test_commands_and_regions_are_completed(words: str, expected: str) -> None:
    environ = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), "_ANNEX_BOOTSTRAP_COMPLETE": "bash_complete"}
    assert f"plain,{expected}" in run(**environ).stdout.splitlines()


def test_wrong_usage_exits_with_two_and_says_how() -> None:
    done = run("deploy", "--nonsense")
    assert done.returncode == 2
    assert "No such option" in done.stderr


@pytest.mark.parametrize("name", ["", "1st", "two words", "under_score", "a" * 129, "arn:aws:cloudformation:us-east-1"])
@pytest.mark.parametrize("command", ["deploy", "status", "delete"])
def test_a_name_that_no_stack_can_have_is_refused_before_any_call_to_aws(command: str, name: str) -> None:
    done = run(command, "--stack-name", name, AWS_PROFILE="nobody")
    assert done.returncode == 2
    assert "cannot name a stack: type a letter, then letters, digits and hyphens" in done.stderr


@pytest.mark.parametrize(
    "command",
    ["deploy", "pull-config", "credentials", "fleet-config --image ami-0a1b2c3d", "delete"],
)
@pytest.mark.parametrize(
    ("config", "why"),
    [("/dev/null/user_config", "/dev/null"), (str(Path.cwd()), "cannot be read: Is a directory")],
)
def test_a_configuration_that_cannot_be_written_is_refused_before_any_call_to_aws(
    command: str, config: str, why: str
) -> None:
    done = run(*command.split(), "--config", config, AWS_PROFILE="nobody")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert why in done.stderr
    assert "nobody" not in done.stderr


@pytest.mark.parametrize("output", ["text", "json"])
def test_an_error_is_one_sentence_and_in_json_a_document_too(output: str) -> None:
    clean = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_PROFILE": "nobody"}
    done = run("status", "--output", output, **clean)
    assert done.returncode == 1
    assert done.stderr.startswith("annex-bootstrap: The config profile (nobody) could not be found")
    assert len(done.stderr.splitlines()) == 1
    assert ('"error": "The config profile (nobody)' in done.stdout) == (output == "json")


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_a_terminal_gets_colours_unless_no_color_is_set(no_color: str, coloured: bool) -> None:
    ours, theirs = os.openpty()
    environ = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm"}
    command = [sys.executable, "-m", "annex_bootstrap", "deploy", "--param", "Colour=red"]
    assert subprocess.run(command, env=environ, stdout=theirs, stderr=theirs).returncode == 1
    os.close(theirs)
    said = os.read(ours, 65536)
    os.close(ours)
    assert b"there is no parameter Colour" in said
    assert (b"\x1b[" in said) is coloured


def test_a_pipe_gets_no_colours() -> None:
    assert "\x1b" not in run("deploy", "--param", "Colour=red", TERM="xterm").stderr
