"""Somebody at a terminal: runs our commands with keys, a home directory and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from local_aws.launcher import Credentials, LocalAws

SECONDS = 120


@dataclass(frozen=True)
class Person:
    """One principal of the local AWS and a home directory.

    Attributes:
        local: the local AWS.
        credentials: the person's keys.
        home: where the configuration goes; may not exist yet.
    """

    local: LocalAws
    credentials: Credentials
    home: Path

    @property
    def config(self) -> Path:
        """The configuration file that the commands write where nothing else is said."""
        return self.home / ".condor" / "user_config"

    def run(self, *arguments: str, path: str | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run one of our commands to its end, whatever that is.

        Args:
            arguments: after ``annex-bootstrap``.
            path: where it looks for programs of HTCondor; nowhere by default.
            environ: more variables.
        """
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return subprocess.run(
            [sys.executable, "-m", "annex_bootstrap", *arguments],
            env=kept
            | self.local.environ(self.credentials)
            | {"HOME": str(self.home), "PATH": path or str(self.home), "COLUMNS": "120"}
            | environ,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def must(self, *arguments: str) -> str:
        """Run one of our commands, which must succeed, and return what it printed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
