"""Deleting a stack."""

from __future__ import annotations

from annex_bootstrap.aws import Account, explained
from annex_bootstrap.errors import UserError
from annex_bootstrap.stack.follow import Watcher, follow, last_event_id
from annex_bootstrap.stack.read import Stack
from annex_contract.statuses import DELETE_COMPLETE


def delete_stack(account: Account, stack: Stack, watcher: Watcher) -> None:
    """Delete a stack and follow it to its end.

    Raises:
        UserError: it failed, with its first cause.
    """
    with explained(f"deleting the stack {stack.name}"):
        after = last_event_id(account.cloudformation, stack.stack_id)
        account.cloudformation.delete_stack(StackName=stack.stack_id)
    end = follow(account, stack.stack_id, after, watcher)
    if end.status != DELETE_COMPLETE:
        raise UserError(end.explain())
