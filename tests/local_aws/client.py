"""Running our client as a person would: as a process of its own, with keys, a home and a region."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_aws.launcher import Credentials, LocalAws


@dataclass(frozen=True)
class Ran:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Its standard output, which must be one JSON document."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Client:
    """A person at a terminal.

    Attributes:
        local: the local AWS.
        credentials: of the person.
        home: its home directory.
        stack_name: given to every command.
        extra: further environment variables.
    """

    local: LocalAws
    credentials: Credentials
    home: Path
    stack_name: str
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """The pool's configuration."""
        return self.home / ".condor" / "user_config"

    def environ(self) -> dict[str, str]:
        """The environment of the person's processes."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return clean | self.local.environ(self.credentials) | {"HOME": str(self.home)} | self.extra

    def run(self, *arguments: str, text: str = "") -> Ran:
        """Run a command of ours to its end.

        Args:
            arguments: after the program's name; ``--stack-name`` and ``--config`` are added.
            text: what is typed.
        """
        done = subprocess.run(self.command(*arguments), env=self.environ(), input=text, capture_output=True, text=True)
        assert "Traceback" not in done.stderr, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def must(self, *arguments: str) -> Ran:
        """Run a command that must succeed."""
        ran = self.run(*arguments)
        assert ran.code == 0, ran
        return ran

    def command(self, *arguments: str) -> list[str]:
        """The command line."""
        words = [sys.executable, "-m", "annex_bootstrap", *arguments, "--stack-name", self.stack_name]
        return words if arguments[0] == "policy" else [*words, "--config", str(self.config)]
