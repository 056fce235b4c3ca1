"""Following a stack's operations to their end: those of others, and our own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annex_bootstrap.aws import Account, explained
from annex_bootstrap.errors import UserError
from annex_bootstrap.stack.change_set import check_review
from annex_bootstrap.stack.failure import Cause, function_log
from annex_bootstrap.stack.read import Event, Stack, check_ours, events, find
from annex_contract.statuses import DELETE_COMPLETE, DELETE_FAILED, REVIEW_IN_PROGRESS, State, read_status

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

POLL = 1.5
"""Seconds between two reads of a stack: DescribeStackEvents is throttled per account."""

READS_FOR_BEGINNING = 20
"""How often the first event of an operation is read for, before the operation counts as never begun."""

JOINS = 5
"""How many operations of others are followed, one after another, before the deployment gives up."""

Watcher = Callable[[Event], None]
"""Takes every event of a stack as it comes."""


@dataclass(frozen=True)
class End:
    """How an operation ended.

    Attributes:
        stack: as it is now, or None if it is gone.
        cause: what failed first, if anything did.
    """

    stack: Stack | None
    cause: Cause | None

    @property
    def status(self) -> str:
        """The stack's status; that of a deleted one where it is gone."""
        return self.stack.status if self.stack is not None else DELETE_COMPLETE

    def explain(self) -> str:
        """Return the status in which the stack ended, and why."""
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
        watcher: takes every event.
    """
    first: Cause | None = None
    status = ""
    with explained("following the stack"):
        for event in watch(account.cloudformation, stack_id, after):
            status = event.status if event.is_stack else status
            if first is None and event.is_failure:
                # Read at once: the rollback deletes the log.
                log = function_log(account, stack_id, event) if event.is_custom else ()
                first = Cause(event.resource, event.reason, log)
            watcher(event)
        return End(read_end(account.cloudformation, stack_id, status), first)


def settle(account: Account, stack_name: str, watcher: Watcher) -> tuple[Stack | None, str]:
    """Wait until CloudFormation has no operation in progress on one of our stacks.

    Returns:
        The stack, or None; and how the last operation ended that was followed, or nothing.

    Raises:
        UserError: the stack is not ours, or others keep changing it.
    """
    joined = ""
    for _ in range(JOINS):
        with explained(f"reading the stack {stack_name}"):
            stack = find(account.cloudformation, stack_name)
            check_ours(stack, stack_name)
            if stack is not None and stack.status == REVIEW_IN_PROGRESS:
                check_review(account, stack)
        if stack is None or not stack.in_progress:
            return stack, joined
        with explained("reading the operation in progress"):
            after = event_before_operation(account.cloudformation, stack.stack_id)
        joined = follow(account, stack.stack_id, after, watcher).explain()
    raise UserError(f"others keep changing the stack {stack_name}: agree with them, then try again")


def delete_stack(account: Account, stack: Stack, watcher: Watcher) -> None:
    """Delete a stack and follow it to its end.

    Raises:
        UserError: it failed, with its first cause; where it failed before too, with how to abandon what is left.
    """
    failed: list[str] = []

    def watch_failures(event: Event) -> None:
        if event.is_failure:
            failed.append(f"{event.resource} ({event.resource_type})")
        watcher(event)

    with explained(f"deleting the stack {stack.name}"):
        after = last_event_id(account.cloudformation, stack.stack_id)
        account.cloudformation.delete_stack(StackName=stack.stack_id)
    end = follow(account, stack.stack_id, after, watch_failures)
    if end.status == DELETE_COMPLETE:
        return
    way_out = (
        f"\n  next: if that cannot be mended, such as a function that is gone, abandon what is left: "
        f"aws cloudformation delete-stack --region {account.region} --stack-name {stack.name} --deletion-mode "
        f"FORCE_DELETE_STACK, then delete by hand: {', '.join(dict.fromkeys(failed)) or 'what it names'}"
    )
    raise UserError(end.explain() + (way_out if stack.status == DELETE_FAILED else ""))


def last_event_id(client: CloudFormationClient, stack_id: str) -> str:
    """Return the ID of the newest event, or nothing."""
    newest = client.describe_stack_events(StackName=stack_id)["StackEvents"]
    return newest[0]["EventId"] if newest else ""


def watch(
    client: CloudFormationClient, stack_id: str, after: str, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Event]:
    """Follow a stack until CloudFormation has finished the operation in progress, or the one just requested.

    The newest event of the stack as a whole decides. DescribeStacks and DescribeStackEvents promise no order between
    them, so a status may still be the one from before the operation, or that of its end while events are missing.

    Args:
        client: of CloudFormation.
        stack_id: the stack's ARN, by which also a deleted stack can be read.
        after: the ID of the last event that is known already.
        sleep: waits some seconds.

    Yields:
        The events, as they come.
    """
    begun = ended = False
    reads = 0
    while True:
        for event in events(client, stack_id, after):
            after = event.event_id
            if event.is_stack:
                status = read_status(event.status)
                # The last event of an earlier operation may come late.
                begun = begun or status.begins
                ended = begun and status.state is not State.IN_PROGRESS
            yield event
        reads += 1
        if ended or (not begun and reads >= READS_FOR_BEGINNING and not _in_progress(client, stack_id)):
            return
        sleep(POLL)


def _in_progress(client: CloudFormationClient, stack_id: str) -> bool:
    stack = find(client, stack_id)
    return stack is not None and stack.in_progress


def read_end(
    client: CloudFormationClient, stack_id: str, status: str, sleep: Callable[[float], None] = time.sleep
) -> Stack | None:
    """Return the stack as it is after an operation, with the outputs of then.

    Args:
        client: of CloudFormation.
        stack_id: the stack's ARN.
        status: that of the stack's newest event; empty where there was none.
        sleep: waits some seconds.

    Raises:
        UserError: DescribeStacks still shows another status after half a minute.
    """
    for _ in range(READS_FOR_BEGINNING):
        stack = find(client, stack_id)
        if stack is None or status in ("", stack.status):
            return stack
        sleep(POLL)
    raise UserError(
        f"the stack ended in {status}, but CloudFormation still shows {stack.status if stack else ''}: "
        "run the same command again"
    )


def event_before_operation(client: CloudFormationClient, stack_id: str) -> str:
    """Return the ID of the last event before the operation in progress, or before the last one; or nothing."""
    before = ""
    found = events(client, stack_id)
    for previous, event in zip([None, *found], found, strict=False):
        if event.is_stack and read_status(event.status).begins:
            before = previous.event_id if previous is not None else ""
    return before
