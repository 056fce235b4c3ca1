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

SECONDS = 30
"""After this time a command of HTCondor counts as failed."""

Version = tuple[int, int, int]

FIRST_HTCONDOR_ANNEX = (24, 11, 2)
"""The first HTCondor in which ``htcondor annex`` starts annexes. Source: its version history."""

_VERSION = re.compile(r"\$CondorVersion: (\d+)\.(\d+)\.(\d+)")
_PLACE = re.compile(r"^ # at: (.*)$", re.MULTILINE)
_DEFAULT = "<Default>"
_LOCAL = ("LOCAL_CONFIG_DIR", "LOCAL_CONFIG_FILE")


def run(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run one of HTCondor's commands.

    Args:
        arguments: the command's name and its arguments.
        environment: variables besides those of this process.

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
            text=True,
            timeout=SECONDS,
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

    def look_up(self, knob: str) -> Value:
        """Return the value of a knob, and which file set it."""
        place = _PLACE.search(self._ask("-verbose", knob).stdout)
        return Value(self.ask(knob), place[1].replace(*self.mirror) if place and place[1] != _DEFAULT else "")

    def parts(self, knob: str) -> list[str]:
        """Return the parts of a value that is a list, separated by commas or spaces."""
        return self.ask(knob).replace(",", " ").split()

    @property
    def files(self) -> list[str]:
        """The configuration files that HTCondor reads, in order."""
        return [line.strip() for line in self._ask("-config").stdout.splitlines() if line.strip().startswith("/")]

    def _ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run(["condor_config_val", *arguments], {"CONDOR_CONFIG": str(self.root)} if self.root else None)


IN_FORCE = Configuration()
"""The configuration that is in force."""


@contextmanager
def with_content(path: Path, content: bytes) -> Iterator[Configuration]:
    """Build the configuration that HTCondor would read if one of its files had another content.

    Args:
        path: the file; one that HTCondor does not read yet counts as its last file.
        content: its new content.

    Yields:
        The configuration, while the context lasts.
    """
    directories, files = ([Path(part) for part in IN_FORCE.parts(knob)] for knob in _LOCAL)
    with tempfile.TemporaryDirectory() as temporary:
        # Beside links to its neighbours, so that HTCondor reads it at its turn.
        mirror = Path(temporary, "mirror")
        mirror.mkdir()
        if path.parent in directories:
            for neighbour in path.parent.iterdir():
                (mirror / neighbour.name).symlink_to(neighbour)
            directories[directories.index(path.parent)] = mirror
        elif path in files:
            files[files.index(path)] = mirror / path.name
        else:
            files.append(mirror / path.name)
        changed = mirror / path.name
        changed.unlink(missing_ok=True)
        changed.write_bytes(content)
        root = Path(temporary, "root")
        lists = zip(_LOCAL, (directories, files), strict=True)
        lines = [f"{knob} = {','.join(str(part) for part in parts)}\n" for knob, parts in lists]
        first = IN_FORCE.files[:1]
        root.write_text("".join([*(f"include : {name}\n" for name in first), *lines]))
        yield Configuration(root, (str(mirror), str(path.parent)))
