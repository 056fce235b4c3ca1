"""The examples of docs/cli.md: fenced blocks named ``console``, run in order against a local AWS of their own.

A shell runs each line that begins with ``$``, and the lines after it are what it must print; a line that ends with
``UNTIL`` is interrupted after the first of them. A word after ``console`` says who runs it: ``deployer`` (the default),
``operator`` or ``root``, with the policy that our commands print for them, or ``starter``, with the policy that the
stack has for it, and an HTCondor; all in one home directory. What differs from run to run (IDs, times, paths) is
replaced.

``python -m tests.local_aws.examples`` writes the real output into the document.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3

from annex_bootstrap.policies.deployer import deployer_policy
from annex_bootstrap.policies.operator import operator_policy
from annex_contract.stack import DEFAULT_STACK_NAME, Output
from local_aws.launcher import ACCOUNT, REGION, Credentials, LocalAws, local_aws
from tests.local_aws.commands import fake_htcondor

ROOT = Path(__file__).parent.parent.parent
DOCUMENT = ROOT / "docs" / "cli.md"

TOOLS = ("bash", "cat", "chmod", "cp", "cut", "grep", "head", "sed", "tail")
"""What the examples use besides our own command."""

BLOCK = re.compile(r"^```console *(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

CHANGING = (
    (r"\d\d:\d\d:\d\d(\+00:00)?", "12:34:56"),
    (r"\d{4}-\d\d-\d\d 12:34:56  ", "2026-11-22 12:34:56  "),
    (r"changed \d{4}-\d\d-\d\d", "changed 2026-11-22"),
    (r"[0-9a-f]{8}-[0-9a-f]{12}", "0a1b2c3d-0a1b2c3d4e5f"),
    (r"AKIA[0-9A-Z]{16}", "AKIA0A1B2C3D4E5F6A7B"),
    (r"until \d{4}-\d\d-\d\d \d\d:\d\d \w+", "until 2026-11-22 20:34 UTC"),
    (r"was called (once|\d+ times)", "was called once"),
    (r"\b(7h 5\d|8h 00)m", "7h 59m"),
    (r"so_far=0\.0\d", "so_far=0.00"),
    (rf"-(?!{ACCOUNT})[0-9A-F]{{12,13}}\b", "-0A1B2C3D4E5F6"),
    (r"\b(ami|i|lt|sg|subnet|vpc)-[0-9a-f]{17}", r"\1-0a1b2c3d4e5f6a7b8"),
)

QUEUE = [
    {
        "ClusterId": 12,
        "ProcId": proc,
        "JobStatus": 1,
        "JobUniverse": 5,
        "Owner": "you",
        "MayUseAWS": True,
        "RequestCpus": 1,
        "RequestMemory": 2048,
        "RequestDisk": 1000,
        "EnteredCurrentStatus": 1_700_000_000,
        "Requirements": "/Expr(TARGET.Memory >= RequestMemory)/",
    }
    for proc in range(40)
]
"""The jobs that wait, as condor_q prints them."""

STARTER = "starter"
UNTIL = "# ends with Ctrl-C"

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
    htcondor = home / "htcondor"
    htcondor.mkdir()
    fake_htcondor.install(htcondor)
    (htcondor / fake_htcondor.QUEUE).write_text(json.dumps(QUEUE))
    (htcondor / fake_htcondor.SLOTS).write_text("[]")
    # Nothing else, so that an HTCondor installed on this machine does not change the output.
    for tool in TOOLS:
        (program.parent / tool).symlink_to(str(shutil.which(tool)))
    session = boto3.Session(local.root.access_key_id, local.root.secret_access_key)
    ca_file = str(local.ca_file)
    iam = session.client("iam", endpoint_url=local.endpoint, verify=ca_file, region_name=REGION)
    cloudformation = session.client("cloudformation", endpoint_url=local.endpoint, verify=ca_file, region_name=REGION)
    people = {"root": local.root}
    for name, policy in (("deployer", deployer_policy), ("operator", operator_policy), (STARTER, None)):
        iam.create_user(UserName=name)
        if policy is not None:
            document = json.dumps(policy("aws", ACCOUNT, DEFAULT_STACK_NAME))
            iam.put_user_policy(UserName=name, PolicyName="policy", PolicyDocument=document)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        people[name] = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}

    @contextmanager
    def permitted(who: str) -> Iterator[None]:
        """Lend the stack's policy to a user who starts annexes: a stack whose policy somebody has cannot be deleted."""
        if who != STARTER:
            yield
            return
        (stack,) = cloudformation.describe_stacks(StackName=DEFAULT_STACK_NAME)["Stacks"]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        iam.attach_user_policy(UserName=who, PolicyArn=outputs[Output.START_POLICY_ARN])
        yield
        iam.detach_user_policy(UserName=who, PolicyArn=outputs[Output.START_POLICY_ARN])

    def shell(who: str, line: str) -> str:
        environ = {
            "HOME": str(home),
            "PATH": f"{htcondor}:{program.parent}" if who == STARTER else str(program.parent),
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "120",
        }
        aws = local.environ(people[who])
        # The region as the document says it; not the variable that boto3 reads by itself.
        del aws["AWS_DEFAULT_REGION"]
        with (
            permitted(who),
            subprocess.Popen(
                [str(program.parent / "bash"), "-c", line],
                env=clean | aws | environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=home,
                start_new_session=True,
            ) as running,
        ):
            assert running.stdout is not None
            first = ""
            if line.endswith(UNTIL):
                first = running.stdout.readline()
                os.killpg(running.pid, signal.SIGINT)
            rest, _ = running.communicate(timeout=300)
        printed = f"{first}{rest}".replace(str(home), "/home/you")
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
