"""A client that kills itself with SIGKILL just before or just after one of its calls.

Run as ``python -m tests.local_aws.commands.killed_client MOMENT ARGUMENTS...``: a moment is the number of an AWS call,
counted from 0, or the name of a step of writing files or of ``setup``; with ``-after`` it dies when that is done.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.httpsession import URLLib3Session

from annex_bootstrap.commands import credentials as commands_credentials
from annex_bootstrap.doctor import registry
from annex_bootstrap.main import main
from annex_bootstrap.policies.users import AnnexUser
from annex_bootstrap.stack import follow

STEPS: dict[str, tuple[Any, str]] = {
    "lock": (fcntl, "flock"),
    "sync": (os, "fsync"),
    "rename": (Path, "replace"),
    "keys": (AnnexUser, "set_up"),
    "knobs": (commands_credentials, "write_knobs"),
    "check": (registry, "examine"),
}


def die_at(owner: Any, name: str, number: int, after: bool) -> None:
    """Kill the process at call number ``number`` of a function."""
    function: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls - 1 == number and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **named)
        if calls - 1 == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, counted)


if __name__ == "__main__":
    moment, _, when = sys.argv.pop(1).partition("-")
    # Small, so that a stack that is created in seconds is still observed in progress.
    follow.POLL = 0.3
    if moment in STEPS:
        die_at(*STEPS[moment], 0, when == "after")
    else:
        die_at(URLLib3Session, "send", int(moment), when == "after")
    main()
