"""The examples of docs/cli.md: fenced blocks named ``console``, run in order against a local AWS of their own.

A shell runs each line that begins with ``$``, and the lines after it are what it must print. A word after ``console``
says who runs it: ``deployer`` (the default), ``operator`` or ``root``, with the policy that our commands print for
them, all in one home directory. What differs from run to run (IDs, times, paths) is replaced.

``python -m tests.local_aws.examples`` writes the real output into the document.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import boto3

from annex_bootstrap.policies.deployer import deployer_policy
from annex_bootstrap.policies.operator import operator_policy
from annex_contract.stack import DEFAULT_STACK_NAME
from local_aws.launcher import ACCOUNT, Credentials, LocalAws, local_aws

ROOT = Path(__file__).parent.parent.parent
DOCUMENT = ROOT / "docs" / "cli.md"

TOOLS = ("bash", "cat", "chmod", "cp", "cut", "grep", "head", "sed", "tail")
"""What the examples use besides our own command."""

BLOCK = re.compile(r"^```console *(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

CHANGING = (
    (r"\d\d:\d\d:\d\d(\+00:00)?", "12:34:56"),
    (r"changed \d{4}-\d\d-\d\d", "changed 2026-11-22"),
    (r"[0-9a-f]{8}-[0-9a-f]{12}", "0a1b2c3d-0a1b2c3d4e5f"),
    (r"AKIA[0-9A-Z]{16}", "AKIA0A1B2C3D4E5F6A7B"),
    (rf"-(?!{ACCOUNT})[0-9A-F]{{12,13}}\b", "-0A1B2C3D4E5F6"),
    (r"\b(ami|i|lt|sg|subnet|vpc)-[0-9a-f]{17}", r"\1-0a1b2c3d4e5f6a7b8"),
)

Shell = Callable[[str, str], str]
"""Runs a command line as one of the users, and returns what it printed."""


def fill(text: str, shell: Shell) -> str:
    """Return a document with the output of its examples replaced by what they print now."""

    def run(block: re.Match[str]) -> str:
        commands = [line for line in block[2].splitlines() if line.startswith("$ ")]
        printed = "".join(f"{line}\n{shell(block[1] or 'deployer', line[2:])}" for line in commands)
        return f"```console{' ' + block[1] if block[1] else ''}\n{printed}```"

    return BLOCK.sub(run, text)


def make_shell(local: LocalAws, home: Path) -> Shell:
    """Return a shell with our command in its path."""
    program = home / "bin" / "annex-bootstrap"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m annex_bootstrap "$@"\n')
    program.chmod(0o755)
    # Nothing else, so that an HTCondor installed on this machine does not change the output.
    for tool in TOOLS:
        (program.parent / tool).symlink_to(str(shutil.which(tool)))
    iam = boto3.Session(local.root.access_key_id, local.root.secret_access_key).client(
        "iam", endpoint_url=local.endpoint, verify=str(local.ca_file), region_name="us-east-1"
    )
    people = {"root": local.root}
    for name, policy in (("deployer", deployer_policy), ("operator", operator_policy)):
        iam.create_user(UserName=name)
        document = json.dumps(policy("aws", ACCOUNT, DEFAULT_STACK_NAME))
        iam.put_user_policy(UserName=name, PolicyName="policy", PolicyDocument=document)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        people[name] = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}

    def shell(who: str, line: str) -> str:
        environ = {
            "HOME": str(home),
            "PATH": str(program.parent),
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "120",
        }
        aws = local.environ(people[who])
        # The region as the document says it; not the variable that boto3 reads by itself.
        del aws["AWS_DEFAULT_REGION"]
        done = subprocess.run(
            [str(program.parent / "bash"), "-c", line],
            env=clean | aws | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=home,
            timeout=300,
        )
        printed = done.stdout.replace(str(home), "/home/you")
        for pattern, instead in CHANGING:
            printed = re.sub(pattern, instead, printed)
        return printed

    return shell


def run_examples() -> str:
    """Return the document with what its examples really print."""
    # At real speed, so that the hourly check does not run before the examples end, however slow the machine is.
    with local_aws() as local, tempfile.TemporaryDirectory() as home:
        return fill(DOCUMENT.read_text(), make_shell(local, Path(home)))


if __name__ == "__main__":
    DOCUMENT.write_text(run_examples())
