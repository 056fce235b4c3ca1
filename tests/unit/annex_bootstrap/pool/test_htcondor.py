"""The HTCondor on this machine: which commands run, with what, and how what they print is read."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from annex_bootstrap.errors import UserError
from annex_bootstrap.pool import htcondor
from annex_bootstrap.pool.htcondor import AP_COLLECTOR, IN_FORCE, TOOL, Configuration, Daemon, Value

Answer = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A command of HTCondor's, which the test writes."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    path = tmp_path / "condor_tool"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_command_gets_its_arguments_and_its_environment(tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool.write_text('#!/bin/sh\nread line || echo "$1 $A $KEPT nothing to read"\nprintf "\\377" >&2\nexit 3\n')
    monkeypatch.setenv("KEPT", "kept")
    ended = htcondor.run(["condor_tool", "one"], {"A": "a"})
    assert (ended.returncode, ended.stdout) == (3, "one a kept nothing to read\n")
    # As Python has names of files, which a configuration may hold in any encoding.
    assert ended.stderr == "\udcff"


def test_a_command_that_is_not_there_or_does_not_end_or_cannot_run_failed(tool: Path) -> None:
    missing = htcondor.run(["condor_missing", "one"])
    assert (missing.args, missing.returncode, missing.stdout, missing.stderr) == (
        ["condor_missing", "one"],
        127,
        "",
        "",
    )
    tool.write_text("#!/nowhere/interpreter\n")
    broken = htcondor.run(["condor_tool"])
    assert (broken.args, broken.returncode, broken.stdout, broken.stderr) == (["condor_tool"], 127, "", "")


def test_a_command_has_half_a_minute_or_what_is_given(tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []

    def run(arguments: Sequence[str], timeout: float, **_: object) -> subprocess.CompletedProcess[str]:
        assert arguments == [str(tool)]
        given.append(timeout)
        raise subprocess.TimeoutExpired(arguments, timeout)

    monkeypatch.setattr(subprocess, "run", run)
    assert htcondor.run(["condor_tool"]).returncode == 127
    assert htcondor.run(["condor_tool"], seconds=120).returncode == 127
    assert given == [30, 120]


class Commands:
    """Answers for HTCondor's commands.

    Attributes:
        answers: what they print, by command line.
        asked: command lines with their environment.
        failing: exit code and standard error of command lines that fail.
    """

    def __init__(self) -> None:
        """Know no command."""
        self.answers: dict[str, str] = {}
        self.asked: list[tuple[str, Mapping[str, str] | None]] = []
        self.failing: dict[str, str] = {}

    def run(
        self, arguments: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Answer a command line."""
        line = " ".join(arguments)
        self.asked.append((line, environment))
        failed = line in self.failing
        return subprocess.CompletedProcess(
            arguments, int(failed), self.answers.get(line, ""), self.failing.get(line, "")
        )


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    """HTCondor's commands, which print what the test says."""
    made = Commands()
    monkeypatch.setattr(htcondor, "run", made.run)
    return made


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("$CondorVersion: 25.14.1 2026-09-01 BuildID: 1 $\n$CondorPlatform: X86_64-Debian_13 $\n", (25, 14, 1)),
        ("", None),
    ],
)
def test_the_version_is_the_one_that_htcondor_prints(
    commands: Commands, printed: str, version: tuple[int, int, int] | None
) -> None:
    commands.answers["condor_version"] = printed
    assert htcondor.version() == version
    assert commands.asked == [("condor_version", None)]


def test_people_start_annexes_with_htcondor_since_24_11_2() -> None:
    assert [htcondor.starts_with_htcondor(version) for version in ((24, 11, 1), (24, 11, 2), (25, 0, 0))] == [
        *(False, True, True)
    ]


ASK = "condor_config_val"


def test_a_knob_is_asked_for_in_the_configuration(commands: Commands) -> None:
    commands.answers[f"{ASK} A"] = " one, two three\n"
    assert IN_FORCE.ask("A") == "one, two three"
    assert IN_FORCE.parts("A") == ["one", "two", "three"]
    assert Configuration(Path("/mine")).ask("A") == "one, two three"
    assert commands.asked == [(f"{ASK} A", None)] * 2 + [(f"{ASK} A", {"CONDOR_CONFIG": "/mine"})]
    commands.failing[f"{ASK} A"] = "Not defined: A"
    assert (IN_FORCE.ask("A"), IN_FORCE.parts("A")) == ("", [])


VERBOSE = "A = one\n # at: /tmp/mirror/user_config, line 3\n # raw: A = one\n"


def test_a_knob_is_looked_up_with_the_file_that_set_it(commands: Commands) -> None:
    commands.answers |= {f"{ASK} A": "one\n", f"{ASK} -verbose A": VERBOSE}
    of_tool = "-subsystem TOOL"
    commands.answers |= {f"{ASK} {of_tool} A": " one\n", f"{ASK} {of_tool} -verbose A": VERBOSE}
    assert IN_FORCE.look_up("A") == Value("one", "/tmp/mirror/user_config, line 3")
    mirrored = Configuration(Path("/root"), ("/tmp/mirror", "/home/alice/.condor"))
    assert mirrored.look_up("A") == Value("one", "/home/alice/.condor/user_config, line 3")
    local = "-subsystem COLLECTOR -local-name AP_COLLECTOR"
    commands.answers |= {f"{ASK} {local} A": "two\n", f"{ASK} {local} -verbose A": "A = two\n # at: <Default>\n"}
    assert IN_FORCE.look_up("A", AP_COLLECTOR) == Value("two", "")
    commands.failing[f"{ASK} {of_tool} A"] = "Not defined: A"
    commands.answers[f"{ASK} {of_tool} -verbose A"] = "Not defined: A"
    assert IN_FORCE.look_up("A") == Value("", "")


def test_a_daemon_is_named_as_in_the_list_of_daemons() -> None:
    assert (str(TOOL), str(AP_COLLECTOR)) == ("TOOL", "AP_COLLECTOR")
    assert TOOL.arguments == ["-subsystem", "TOOL"]
    assert Daemon("STARTD", "two").arguments == ["-subsystem", "STARTD", "-local-name", "two"]
    assert [str(daemon) for daemon in htcondor.DAEMONS] == [
        *("MASTER", "COLLECTOR", "AP_COLLECTOR", "SCHEDD", "TOOL"),
        *("NEGOTIATOR", "SHADOW", "SHARED_PORT", "STARTD", "STARTER"),
    ]


DUMP = """# Configuration from machine: pool
# Parameters with names that match:
A = one
b.C = two
D @=end
line
# a comment
last
E =
"""


def test_all_knobs_are_read_as_they_are_dumped(commands: Commands) -> None:
    parsed = {"A": "one", "B.C": "two", "D": "end\nline\nlast", "E": ""}
    assert htcondor.parse_dump(DUMP.replace("D @=end\nline", "D = end\nline")) == parsed
    assert htcondor.parse_dump("no knob\n\n# none\n") == {}
    commands.answers[f"{ASK} -subsystem TOOL -dump -expand"] = "A = expanded\n"
    commands.answers[f"{ASK} -subsystem TOOL -dump"] = "A = $(B)\n"
    assert IN_FORCE.values(TOOL) == {"A": "expanded"}
    assert IN_FORCE.values(TOOL, raw=True) == {"A": "$(B)"}


@pytest.mark.parametrize(
    ("printed", "error", "said"),
    [
        ("", "Error in\n/mirror/user_config line 3", "Error in /mine/user_config line 3"),
        ("Cannot read /mirror/a", "", "Cannot read /mine/a"),
        ("", "", "condor_config_val failed"),
    ],
)
def test_a_configuration_that_htcondor_cannot_read_is_an_error(
    commands: Commands, printed: str, error: str, said: str
) -> None:
    line = f"{ASK} -subsystem TOOL -dump -expand"
    commands.answers[line], commands.failing[line] = printed, error
    with pytest.raises(UserError) as failed:
        Configuration(Path("/root"), ("/mirror", "/mine")).values(TOOL)
    assert str(failed.value) == f"HTCondor cannot read this configuration: {said}"


def test_the_files_are_those_that_htcondor_reads(commands: Commands) -> None:
    commands.answers[f"{ASK} -config"] = "Configuration source:\n\t/etc/condor/condor_config\nLocal:\n\t/etc/local\n"
    assert IN_FORCE.files == ["/etc/condor/condor_config", "/etc/local"]


def read(configuration: Configuration) -> list[str]:
    """Return the lines of a configuration's first file."""
    assert configuration.root is not None
    return configuration.root.read_text().splitlines()


def in_force(commands: Commands, directories: str = "", files: str = "", first: str = "/etc/condor_config") -> None:
    """Say which files HTCondor reads."""
    commands.answers |= {
        f"{ASK} LOCAL_CONFIG_DIR": directories,
        f"{ASK} LOCAL_CONFIG_FILE": files,
        f"{ASK} -config": f"Configuration source:\n{first}\n" if first else "",
    }


def test_a_file_of_a_directory_is_read_at_its_turn(commands: Commands, tmp_path: Path) -> None:
    directory = tmp_path / "config.d"
    directory.mkdir()
    for name in ("10-mine", "20-other", "30-old.backup"):
        (directory / name).write_text(f"# {name}")
    in_force(commands, f"/first, {directory}")
    with htcondor.with_content(directory / "10-mine", b"A = 2\n", ignored=".backup") as made:
        mirror, real = made.mirror
        assert real == str(directory)
        assert {path.name: path.read_text() for path in Path(mirror).iterdir()} == {
            "10-mine": "A = 2\n",
            "20-other": "# 20-other",
        }
        assert (Path(mirror) / "20-other").is_symlink()
        assert read(made) == [
            "CONFIG_ROOT = /etc",
            "include : /etc/condor_config",
            f"LOCAL_CONFIG_DIR = /first,{mirror}",
        ]
    assert not Path(mirror).exists()
    assert (directory / "10-mine").read_text() == "# 10-mine"
    with htcondor.with_content(directory / "10-mine", None) as made:
        assert sorted(path.name for path in Path(made.mirror[0]).iterdir()) == ["20-other", "30-old.backup"]


def test_a_file_by_itself_is_read_in_its_place_or_last(commands: Commands) -> None:
    in_force(commands, files="/a /home/alice/user_config /b")
    with htcondor.with_content(Path("/home/alice/user_config"), b"A = 2\n", only_user=True) as made:
        changed = f"{made.mirror[0]}/user_config"
        assert Path(changed).read_bytes() == b"A = 2\n"
        assert made.mirror[1] == "/home/alice"
        assert read(made) == [
            "CONFIG_ROOT = /etc",
            "include : /etc/condor_config",
            "USER_CONFIG_FILE =",
            f"LOCAL_CONFIG_FILE = /a,{changed},/b",
        ]
    in_force(commands, files="/a")
    with htcondor.with_content(Path("/home/alice/user_config"), b"") as made:
        assert read(made)[2:] == [f"LOCAL_CONFIG_FILE = /a,{made.mirror[0]}/user_config"]


def test_the_first_file_stands_for_itself(commands: Commands) -> None:
    in_force(commands, first="/etc/condor/condor_config")
    with htcondor.with_content(Path("/etc/condor/condor_config"), b"A = 2\n") as made:
        assert read(made) == ["CONFIG_ROOT = /etc/condor", f"include : {made.mirror[0]}/condor_config"]
    in_force(commands, first="")
    with htcondor.with_content(Path("/home/alice/user_config"), None) as made:
        assert read(made)[:2] == ["CONFIG_ROOT = /etc/condor", "include : /etc/condor/condor_config"]
        assert not (Path(made.mirror[0]) / "user_config").exists()
