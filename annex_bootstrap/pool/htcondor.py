"""The HTCondor on this machine: its version, its configuration, and what its configuration would be."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from annex_bootstrap.errors import UserError

SECONDS = 30
"""After this time a command of HTCondor counts as failed."""

Version = tuple[int, int, int]

FIRST_HTCONDOR_ANNEX = (24, 11, 2)
"""The first HTCondor in which ``htcondor annex`` starts annexes. Source: its version history."""

_VERSION = re.compile(r"\$CondorVersion: (\d+)\.(\d+)\.(\d+)")
_PLACE = re.compile(r"^ # at: (.*)$", re.MULTILINE)
_DEFAULT = "<Default>"
_KNOB = re.compile(r"([A-Za-z_$][\w.$:-]*) (?:=|@=\S+) ?(.*)")

_LOCAL = ("LOCAL_CONFIG_DIR", "LOCAL_CONFIG_FILE")

VOLATILE = frozenset({"CONFIG_ROOT", "LOCAL_CONFIG_DIR", "LOCAL_CONFIG_FILE", "PID", "PPID"})
"""Knobs that differ between two processes, or between HTCondor's configuration and our copy of it."""


def run(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None, seconds: int = SECONDS
) -> subprocess.CompletedProcess[str]:
    """Run one of HTCondor's commands.

    Args:
        arguments: the command's name and its arguments.
        environment: variables besides those of this process.
        seconds: how long it may take.

    Returns:
        What it did; exit code 127 where there is no such command or it does not end.
    """
    tool = shutil.which(arguments[0])
    failed = subprocess.CompletedProcess(arguments, 127, "", "")
    if tool is None:
        return failed
    try:
        return subprocess.run(
            [tool, *arguments[1:]],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            # As Python has names of files, which a configuration may hold in any encoding.
            errors="surrogateescape",
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return failed


def version() -> Version | None:
    """Return the version of HTCondor, such as (25, 14, 1); None where there is no HTCondor."""
    found = _VERSION.search(run(["condor_version"]).stdout)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def starts_with_htcondor(version: Version) -> bool:
    """Return whether people start annexes with ``htcondor annex create``, and no longer with ``condor_annex``."""
    return version >= FIRST_HTCONDOR_ANNEX


@dataclass(frozen=True)
class Value:
    """What HTCondor reads for a knob.

    Attributes:
        text: the value with its macros expanded; empty where there is none.
        place: the file and line that set it; empty where nothing but HTCondor's own default does.
    """

    text: str
    place: str


@dataclass(frozen=True)
class Daemon:
    """A program that reads the configuration; knobs may have other values for it than for others.

    Attributes:
        subsystem: such as ``COLLECTOR``.
        local_name: of a second daemon of one kind; empty for the first.
    """

    subsystem: str
    local_name: str = ""

    def __str__(self) -> str:
        """Return its name in DAEMON_LIST."""
        return self.local_name or self.subsystem

    @property
    def arguments(self) -> list[str]:
        """The arguments with which condor_config_val reads the configuration as this daemon does."""
        return ["-subsystem", self.subsystem, *(["-local-name", self.local_name] if self.local_name else [])]


TOOL = Daemon("TOOL")
COLLECTOR = Daemon("COLLECTOR")
AP_COLLECTOR = Daemon("COLLECTOR", "AP_COLLECTOR")
MASTER = Daemon("MASTER")
SCHEDD = Daemon("SCHEDD")

DAEMONS = (
    *(MASTER, COLLECTOR, AP_COLLECTOR, SCHEDD, TOOL),
    *(Daemon(name) for name in ("NEGOTIATOR", "SHADOW", "SHARED_PORT", "STARTD", "STARTER")),
)
"""All that read the configuration of a pool."""


@dataclass(frozen=True)
class Configuration:
    """A configuration as HTCondor reads it.

    Attributes:
        root: its first file; None for the one that is in force.
        mirror: a directory that stands for another one, and that other one.
    """

    root: Path | None = None
    mirror: tuple[str, str] = ("", "")

    def ask(self, knob: str) -> str:
        """Return the value of a knob; nothing where there is no HTCondor or no value."""
        answer = self._ask(knob)
        return answer.stdout.strip() if answer.returncode == 0 else ""

    def look_up(self, knob: str, daemon: Daemon = TOOL) -> Value:
        """Return the value of a knob as a daemon reads it, and which file set it."""
        answer = self._ask(*daemon.arguments, knob)
        place = _PLACE.search(self._ask(*daemon.arguments, "-verbose", knob).stdout)
        return Value(
            answer.stdout.strip() if answer.returncode == 0 else "",
            place[1].replace(*self.mirror) if place and place[1] != _DEFAULT else "",
        )

    def parts(self, knob: str) -> list[str]:
        """Return the parts of a value that is a list, separated by commas or spaces."""
        return self.ask(knob).replace(",", " ").split()

    def values(self, daemon: Daemon, *, raw: bool = False) -> dict[str, str]:
        """Return every knob as a daemon reads it.

        Args:
            daemon: which.
            raw: whether macros are not expanded.

        Raises:
            UserError: HTCondor cannot read the configuration.
        """
        answer = self._ask(*daemon.arguments, "-dump", *([] if raw else ["-expand"]))
        if answer.returncode:
            said = (answer.stderr or answer.stdout).strip().replace(*self.mirror) or "condor_config_val failed"
            raise UserError(f"HTCondor cannot read this configuration: {' '.join(said.split())}")
        return parse_dump(answer.stdout)

    @property
    def files(self) -> list[str]:
        """The configuration files that HTCondor reads, in order."""
        return [line.strip() for line in self._ask("-config").stdout.splitlines() if line.strip().startswith("/")]

    def _ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run(["condor_config_val", *arguments], {"CONDOR_CONFIG": str(self.root)} if self.root else None)


IN_FORCE = Configuration()
"""The configuration that is in force."""


def parse_dump(text: str) -> dict[str, str]:
    """Return the knobs of what ``condor_config_val -dump`` prints: their names in capitals, and their values."""
    knobs: dict[str, str] = {}
    last = ""
    for line in text.splitlines():
        found = _KNOB.fullmatch(line)
        if found:
            last = found[1].upper()
            knobs[last] = found[2].strip()
        elif last and not line.startswith("#"):
            knobs[last] += f"\n{line}"
    return knobs


@contextmanager
def with_content(
    path: Path, content: bytes | None, *, ignored: str = "", only_user: bool = False
) -> Iterator[Configuration]:
    """Build the configuration that HTCondor would read if one of its files had another content.

    Args:
        path: the file; one that HTCondor does not read yet counts as its last file.
        content: its new content; None to leave it out.
        ignored: the end of the names of files beside it to leave out too; empty for none.
        only_user: whether it stands for the user's own configuration, which tools read last.

    Yields:
        The configuration, while the context lasts.
    """
    directories, files = ([Path(part) for part in IN_FORCE.parts(knob)] for knob in _LOCAL)
    first = Path(next(iter(IN_FORCE.files), "/etc/condor/condor_config"))
    with tempfile.TemporaryDirectory() as temporary:
        # Beside links to its neighbours, so that HTCondor reads it at its turn.
        mirror = Path(temporary, "mirror")
        mirror.mkdir()
        changed = mirror / path.name
        # What a file includes may be named relative to the first one.
        lines = [f"CONFIG_ROOT = {first.parent}", f"include : {changed if path == first else first}"]
        if only_user:
            lines.append("USER_CONFIG_FILE =")
        if path.parent in directories:
            for neighbour in path.parent.iterdir():
                if not (ignored and neighbour.name.endswith(ignored)):
                    (mirror / neighbour.name).symlink_to(neighbour)
            directories[directories.index(path.parent)] = mirror
            lines.append(f"LOCAL_CONFIG_DIR = {','.join(map(str, directories))}")
        elif path != first:
            # The value of LOCAL_CONFIG_FILE may be a program's command line, which has no place for another file.
            places = [changed if file == path else file for file in files]
            if changed not in places:
                places.append(changed)
            lines.append(f"LOCAL_CONFIG_FILE = {','.join(map(str, places))}")
        changed.unlink(missing_ok=True)
        if content is not None:
            changed.write_bytes(content)
        root = Path(temporary, "root")
        root.write_text("".join(f"{line}\n" for line in lines))
        yield Configuration(root, (str(mirror), str(path.parent)))
