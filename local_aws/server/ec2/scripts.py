"""Machines that run a script from their user data and then shut down, without running anything.

What becomes of them, and of the images made of them, the parameter ``MACHINES`` of Parameter Store says, a JSON object
of `Settings`; a test, or somebody outside who plays the machine, puts it there.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ministack.services import ec2, ssm

from local_aws.machines.running import CONSOLE_LIMIT
from local_aws.server import wire
from local_aws.server.ec2 import machines
from local_aws.server.wire import Params, RefusalError, Response
from local_aws.server_settings import CONSOLE, MACHINES

Instance = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What becomes of machines that run a script, and of images.

    Attributes:
        outcome: ``success`` or ``failure`` by what the script says at its end; ``silent`` where it shuts down and says
            nothing; ``never`` where it never ends; ``outside`` where somebody else plays the machine.
        seconds: that a script takes.
        log: what it prints before its last line.
        image: what becomes of an image: ``available`` or ``failed``.
        image_seconds: that an image is pending.
        deregistered_seconds: that a deregistered image is still listed as available, and its snapshot in use.
        pending_images_deregister: whether an image that is pending can be deregistered; nobody knows.
        bases: images that public parameters name in place of the usual ones, by the end of the parameter's name, such
            as ``amd64``; an empty text where a region has no such parameter.
        hidden_images: images that the account's "Allowed AMIs" leave out: as if they did not exist.
            https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-allowed-amis.html
        capacity: how many machines of a type a fleet gets; any number of the types that are not named.
        fleet_error: the code with which a fleet is refused more.
    """

    outcome: str = "success"
    seconds: float = 0.5
    log: str = "Unpacking condor (made up) ...\n"
    image: str = "available"
    image_seconds: float = 0.5
    deregistered_seconds: float = 0.0
    pending_images_deregister: bool = False
    bases: dict[str, str] | None = None
    hidden_images: list[str] = field(default_factory=list)
    capacity: dict[str, int] | None = None
    fleet_error: str = "InsufficientInstanceCapacity"


def settings() -> Settings:
    """Return what the parameter says now."""
    _, parameter = ssm._lookup_parameter(MACHINES)
    return Settings(**json.loads(parameter["Value"])) if parameter else Settings()


def install() -> None:
    """Extend MiniStack's EC2."""
    wire.install({"GetConsoleOutput": get_console_output})


def script_of(instance: Instance) -> str:
    """Return the script that a machine runs; nothing where its user data is none."""
    data = base64.b64decode(instance.get("UserData") or "")
    text = (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data).decode(errors="replace")
    return text if text.startswith("#!") and "shutdown" in text else ""


def advance() -> None:
    """Let every machine be where it is by now: shut down, if its script has ended; gone, if it cannot start."""
    current = settings()
    for instance in ec2._instances.values():
        if instance["State"]["Name"] == "pending" and "EndsFor" in instance:
            instance["State"] = {"Code": 48, "Name": "terminated"}
            instance |= {"StateReason": instance["EndsFor"], "_terminated_at": time.time()}
        if instance["State"]["Name"] != "running" or not _has_ended(instance, current):
            continue
        machines.has_shut_down(instance)


def get_console_output(params: Params) -> Response:
    """GetConsoleOutput: the newest of what the script has said by now."""
    request = wire.read("GetConsoleOutput", params)
    instance = ec2._instances.get(request["InstanceId"])
    if instance is None:
        raise RefusalError("InvalidInstanceID.NotFound", f"The instance ID '{request['InstanceId']}' does not exist")
    return wire.answer(
        "GetConsoleOutput",
        InstanceId=request["InstanceId"],
        Timestamp=datetime.now(UTC),
        Output=base64.b64encode(_console(instance, settings())[-CONSOLE_LIMIT:]).decode(),
    )


def _has_ended(instance: Instance, current: Settings) -> bool:
    return (
        current.outcome not in ("never", "outside")
        and not machines.runs(instance)
        and "Started" in instance
        and bool(script_of(instance))
        and time.monotonic() >= instance["Started"] + current.seconds
    )


def _console(instance: Instance, current: Settings) -> bytes:
    real = machines.console(instance["InstanceId"])
    return _made_up_console(instance, current).encode() if real is None else real


def _made_up_console(instance: Instance, current: Settings) -> str:
    _, played = ssm._lookup_parameter(CONSOLE + instance["InstanceId"])
    if played:
        return str(played["Value"])
    text = "[    0.000000] Linux version 6.12 (made up)\n" + current.log
    if not _has_ended(instance, current) and instance["State"]["Name"] == "running":
        return text
    # The script says by its variables how it reports.
    said = dict(re.findall(r"^(MARKER|BUILD_ID)='?([A-Za-z0-9-]+)", script_of(instance), re.MULTILINE))
    head = " ".join(said.values())
    ends = {
        "success": f"{head} ok condor=23.9.6+dfsg-2.1 awscli=2.23.6-1\r\n",
        "failure": f"{head} log E: Unable to locate package x\r\n{head} failed installing ImagePackages\r\n",
    }
    return text + ends.get(current.outcome, "")
