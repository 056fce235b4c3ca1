"""The client is killed at many moments of ``deploy``; the next ``deploy`` always succeeds."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from annex_bootstrap.pool import blocks
from tests.local_aws.cli_user import CliUser

pytestmark = pytest.mark.slow

# A deployment asks who it is, reads the stack, stages the template with four calls, creates and reads a change
# set, executes it, then alternately reads stack and events, and finally the outputs.
MOMENTS = [*(f"{number}-after" for number in range(16)), "12", "lock-after", "sync", "rename", "rename-after"]


def test_there_are_twenty_moments() -> None:
    assert len(set(MOMENTS)) >= 20


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_next_deployment_completes(deployer: CliUser, moment: str) -> None:
    command = deployer.command("deploy", "--yes", "--param", "CondorPort=9619")
    command[1:3] = ["-m", "tests.local_aws.commands.killed_client", moment]
    killed = subprocess.run(command, env=deployer.environ(), capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed
    assert command[0] == sys.executable

    deployer.must("deploy", "--yes", "--param", "CondorPort=9619")
    (status,) = deployer.must("status", "--output", "json").document["result"]["regions"]
    assert status["status"] in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
    assert status["parameters"]["CondorPort"] == "9619"
    section = blocks.section(deployer.stack_name, "us-east-1", status["outputs"])
    assert deployer.config.read_text() == blocks.render_block(blocks.Block((section,)))
    # The lock of a killed client is empty, and the next one that writes removes it.
    left = {path.name for path in deployer.config.parent.iterdir()}
    assert left <= {"user_config", ".annex-bootstrap", ".user_config.annex-bootstrap-lock"}
