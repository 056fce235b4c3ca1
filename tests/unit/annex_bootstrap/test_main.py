"""The command line before it does anything: help, versions, completion, exit codes, errors."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from annex_bootstrap.commands import completion
from annex_bootstrap.main import GROUPS, commands
from annex_bootstrap.pool import blocks
from annex_contract import __version__
from annex_contract.stack import Output

HEAVY = ("boto3", "botocore", "rich", "ministack")


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "annex_bootstrap", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
    )


def loading(arguments: list[str], **environ: str) -> tuple[str, set[str]]:
    """Return what a command prints, and the modules that it loads."""
    code = (
        f"import sys; sys.argv = {['annex-bootstrap', *arguments]!r}\n"
        "from annex_bootstrap.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "sys.stderr.write(' '.join(sys.modules))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=os.environ | environ, capture_output=True, text=True, check=True)
    return done.stdout, set(done.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--help"], (*HEAVY, "hashlib", "json")),
        (["--version"], (*HEAVY, "hashlib", "json")),
        (["deploy", "--help"], HEAVY),
        (["completion", "bash"], HEAVY),
    ],
)
def test_help_loads_neither_the_sdk_nor_what_draws_tables(arguments: list[str], heavy: tuple[str, ...]) -> None:
    printed, loaded = loading(arguments)
    assert printed
    assert loaded.isdisjoint(heavy)


def test_the_version_is_printed() -> None:
    assert run("--version").stdout == f"annex-bootstrap, version {__version__}\n"


def test_ctrl_c_at_the_very_end_prints_nothing() -> None:
    code = (
        "import atexit, os, signal, sys; sys.argv = ['annex-bootstrap', '--version']\n"
        "atexit.register(os.kill, os.getpid(), signal.SIGINT)\n"
        "from annex_bootstrap.main import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stderr, done.returncode) == ("", -signal.SIGINT)


NAMES = commands.list_commands(click.Context(commands))


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_a_line_that_fits_and_a_help(name: str) -> None:
    command = commands.get_command(click.Context(commands), name)
    assert command is not None
    assert command.name == name
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
    ("shell", "written"),
    [("bash", ".bashrc"), ("zsh", ".zshrc"), ("fish", ".config/fish/completions/annex-bootstrap.fish")],
)
def test_the_line_for_a_shell_installs_completion_in_an_empty_home(shell: str, written: str, tmp_path: Path) -> None:
    (line,) = re.findall(rf"^{shell}:(.*(?:\n +.*)?)$", completion.HELP, re.MULTILINE)
    done = in_bash(line, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"_ANNEX_BOOTSTRAP_COMPLETE={shell}_complete" in (tmp_path / written).read_text()


def test_a_new_bash_completes_after_the_line_for_it(tmp_path: Path) -> None:
    in_bash("annex-bootstrap completion bash >> ~/.bashrc", tmp_path)
    typed = "COMP_WORDS=(annex-bootstrap deploy --region us-e); COMP_CWORD=3"
    done = in_bash(
        f'. ~/.bashrc; {typed}; _annex_bootstrap_completion annex-bootstrap; echo "${{COMPREPLY[@]}}"', tmp_path
    )
    assert done.stdout == "us-east-1 us-east-2\n"
    assert done.stderr == ""


def in_bash(line: str, home: Path) -> subprocess.CompletedProcess[str]:
    environ = {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(["bash", "--norc", "-c", line], env=environ, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("annex-bootstrap pu", ["publish", "pull-config"]),
        ("annex-bootstrap --ver", ["--version"]),
        ("annex-bootstrap deploy --region us-e", ["us-east-1", "us-east-2"]),
    ],
)
def test_commands_options_and_regions_are_completed(words: str, expected: list[str]) -> None:
    environ = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), "_ANNEX_BOOTSTRAP_COMPLETE": "bash_complete"}
    assert run(**environ).stdout.splitlines() == [f"plain,{word}" for word in expected]


def test_a_shell_that_describes_commands_gets_their_lines_and_loads_none() -> None:
    environ = {"COMP_WORDS": "annex-bootstrap pull", "COMP_CWORD": "1", "_ANNEX_BOOTSTRAP_COMPLETE": "zsh_complete"}
    printed, loaded = loading([], **environ)
    assert printed == "plain\npull-config\nWrite the stack's outputs into the pool's configuration.\n"
    assert not [name for name in loaded if name.startswith("annex_bootstrap.commands.")]


def test_stacks_are_completed_from_the_configuration(tmp_path: Path) -> None:
    words = "annex-bootstrap status --stack-name our"
    environ = {"COMP_WORDS": words, "COMP_CWORD": "3", "_ANNEX_BOOTSTRAP_COMPLETE": "bash_complete"}
    home = {"HOME": str(tmp_path), "PATH": str(tmp_path)}
    assert run(**environ, **home).stdout.strip() == ""
    config = tmp_path / ".condor" / "user_config"
    config.parent.mkdir()
    config.write_text(blocks.render("our-stack", "us-east-1", dict.fromkeys(Output, "made-up")))
    assert run(**environ, **home).stdout == "plain,our-stack\n"


@pytest.mark.parametrize("verb", ["end", "extend"])
def test_without_aws_no_annex_is_completed_and_nothing_is_said(verb: str, tmp_path: Path) -> None:
    words = f"annex-bootstrap leases {verb} fir"
    environ = {"COMP_WORDS": words, "COMP_CWORD": "3", "_ANNEX_BOOTSTRAP_COMPLETE": "bash_complete"}
    home = {"HOME": str(tmp_path), "PATH": str(tmp_path), "AWS_CONFIG_FILE": os.devnull, "AWS_PROFILE": "nobody"}
    config = tmp_path / ".condor" / "user_config"
    config.parent.mkdir()
    config.write_text(blocks.render("our-stack", "us-east-1", dict.fromkeys(Output, "made-up")))
    done = run(**environ, **home)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


def test_every_command_is_in_one_group_of_the_help() -> None:
    shown = CliRunner().invoke(commands, ["--help"], terminal_width=80).output
    assert [f"{heading}:" in shown for heading in GROUPS] == [True] * len(GROUPS)
    assert [name for name in NAMES if len(re.findall(f"^  {name} ", shown, re.MULTILINE)) != 1] == []
    assert max(len(line) for line in shown.splitlines()) <= 80
    directory = Path(completion.__file__).parent
    modules = {path.stem for path in directory.glob("*.py") if "\ncommand = " in path.read_text()}
    assert {name.replace("-", "_") for name in NAMES} == modules


def test_without_a_command_it_says_to_deploy_first_then_why_annexes_are_not_known(
    tmp_path: Path,
) -> None:
    clean = {"HOME": str(tmp_path), "AWS_CONFIG_FILE": os.devnull, "AWS_PROFILE": "nobody", "PATH": str(tmp_path)}
    first = run(**clean)
    assert first.returncode == 0
    assert "No stack is named" in first.stdout
    assert "\n  annex-bootstrap setup  # " in first.stdout

    config = tmp_path / ".condor" / "user_config"
    config.parent.mkdir()
    block = blocks.render("annex-bootstrap", "us-east-1", dict.fromkeys(Output, "made-up"))
    config.write_text(block)
    second = run(**clean)
    assert "is not known: The config profile (nobody) could not be found" in second.stdout
    assert "\n  annex-bootstrap doctor --region us-east-1  # " in second.stdout
    assert max(len(shown.stdout.splitlines()) for shown in (first, second)) <= 10


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
    ("config", "code", "why"),
    [
        ("/dev/null/user_config", 1, "/dev/null"),
        (str(Path.cwd()), 2, f"is a directory: give --config a file in it, such as {Path.cwd()}/user_config"),
    ],
)
def test_a_configuration_that_cannot_be_written_is_refused_before_any_call_to_aws(
    command: str, config: str, code: int, why: str
) -> None:
    done = run(*command.split(), "--config", config, AWS_PROFILE="nobody")
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1)
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
    assert subprocess.run(command, env=environ, stdout=theirs, stderr=theirs).returncode == 2
    os.close(theirs)
    said = os.read(ours, 65536)
    os.close(ours)
    assert b"there is no parameter Colour" in said
    assert (b"\x1b[" in said) is coloured


def test_a_pipe_gets_no_colours() -> None:
    assert "\x1b" not in run("deploy", "--param", "Colour=red", TERM="xterm").stderr


PRINTS = ["completion", "bash"]
"""A command that needs no AWS and prints on standard output only."""


@pytest.mark.parametrize(
    "arguments",
    [
        PRINTS,
        ["deploy", "--help"],
        ["--help"],
        ["leases", "list", "--output", "json", "--region", "mars-north-1"],
    ],
)
def test_a_full_disk_is_one_sentence(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "annex_bootstrap", *arguments], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert done.stderr == "annex-bootstrap: standard output cannot be written: No space left on device\n"


def test_a_closed_standard_output_prints_no_traceback() -> None:
    command = shlex.join([sys.executable, "-m", "annex_bootstrap", *PRINTS])
    done = subprocess.run(["sh", "-c", f"{command} >&-"], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")


NO_BUCKET = (
    "cannot name a bucket: type 3 to 63 lower-case letters, digits, hyphens and dots, with a letter or a digit at both "
    "ends"
)
LEASES, IMAGE = "annex-bootstrap leases", "annex-bootstrap image"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("strat", "no such command 'strat'. (Did you mean one of: 'start', 'status'?) Try annex-bootstrap --help."),
        ("dokter", "no such command 'dokter'. Did you mean 'doctor'? Try annex-bootstrap --help."),
        ("frobnicate", "no such command 'frobnicate'. Try annex-bootstrap --help."),
        ("leases list", f"no such command 'list'. {LEASES} takes end, extend, or nothing. Try {LEASES} --help."),
        ("leases edn", "no such command 'edn'. Did you mean 'end'? Try annex-bootstrap leases --help."),
        ("deploy --nonsense", "no such option '--nonsense'. Try annex-bootstrap deploy --help."),
        ("deploy --regio x", "no such option '--regio'. Did you mean '--region'? Try annex-bootstrap deploy --help."),
        ("deploy more", "got unexpected extra argument (more). Try annex-bootstrap deploy --help."),
        ("start", "missing argument 'NAME'. Try annex-bootstrap start --help."),
        ("image", f"missing command. {IMAGE} takes rebuild, status. Try {IMAGE} --help."),
        ("image list", f"no such command 'list'. {IMAGE} takes rebuild, status. Try {IMAGE} --help."),
        ("image stat", "no such command 'stat'. Did you mean 'status'? Try annex-bootstrap image --help."),
        (
            "publish --bucket My_Bucket",
            f"invalid value for '--bucket': 'My_Bucket' {NO_BUCKET}. Try annex-bootstrap publish --help.",
        ),
        (
            "deploy --param CondorCidr=192.0.2.0/24",
            "there is no parameter CondorCidr: did you mean CondorCidrs or CondorPort?",
        ),
        ("start a --count 1 --duration 5", "'5' is not a duration: give one such as 2h, 90m or 1d12h"),
        ("start a --count 1 --tag cost", "'cost' is not a tag: give KEY=VALUE, such as cost-center=42"),
    ],
)
def test_a_wrong_command_line_is_one_sentence_that_names_what_comes_close(command: str, said: str) -> None:
    done = run(*command.split())
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"annex-bootstrap: {said}\n")


def test_what_failed_stands_after_what_was_printed_before_it_where_both_go_into_one_file() -> None:
    lines = ("import sys", "from annex_bootstrap.console.screen import Screen")
    code = "\n".join([*lines, "sys.stdout.write('before\\n')", "Screen().fail('it')"])
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.stdout == "before\nannex-bootstrap: it\n"
