"""Why an operation on a stack failed: what failed first, with the lines of its function's log."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from annex_bootstrap.aws import Account, explained, physical_id
from annex_bootstrap.errors import AwsError
from annex_bootstrap.stack.read import Event
from annex_contract.stack import Part, function_of

LOG_LINES = 8
"""How many of the last lines of a function's log are shown."""

LINE_LENGTH = 400
"""Characters of a line that are shown."""

NOISE = (
    " ",
    "Traceback (most",
    "The above exception",
    "During handling",
    "START RequestId:",
    "END RequestId:",
    "REPORT RequestId:",
    "INIT_START ",
    "XRAY TraceId:",
)
"""How the lines begin that say nothing to a person: stack traces, and what Lambda adds to a function's own."""

RAISED = re.compile(r"\w+(\.\w+)+: ")
"""How a stack trace ends: what was raised has been logged as a line of its own."""


@dataclass(frozen=True)
class Cause:
    """What made an operation fail.

    Attributes:
        resource: the resource that failed first, by its name in the template.
        reason: what CloudFormation says of it.
        log: the last lines that its function wrote, where it has one.
    """

    resource: str
    reason: str
    log: tuple[str, ...]

    def __str__(self) -> str:
        """Return one sentence, with the log below."""
        log = "".join(f"\n    {line}" for line in self.log)
        reason = self.reason.removeprefix(f"{self.resource}: ")
        return f"{self.resource} failed first: {reason}" + (f"\n  its function's log:{log}" if log else "")


def function_log(account: Account, stack_id: str, failed: Event, attempts: int = 3) -> tuple[str, ...]:
    """Return the last lines that the function of a failed custom resource wrote.

    Args:
        account: where the stack is.
        stack_id: its ARN.
        failed: the event that says so.
        attempts: how often to look, a second apart: CloudWatch shows lines some seconds late.

    Returns:
        The lines; none where there is no log any more, since nothing depends on it.
    """
    try:
        group = physical_id(account, stack_id, Part.LOGS.of(function_of(failed.resource)))
        for attempt in range(attempts):
            if attempt:
                time.sleep(1)
            lines = _read(account, group, since=int(failed.at.timestamp() - 900) * 1000)
            if lines:
                return lines
    except AwsError:
        pass
    return ()


def _read(account: Account, group: str, since: int) -> tuple[str, ...]:
    with explained("reading a function's log"):
        pages = account.logs.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=since)
        messages = [event["message"] for page in pages for event in page["events"]]
    lines = [
        line[:LINE_LENGTH]
        for message in messages
        for line in message.splitlines()
        if line and not line.startswith(NOISE) and not RAISED.match(line)
    ]
    return tuple(dict.fromkeys(lines))[-LOG_LINES:]
