"""A systemd unit that runs ``grow``: its text, and where it is. Source: systemd.service(5), systemd.unit(5)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from annex_bootstrap import PROGRAM
from annex_bootstrap.errors import UserError
from annex_bootstrap.local_user import expand_home

NAME = "annex-bootstrap-grow.service"

SYSTEM, USER = Path("/etc/systemd/system"), Path("~/.config/systemd/user")

PASSED = ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
"""The variables that the unit has from the person who installs it: where credentials are, never what they are."""

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def quoted(word: str) -> str:
    """Return a word as a command line of a unit has it."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


@dataclass(frozen=True)
class Unit:
    """A unit of this machine, or of one user.

    Attributes:
        arguments: the command line, the program first.
        environment: variables.
        is_root: whether it is the machine's.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]
    is_root: bool

    @classmethod
    def of_this_process(cls, left_out: Sequence[str]) -> Unit:
        """Return the unit that runs what this process was asked for.

        Args:
            left_out: words of its command line that the unit does not have.

        Raises:
            UserError: its credentials are in the environment, where a unit does not find them.
        """
        if any(os.environ.get(name) for name in KEYS):
            raise UserError(
                "the AWS keys are in this shell's environment, which a unit does not have, and keys belong in no unit: "
                "give --profile, or let the machine have a role, and unset AWS_ACCESS_KEY_ID"
            )
        program = shutil.which(PROGRAM)
        begin = [program] if program else [sys.executable, "-m", "annex_bootstrap"]
        words = [word for word in sys.argv[1:] if word not in left_out]
        known = {name: os.environ[name] for name in PASSED if os.environ.get(name)}
        return cls([*begin, *words], known, os.geteuid() == 0)

    @property
    def path(self) -> Path:
        """Its file."""
        return expand_home(SYSTEM if self.is_root else USER) / NAME

    def render(self) -> str:
        """Return its text."""
        lines = [
            "[Unit]",
            "Description=Machines on AWS for the jobs that wait",
            "Documentation=https://htcondor.readthedocs.io/",
            "Wants=network-online.target",
            "After=network-online.target condor.service",
            "",
            "[Service]",
            f"ExecStart={' '.join(map(quoted, self.arguments))}",
            *(f"Environment={quoted(f'{name}={value}')}" for name, value in self.environment.items()),
            "Restart=on-failure",
            "RestartSec=60",
            "NoNewPrivileges=yes",
            "",
            "[Install]",
            f"WantedBy={'multi-user.target' if self.is_root else 'default.target'}",
        ]
        return "".join(f"{line}\n" for line in lines)

    def install(self) -> None:
        """Write the file, and let systemd run it now and after every boot.

        Raises:
            UserError: it cannot be written, or systemd refuses it.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(self.render())
        except OSError as error:
            raise UserError(f"{self.path} cannot be written: {error.strerror or error}") from error
        self._systemctl("daemon-reload")
        self._systemctl("enable", "--now", NAME)

    def uninstall(self) -> bool:
        """Stop it and delete the file; return whether there was one.

        Raises:
            UserError: systemd refuses, or the file cannot be deleted.
        """
        if not self.path.exists():
            return False
        self._systemctl("disable", "--now", NAME)
        try:
            self.path.unlink()
        except OSError as error:
            raise UserError(f"{self.path} cannot be deleted: {error.strerror or error}") from error
        self._systemctl("daemon-reload")
        return True

    def _systemctl(self, *words: str) -> None:
        command = ["systemctl", *([] if self.is_root else ["--user"]), *words]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        except OSError as error:
            raise UserError(
                f"there is no systemd here ({error.strerror}): run annex-bootstrap grow by other means"
            ) from error
        if ended.returncode:
            raise UserError(f"{' '.join(command)} failed: {' '.join(ended.stderr.split())}")
