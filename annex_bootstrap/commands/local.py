"""``local``: a local AWS until Ctrl-C."""

from __future__ import annotations

import shlex
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import click

from annex_bootstrap.console.command import Command
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError

MODULES = {"local_aws", "ministack", "trustme"}
"""What the extra ``local`` installs."""


@contextmanager
def local_extra() -> Iterator[None]:
    """Guard the import of the local AWS, which only ``demo``, ``local`` and ``rehearse`` need.

    Raises:
        UserError: the extra is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in MODULES:
            raise
        raise UserError(
            "the local AWS is not installed: in the checkout, run pipx inject annex-bootstrap ./local_aws or "
            "pip install ./local_aws; without one, pip install 'annex-bootstrap[local]'; then try again"
        ) from error


def local(screen: Screen, schedule_speed: int, machines: bool) -> None:
    """Run a local AWS until Ctrl-C, and print the exports that point any AWS tool at it.

    Raises:
        UserError: the extra is not installed, or this computer cannot run machines.
    """
    with local_extra():
        from local_aws.launcher import local_aws
        from local_aws.machines.debian import UnavailableError
        from local_aws.machines.here import machines_here
    with ExitStack() as exits:
        try:
            settings = exits.enter_context(machines_here()) if machines else None
        except UnavailableError as error:
            raise UserError(str(error)) from error
        server = exits.enter_context(local_aws(schedule_speed, machines=settings))
        screen.say("# Paste these lines into another terminal. The keys are made up and end with this server.")
        for name, value in server.environ(server.root).items():
            screen.say(f"export {name}={shlex.quote(value)}", wrap=False)
        screen.say("# Running. Ctrl-C ends it and everything in it.")
        sys.stdout.flush()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            screen.say("\n# Ended.")


command = Command(
    "local",
    local,
    click.Option(
        ["--schedule-speed"],
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="How many times faster than real time EventBridge's rate schedules run.",
    ),
    click.Option(
        ["--machines"],
        is_flag=True,
        help="Run instances as virtual machines that boot, with QEMU; needs root on Debian or Ubuntu.",
    ),
    help="Run a local AWS until Ctrl-C, and print the exports that point any AWS tool at it.",
)
