"""Following a stack to its end, and finding why it failed: the first failure, with the function's own log."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from annex_bootstrap.aws import Account, explained
from annex_bootstrap.stack import stacks
from annex_bootstrap.stack.stacks import Event, Stack

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

Watcher = Callable[[Event], None]
"""Told of every event of a stack as it comes."""


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
        """Say it, with the log below."""
        log = "".join(f"\n    {line}" for line in self.log)
        reason = self.reason.removeprefix(f"{self.resource}: ")
        return f"{self.resource} failed first: {reason}" + (f"\n  its function's log:{log}" if log else "")


@dataclass(frozen=True)
class End:
    """How an operation ended.

    Attributes:
        stack: as it stands now, or None where it is gone.
        cause: what failed first, if anything did.
    """

    stack: Stack | None
    cause: Cause | None

    @property
    def status(self) -> str:
        """The stack's status; that of a deleted one where it is gone."""
        return self.stack.status if self.stack is not None else "DELETE_COMPLETE"

    def explain(self) -> str:
        """Say in what the stack ended, and why."""
        if self.cause is not None:
            return f"the stack ended in {self.status}; {self.cause}"
        reason = self.stack.reason if self.stack is not None else ""
        return f"the stack ended in {self.status}" + (f": {reason}" if reason else "")


def follow(account: Account, stack_id: str, after: str, watcher: Watcher) -> End:
    """Follow a stack until CloudFormation is done with it.

    Args:
        account: where the stack is.
        stack_id: its ARN.
        after: the ID of the last event that is known already.
        watcher: told of every event.
    """
    first: Cause | None = None
    with explained("following the stack"):
        for event in stacks.watch(account.cloudformation, stack_id, after):
            if first is None and event.is_failure:
                # Read at once: the rollback deletes the log.
                log = function_log(account, stack_id, event) if event.is_custom else ()
                first = Cause(event.resource, event.reason, log)
            watcher(event)
        return End(stacks.find(account.cloudformation, stack_id), first)


def function_log(account: Account, stack_id: str, failed: Event, attempts: int = 3) -> tuple[str, ...]:
    """The last lines that the function of a failed custom resource wrote.

    Args:
        account: where the stack is.
        stack_id: its ARN.
        failed: the event that says so.
        attempts: how often to look, a second apart: CloudWatch shows lines some seconds late.

    Returns:
        The lines; none where there is no log any more, since nothing depends on it.
    """
    try:
        group = account.cloudformation.describe_stack_resource(
            StackName=stack_id, LogicalResourceId=f"{failed.resource}FunctionLogs"
        )["StackResourceDetail"].get("PhysicalResourceId", "")
        for attempt in range(attempts):
            if attempt:
                time.sleep(1)
            lines = _read(account, group, since=int(failed.at.timestamp() - 900) * 1000)
            if lines:
                return lines
    except (ClientError, BotoCoreError):
        pass
    return ()


def _read(account: Account, group: str, since: int) -> tuple[str, ...]:
    lines = [
        line[:LINE_LENGTH]
        for page in account.logs.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=since)
        for event in page["events"]
        for line in event["message"].splitlines()
        if line and not line.startswith(NOISE) and not RAISED.match(line)
    ]
    return tuple(dict.fromkeys(lines))[-LOG_LINES:]
