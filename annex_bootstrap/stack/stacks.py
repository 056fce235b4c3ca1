"""Reading CloudFormation stacks: what there is, what happens to it, and why something failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from annex_contract.stack import Output

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

OUR_PARAMETERS = {"CondorCidrs", "ConfigKeyPattern"}
"""Parameters that every version of our template has, and no other template has both of."""

POLL = 1.5
"""Seconds between two looks at a stack: DescribeStackEvents is throttled per account."""


LOOKS_FOR_BEGINNING = 20
"""How often to look for the first event of an operation."""


@dataclass(frozen=True)
class Stack:
    """A stack as CloudFormation describes it.

    Attributes:
        stack_id: its ARN.
        name: its name.
        status: such as ``CREATE_COMPLETE``.
        reason: why it has that status; often empty.
        parameters: as given; those with NoEcho are masked.
        outputs: by name.
        changed: when it was made, or last updated.
    """

    stack_id: str
    name: str
    status: str
    reason: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]
    changed: datetime

    @property
    def in_progress(self) -> bool:
        """Whether CloudFormation is at work on it."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    @property
    def is_ours(self) -> bool:
        """Whether our template made it: its parameters say so in every status, also before there are outputs."""
        return self.parameters.keys() >= OUR_PARAMETERS

    @property
    def version(self) -> str:
        """The version of annex-bootstrap that made it; empty for a stack that never stood."""
        return self.outputs.get(Output.VERSION, "")


@dataclass(frozen=True)
class Event:
    """One step of one resource.

    Attributes:
        event_id: unique.
        at: when.
        resource: its name in the template; for the stack itself, the stack's name.
        resource_type: such as ``AWS::Lambda::Function``.
        status: such as ``CREATE_FAILED``.
        reason: why; often empty.
    """

    event_id: str
    at: datetime
    resource: str
    resource_type: str
    status: str
    reason: str

    @property
    def is_stack(self) -> bool:
        """Whether it is a step of the stack as a whole."""
        return self.resource_type == "AWS::CloudFormation::Stack"

    @property
    def is_custom(self) -> bool:
        """Whether a function of ours made the step."""
        return self.resource_type.startswith("Custom::")

    @property
    def is_failure(self) -> bool:
        """Whether the resource failed by itself, not because another one did."""
        cancelled = "cancelled" in self.reason.lower() or "canceled" in self.reason.lower()
        return self.status.endswith("_FAILED") and not self.is_stack and not cancelled


def find(client: CloudFormationClient, name: str) -> Stack | None:
    """The stack of that name or ID, or None. A deleted one is found by its ID only."""
    try:
        described = client.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" in error.response["Error"].get("Message", ""):
            return None
        raise
    return _stack(described[0])


def _stack(described: StackTypeDef) -> Stack:
    return Stack(
        stack_id=described["StackId"],
        name=described["StackName"],
        status=described["StackStatus"],
        reason=described.get("StackStatusReason", ""),
        parameters={each["ParameterKey"]: each["ParameterValue"] for each in described.get("Parameters", [])},
        outputs={each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])},
        changed=described.get("LastUpdatedTime", described["CreationTime"]),
    )


def events(client: CloudFormationClient, stack_id: str, after: str = "") -> list[Event]:
    """The events of a stack, oldest first, without the one with the ID ``after`` and those before it."""
    found: list[Event] = []
    for page in client.get_paginator("describe_stack_events").paginate(StackName=stack_id):
        for each in page["StackEvents"]:
            if each["EventId"] == after:
                return found[::-1]
            found.append(
                Event(
                    event_id=each["EventId"],
                    at=each["Timestamp"],
                    resource=each.get("LogicalResourceId", ""),
                    resource_type=each.get("ResourceType", ""),
                    status=each.get("ResourceStatus", ""),
                    reason=each.get("ResourceStatusReason", ""),
                )
            )
    return found[::-1]


def last_event_id(client: CloudFormationClient, stack_id: str) -> str:
    """The ID of the newest event, or nothing."""
    newest = client.describe_stack_events(StackName=stack_id)["StackEvents"]
    return newest[0]["EventId"] if newest else ""


def watch(
    client: CloudFormationClient, stack_id: str, after: str, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Event]:
    """Follow a stack until CloudFormation is done with the operation that goes on, or has just been asked for.

    Args:
        client: of CloudFormation.
        stack_id: the stack's ARN, by which also a deleted stack can be read.
        after: the ID of the last event that is known already.
        sleep: waits some seconds.

    Yields:
        The events, as they come.
    """
    begun, looks = False, 0
    while True:
        # Read before the events: what happened up to the end is then among them.
        stack = find(client, stack_id)
        for event in events(client, stack_id, after):
            after, begun = event.event_id, begun or event.is_stack
            yield event
        looks += 1
        if stack is None or stack.status == "DELETE_COMPLETE":
            return
        # A status of before the operation may still be shown when it has just been asked for.
        if not stack.in_progress and (begun or looks >= LOOKS_FOR_BEGINNING):
            return
        sleep(POLL)


BEGINNINGS = {"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "IMPORT_IN_PROGRESS"}


def event_before_operation(client: CloudFormationClient, stack_id: str) -> str:
    """The ID of the last event before the operation that is going on, or was the last; or nothing."""
    before = ""
    found = events(client, stack_id)
    for previous, event in zip([None, *found], found, strict=False):
        if event.is_stack and event.status in BEGINNINGS:
            before = previous.event_id if previous is not None else ""
    return before
