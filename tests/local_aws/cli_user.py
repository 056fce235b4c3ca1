"""A user at a terminal: runs our commands as processes of their own, with keys, a home directory and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from local_aws.launcher import Credentials, LocalAws
from tests import json_documents
from tests.local_aws import forked

DEPLOY_WITHOUT_IMAGE = ("deploy", "--yes", "--param", "Image=no")
"""Deploys a stack that makes no image: few tests need one, and it takes longer than all the rest."""

PYTHON = (sys.executable, "-m", "annex_bootstrap")

TIMEOUT = 300
"""Seconds that a command may take."""


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """Its standard output, which is one JSON document."""
        return json.loads(self.stdout)


@dataclass(frozen=True)
class CliUser:
    """One principal of the local AWS with a home directory.

    Attributes:
        local: the local AWS.
        credentials: the user's keys.
        home: the home directory; it exists.
        stack_name: given to every command, unless it is empty.
        extra: further environment variables.
    """

    local: LocalAws
    credentials: Credentials
    home: Path
    stack_name: str = ""
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """The configuration file that the commands write by default."""
        return self.home / ".condor" / "user_config"

    def environ(self) -> dict[str, str]:
        """Return the environment of the user's processes; the path has no program of HTCondor, nor any other.

        It names the region as the help says, in ``AWS_REGION``, and not in the variable that boto3 reads by itself.
        """
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        aws = self.local.environ(self.credentials)
        del aws["AWS_DEFAULT_REGION"]
        own = {"HOME": str(self.home), "PATH": str(self.home), "COLUMNS": "120"}
        return clean | aws | own | self.extra

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of one of our commands."""
        options = ["--stack-name", self.stack_name] if self.stack_name else []
        return [*PYTHON, *arguments, *options]

    def run(self, *arguments: str, text: str = "") -> Result:
        """Run one of our commands to its end, however it ends, but never with a traceback.

        Args:
            arguments: after the program's name.
            text: what is typed.
        """
        command, environ = self.command(*arguments), self.environ()
        if forked.can_run():
            result = Result(*forked.run(command[1:], environ, text, TIMEOUT))
        else:
            done = subprocess.run(
                command, env=environ, input=text, capture_output=True, text=True, timeout=TIMEOUT, check=False
            )
            result = Result(done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in result.stderr, result.stderr
        if ("--output", "json") in pairwise(arguments):
            json_documents.parse(result.stdout, result.returncode)
        return result

    def must(self, *arguments: str) -> Result:
        """Run one of our commands, which must succeed."""
        result = self.run(*arguments)
        assert result.returncode == 0, result
        return result
