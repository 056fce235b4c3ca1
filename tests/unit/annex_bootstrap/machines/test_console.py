"""What a machine's console shows, and how it is read."""

from __future__ import annotations

from typing import Any

import pytest

from annex_bootstrap.machines.console import Console, console_command, read_console
from tests.unit.recorded import Recorded, RefusedError

SAID = "[ 9.1] annex-boot: one \x1b[1m\nkernel\n[ 9.2] annex-boot: giving up, the machine shuts down: no tarball\n"
ASKED = [{"InstanceId": "i-1", "Latest": True}, {"InstanceId": "i-1", "Latest": False}]
ODD = RefusedError("UnsupportedOperation")


def test_what_the_boot_script_said_is_read_without_what_a_terminal_would_obey() -> None:
    console = Console(SAID + f"annex-boot: {'x' * 400}")
    assert console.said == ["one [1m", "giving up, the machine shuts down: no tarball", "x" * 300]
    assert (console.gave_up, console.has_started) == ("no tarball", False)
    started = Console("annex-boot: done; HTCondor starts")
    assert (started.gave_up, started.has_started) == ("", True)


@pytest.mark.parametrize(
    ("answers", "running", "console", "calls"),
    [
        ([{"Output": SAID}], True, Console(SAID), ASKED[:1]),
        ([{}], True, Console(""), ASKED[:1]),
        # Not of the Nitro system.
        ([ODD, {"Output": SAID}], True, Console(SAID), ASKED),
        ([ODD, ODD], True, None, ASKED),
        ([{"Output": SAID}], False, Console(SAID), ASKED[1:]),
        ([ODD], False, None, ASKED[1:]),
        ([RefusedError("UnauthorizedOperation", status=403)], True, None, ASKED[:1]),
    ],
)
def test_a_running_machine_is_asked_for_its_latest_output_first(
    answers: list[Any], running: bool, console: Console | None, calls: list[dict[str, Any]]
) -> None:
    aws = Recorded(GetConsoleOutput=answers)
    assert read_console(aws.account(), "i-1", running=running) == console
    assert aws.of("GetConsoleOutput") == calls


def test_the_command_that_shows_a_console_can_be_pasted() -> None:
    assert console_command("eu-west-1", "i-1") == (
        "aws ec2 get-console-output --region eu-west-1 --latest --output text --instance-id i-1"
    )
