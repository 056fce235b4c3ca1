"""Following a stack, against a CloudFormation that is late, as no local one is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from mypy_boto3_cloudformation import CloudFormationClient

from annex_bootstrap.errors import UserError
from annex_bootstrap.stack.follow import (
    POLL,
    READS_FOR_BEGINNING,
    End,
    delete_stack,
    event_before_operation,
    read_end,
    watch,
)
from annex_bootstrap.stack.read import Event, Stack
from annex_contract.statuses import STATUSES
from tests.unit.recorded import Recorded, RefusedError

AT = datetime(2026, 1, 1, tzinfo=UTC)
STACK = "AWS::CloudFormation::Stack"
ARN = "arn:aws:cloudformation:us-east-1:123456789012:stack/mine/1"
WAY_OUT = (
    "\n  next: if that cannot be mended, such as a function that is gone, abandon what is left: "
    "aws cloudformation delete-stack --region us-east-1 --stack-name mine --deletion-mode FORCE_DELETE_STACK, "
    "then delete by hand: Topic (AWS::SNS::Topic)"
)


class LateCloudFormation:
    """Shows one state after another, each for one read of the events: the stack's status, and the events so far.

    An event is a status of the stack, or a resource and its status.
    """

    def __init__(self, states: list[tuple[str, list[str]]]) -> None:
        """Begin before the first read."""
        self.states = states
        self.reads = 0

    @property
    def state(self) -> tuple[str, list[str]]:
        """What is shown now."""
        return self.states[min(max(self.reads - 1, 0), len(self.states) - 1)]

    def advance(self) -> None:
        """Show the next state."""
        self.reads += 1

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803 (boto3's name)
        """Describe the stack."""
        described = {"StackId": StackName, "StackName": "mine", "StackStatus": self.state[0], "CreationTime": AT}
        return {"Stacks": [described]}

    def get_paginator(self, _operation: str) -> LateCloudFormation:
        """Return what pages events."""
        return self

    def paginate(self, StackName: str) -> Iterator[dict[str, Any]]:  # noqa: N803 (boto3's name)
        """Read the events."""
        assert StackName == "mine"
        self.advance()
        made = [
            {
                "EventId": str(number),
                "Timestamp": AT,
                "LogicalResourceId": "mine" if status in STATUSES else status.partition(" ")[0],
                "ResourceType": STACK if status in STATUSES else "AWS::SNS::Topic",
                "ResourceStatus": status.rpartition(" ")[2],
            }
            for number, status in enumerate(self.state[1])
        ]
        yield {"StackEvents": made[::-1]}


def client(*states: tuple[str, list[str]]) -> tuple[CloudFormationClient, LateCloudFormation]:
    late = LateCloudFormation([*states])
    return cast(CloudFormationClient, late), late


def follow(*states: tuple[str, list[str]], after: str = "") -> list[str]:
    """Return the statuses of the events that a watch yields while each state is shown for one read."""
    cloudformation, late = client(*states)
    seen = [event.status for event in watch(cloudformation, "mine", after, sleep=lambda _: None)]
    # It ends with the last state, not with its patience.
    assert late.reads == len(states)
    return seen


OLD = ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"]
BEGUN = [*OLD, "UPDATE_IN_PROGRESS"]
DONE = [*BEGUN, "UPDATE_COMPLETE"]


def test_a_status_from_before_the_operation_does_not_end_the_watch() -> None:
    states = [("CREATE_COMPLETE", OLD)] * 3 + [("UPDATE_IN_PROGRESS", BEGUN), ("UPDATE_COMPLETE", DONE)]
    assert follow(*states, after="1") == ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"]


def test_a_status_that_is_late_does_not_end_the_watch_once_the_operation_has_begun() -> None:
    states = [("CREATE_COMPLETE", BEGUN), ("CREATE_COMPLETE", BEGUN), ("CREATE_COMPLETE", DONE)]
    assert follow(*states, after="1") == ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"]


def test_a_status_that_is_early_does_not_end_the_watch_before_the_events_are_there() -> None:
    states = [("UPDATE_COMPLETE", BEGUN)] * 3 + [("UPDATE_COMPLETE", DONE)]
    assert follow(*states, after="1") == ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"]


def test_the_last_event_of_an_earlier_operation_that_comes_late_does_not_end_the_watch() -> None:
    states = [("CREATE_COMPLETE", OLD), ("UPDATE_IN_PROGRESS", BEGUN), ("UPDATE_COMPLETE", DONE)]
    assert follow(*states, after="0") == ["CREATE_COMPLETE", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"]


def test_an_empty_stack_under_review_is_not_an_operation_that_has_ended() -> None:
    review = ["REVIEW_IN_PROGRESS"]
    begun = [*review, "CREATE_IN_PROGRESS"]
    states = [
        ("REVIEW_IN_PROGRESS", review),
        ("CREATE_IN_PROGRESS", begun),
        ("CREATE_COMPLETE", [*begun, "CREATE_COMPLETE"]),
    ]
    assert follow(*states) == [*begun, "CREATE_COMPLETE"]


def test_a_rollback_is_followed_to_its_end() -> None:
    rolling = [*BEGUN, "UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"]
    states = [
        ("UPDATE_ROLLBACK_IN_PROGRESS", rolling),
        ("UPDATE_ROLLBACK_COMPLETE", [*rolling, "UPDATE_ROLLBACK_COMPLETE"]),
    ]
    assert follow(*states, after="1")[-1] == "UPDATE_ROLLBACK_COMPLETE"


def test_an_operation_that_others_begin_at_once_is_followed_too() -> None:
    again = [*DONE, "UPDATE_IN_PROGRESS"]
    states = [("UPDATE_IN_PROGRESS", again), ("UPDATE_COMPLETE", [*again, "UPDATE_COMPLETE"])]
    assert follow(*states, after="1") == ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"] * 2


def test_an_operation_that_begins_at_the_last_moment_is_followed() -> None:
    states = [("CREATE_COMPLETE", OLD)] * (READS_FOR_BEGINNING - 1) + [
        ("UPDATE_IN_PROGRESS", BEGUN),
        ("UPDATE_COMPLETE", DONE),
    ]
    assert follow(*states, after="1") == ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"]


def test_an_operation_that_never_begins_is_given_up_after_so_many_reads() -> None:
    cloudformation, late = client(("CREATE_COMPLETE", OLD))
    pauses: list[float] = []
    assert list(watch(cloudformation, "mine", "1", sleep=pauses.append)) == []
    assert late.reads == READS_FOR_BEGINNING
    assert pauses == [POLL] * (READS_FOR_BEGINNING - 1)


def test_an_operation_whose_events_are_very_late_is_waited_for_while_the_status_shows_it() -> None:
    states = [("UPDATE_IN_PROGRESS", OLD)] * (2 * READS_FOR_BEGINNING) + [("UPDATE_COMPLETE", DONE)]
    assert follow(*states, after="1") == ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"]


def test_a_status_that_is_late_for_long_does_not_end_the_watch_either() -> None:
    states = [("CREATE_COMPLETE", BEGUN)] * (2 * READS_FOR_BEGINNING) + [("UPDATE_COMPLETE", DONE)]
    assert follow(*states, after="1") == ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"]


def test_the_end_of_one_resource_is_not_that_of_the_stack() -> None:
    begun = [*BEGUN, "Topic UPDATE_IN_PROGRESS", "Topic UPDATE_COMPLETE"]
    states = [("UPDATE_IN_PROGRESS", begun), ("UPDATE_COMPLETE", [*begun, "UPDATE_COMPLETE"])]
    ended = ["UPDATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE", "UPDATE_COMPLETE"]
    assert follow(*states, after="1") == ended


def test_a_stack_that_is_gone_ends_the_watch() -> None:
    deleted = [*OLD, "DELETE_IN_PROGRESS", "DELETE_COMPLETE"]
    assert follow(("DELETE_COMPLETE", deleted), after="1") == ["DELETE_IN_PROGRESS", "DELETE_COMPLETE"]


def test_the_outputs_are_those_of_the_end_although_the_description_is_late() -> None:
    cloudformation, late = client(("UPDATE_IN_PROGRESS", DONE), ("UPDATE_IN_PROGRESS", DONE), ("UPDATE_COMPLETE", DONE))
    late.reads = 1
    stack = read_end(cloudformation, "mine", "UPDATE_COMPLETE", sleep=lambda _: late.advance())
    assert stack is not None
    assert stack.status == "UPDATE_COMPLETE"


def test_a_description_that_stays_late_is_not_a_success() -> None:
    cloudformation, late = client(("UPDATE_IN_PROGRESS", DONE))
    late.reads = 1
    with pytest.raises(UserError, match="ended in UPDATE_COMPLETE, but CloudFormation still shows UPDATE_IN_PROGRESS"):
        read_end(cloudformation, "mine", "UPDATE_COMPLETE", sleep=lambda _: None)


def test_the_operation_in_progress_is_not_mistaken_for_an_earlier_one() -> None:
    happened = ["CREATE_IN_PROGRESS", "CREATE_COMPLETE", "UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"]
    cloudformation, _ = client(("UPDATE_ROLLBACK_IN_PROGRESS", happened))
    assert event_before_operation(cloudformation, "mine") == "1"


def deleted_stack(status: str, reason: str = "") -> Stack:
    return Stack(ARN, "mine", status, reason, {}, {}, AT)


def test_an_end_says_the_reason_of_the_stack_where_there_is_one() -> None:
    assert End(deleted_stack("DELETE_FAILED", "it is protected"), None).explain() == (
        "the stack ended in DELETE_FAILED: it is protected"
    )
    assert End(deleted_stack("DELETE_FAILED"), None).explain() == "the stack ended in DELETE_FAILED"
    assert End(None, None).explain() == "the stack ended in DELETE_COMPLETE"


def deleting(*statuses: str) -> Recorded:
    """Return a CloudFormation in which deleting has these events, oldest first: of the stack, or of its topic."""
    happened = [
        {
            "StackId": ARN,
            "StackName": "mine",
            "EventId": str(number),
            "Timestamp": AT,
            "LogicalResourceId": "Topic" if status.startswith("Topic ") else "mine",
            "PhysicalResourceId": "topic" if status.startswith("Topic ") else ARN,
            "ResourceType": "AWS::SNS::Topic" if status.startswith("Topic ") else STACK,
            "ResourceStatus": status.rpartition(" ")[2],
            "ResourceStatusReason": "in use",
        }
        for number, status in enumerate(["CREATE_COMPLETE", *statuses])
    ]
    shown = {"StackId": ARN, "StackName": "mine", "StackStatus": statuses[-1], "CreationTime": AT}
    return Recorded(
        DescribeStackEvents=[{"StackEvents": happened[:1]}, {"StackEvents": happened[::-1]}],
        DeleteStack={},
        DescribeStacks={"Stacks": [shown]},
    )


@pytest.mark.parametrize(("before", "way_out"), [("CREATE_COMPLETE", ""), ("DELETE_FAILED", WAY_OUT)])
def test_a_deletion_that_fails_says_why_and_where_it_failed_before_too_the_way_out(before: str, way_out: str) -> None:
    aws = deleting("DELETE_IN_PROGRESS", "Topic DELETE_FAILED", "DELETE_FAILED")
    seen: list[Event] = []
    with pytest.raises(UserError) as raised:
        delete_stack(aws.account(), deleted_stack(before), seen.append)
    assert str(raised.value) == f"the stack ended in DELETE_FAILED; Topic failed first: in use{way_out}"
    assert [event.status for event in seen] == ["DELETE_IN_PROGRESS", "DELETE_FAILED", "DELETE_FAILED"]
    assert aws.of("DeleteStack") == [{"StackName": ARN}]


def test_a_deletion_that_ends_says_nothing() -> None:
    aws = deleting("DELETE_IN_PROGRESS", "DELETE_COMPLETE")
    delete_stack(aws.account(), deleted_stack("CREATE_COMPLETE"), lambda _: None)
    assert aws.names == ["DescribeStackEvents", "DeleteStack", "DescribeStackEvents", "DescribeStacks"]


def test_a_deletion_that_aws_refuses_says_of_which_stack() -> None:
    aws = deleting("DELETE_IN_PROGRESS")
    aws.answers["DeleteStack"] = RefusedError("ValidationError", "it is protected")
    with pytest.raises(UserError, match=r"deleting the stack mine.*it is protected"):
        delete_stack(aws.account(), deleted_stack("CREATE_COMPLETE"), lambda _: None)
