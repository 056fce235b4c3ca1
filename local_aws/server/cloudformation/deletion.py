"""The deletion of a stack that is still being created; MiniStack would do both at once, and so leave resources.

CloudFormation stops the creation: https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DeleteStack.html
"""

from __future__ import annotations

import asyncio
from typing import Any

from ministack.services import cloudformation
from ministack.services.cloudformation import changesets, handlers, stacks


def install() -> None:
    """Let a deletion wait for the resource that is being created, and no other be created."""
    deploy, delete, add_event = stacks._deploy_stack_async, stacks._delete_stack_async, stacks._add_event
    deploying: dict[str, asyncio.Event] = {}
    deleting: set[str] = set()

    async def deploy_until_deleted(stack_name: str, stack_id: str, *arguments: Any, **options: Any) -> None:
        ended = deploying[stack_id] = asyncio.Event()
        try:
            await deploy(stack_name, stack_id, *arguments, **options)
        finally:
            del deploying[stack_id]
            ended.set()

    async def delete_after_deploying(stack_name: str, stack_id: str, *arguments: Any, **options: Any) -> None:
        if stack_id in deploying:
            deleting.add(stack_id)
            cloudformation._stacks[stack_name]["StackStatus"] = "DELETE_IN_PROGRESS"
            await deploying[stack_id].wait()
        try:
            await delete(stack_name, stack_id, *arguments, **options)
        finally:
            deleting.discard(stack_id)

    def add_event_until_deleted(
        stack_id: str, stack_name: str, logical_id: str, kind: str, status: str, *more: Any, **further: Any
    ) -> None:
        # The event of a resource comes when the stack knows it, and before the next is created.
        if stack_id in deleting and not status.startswith("DELETE"):
            raise asyncio.CancelledError
        add_event(stack_id, stack_name, logical_id, kind, status, *more, **further)

    stacks._add_event = add_event_until_deleted
    for module in (changesets, handlers, stacks):
        module._deploy_stack_async = deploy_until_deleted
    for module in (handlers, stacks):
        module._delete_stack_async = delete_after_deploying
