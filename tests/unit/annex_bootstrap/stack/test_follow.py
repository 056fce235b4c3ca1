"""Following a stack, against a CloudFormation that is late, as no local one is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast

from mypy_boto3_cloudformation import CloudFormationClient

from annex_bootstrap.stack.follow import event_before_operation, watch

AT = datetime(2026, 1, 1, tzinfo=UTC)
STACK = "AWS::CloudFormation::Stack"


class LateCloudFormation:
    """Shows one state after another, each for one look: the stack's status, and the events so far."""

    def __init__(self, states: list[tuple[str, list[str]]]) -> None:
        self.states = states
        self.looks = -1

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803 (boto3's name)
        self.looks += 1
        status = self.states[min(self.looks, len(self.states) - 1)][0]
        return {
            "Stacks": [{"StackId": StackName, "StackName": "mine", "StackStatus": status, "CreationTime": AT}],
        }

    def get_paginator(self, _operation: str) -> LateCloudFormation:
        return self

    def paginate(self, StackName: str) -> Iterator[dict[str, Any]]:  # noqa: N803 (boto3's name)
        assert StackName == "mine"
        names = self.states[min(self.looks, len(self.states) - 1)][1]
        made = [
            {
                "EventId": str(number),
                "Timestamp": AT,
                "LogicalResourceId": "mine",
                "ResourceType": STACK,
                "ResourceStatus": status,
            }
            for number, status in enumerate(names)
        ]
        yield {"StackEvents": made[::-1]}


def follow(states: list[tuple[str, list[str]]], after: str = "") -> list[str]:
    client = cast(CloudFormationClient, LateCloudFormation(states))
    return [event.status for event in watch(client, "mine", after, sleep=lambda _: None)]


def test_a_status_of_before_the_operation_does_not_end_the_watch() -> None:
    old = ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"]
    begun = [*old, "UPDATE_IN_PROGRESS"]
    done = [*begun, "UPDATE_COMPLETE"]
    states = [("CREATE_COMPLETE", old)] * 3 + [("UPDATE_IN_PROGRESS", begun), ("UPDATE_COMPLETE", done)]
    assert follow(states, after="1") == ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"]


def test_an_operation_that_never_begins_is_not_waited_for_for_ever() -> None:
    assert follow([("CREATE_COMPLETE", ["CREATE_COMPLETE"])], after="0") == []


def test_a_stack_that_is_gone_ends_the_watch() -> None:
    assert follow([("DELETE_COMPLETE", [])]) == []


def test_the_operation_that_goes_on_is_told_from_earlier_ones() -> None:
    happened = ["CREATE_IN_PROGRESS", "CREATE_COMPLETE", "UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"]
    late = LateCloudFormation([("UPDATE_ROLLBACK_IN_PROGRESS", happened)])
    late.describe_stacks(StackName="mine")
    assert event_before_operation(cast(CloudFormationClient, late), "mine") == "1"
