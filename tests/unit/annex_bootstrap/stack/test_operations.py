"""What comes of following a stack's operation: its end, its first cause, and the deletion of a stack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from annex_bootstrap.aws import Account
from annex_bootstrap.errors import DeniedError, UserError
from annex_bootstrap.stack import follow
from annex_bootstrap.stack.failure import Cause, function_log
from annex_bootstrap.stack.follow import JOINS, End, delete_stack, last_event_id, settle
from annex_bootstrap.stack.read import Event, Stack
from annex_contract.stack import Part
from tests.unit.annex_bootstrap.commands.conftest import STACK_ID, a_stack
from tests.unit.annex_bootstrap.growth.cases import NOW
from tests.unit.recorded import Recorded, RefusedError

AT = a_stack().changed
BUCKET = Event("3", AT, "Bucket", "Custom::AnnexBucket", "CREATE_FAILED", "Bucket: no name is free")
TOPIC = Event("4", AT, "AlarmTopic", "AWS::SNS::Topic", "CREATE_FAILED", "Resource creation cancelled")
ROLE = Event("5", AT, "FleetRole", "AWS::IAM::Role", "DELETE_FAILED", "in use")
FUNCTION = Event("6", AT, "ImageFunction", "AWS::Lambda::Function", "DELETE_FAILED", "gone")


def whole(status: str) -> Event:
    """Return an event of the stack as a whole."""
    return Event("9", AT, "annex-bootstrap", "AWS::CloudFormation::Stack", status, "")


class Operation:
    """An operation that runs.

    Attributes:
        events: that come while it is followed.
        end: the stack then.
        watched: which stack was watched, and after which event.
        seen: the events that the watcher got.
        logs: the events for which a log was read.
    """

    def __init__(self) -> None:
        """Begin without events."""
        self.events: list[Event] = []
        self.end: Stack | None = None
        self.watched: list[tuple[str, str]] = []
        self.ended_with: list[str] = []
        self.seen: list[Event] = []
        self.logs: list[Event] = []


@pytest.fixture
def operation(monkeypatch: pytest.MonkeyPatch) -> Operation:
    """What is followed."""
    made = Operation()

    def watch(client: Any, stack_id: str, after: str) -> Iterator[Event]:
        assert client.meta.service_model.service_name == "cloudformation"
        made.watched.append((stack_id, after))
        yield from made.events

    def read_end(_client: Any, stack_id: str, status: str) -> Stack | None:
        assert stack_id == STACK_ID
        made.ended_with.append(status)
        return made.end

    def log(account: Account, stack_id: str, event: Event) -> tuple[str, ...]:
        assert (account.region, stack_id) == ("us-east-1", STACK_ID)
        made.logs.append(event)
        return ("a line",)

    monkeypatch.setattr(follow, "watch", watch)
    monkeypatch.setattr(follow, "read_end", read_end)
    monkeypatch.setattr(follow, "function_log", log)
    return made


def test_an_operation_ends_with_its_first_cause_and_the_log_of_its_function(operation: Operation) -> None:
    # What was cancelled because of another failure is no cause, and only a custom resource has a function's log.
    operation.events = [whole("CREATE_IN_PROGRESS"), TOPIC, BUCKET, ROLE, whole("ROLLBACK_COMPLETE")]
    operation.end = a_stack("ROLLBACK_COMPLETE")
    end = follow.follow(Recorded().account(), STACK_ID, "7", operation.seen.append)
    assert end == End(operation.end, Cause("Bucket", "Bucket: no name is free", ("a line",)))
    assert operation.seen == operation.events
    assert operation.watched == [(STACK_ID, "7")]
    assert operation.ended_with == ["ROLLBACK_COMPLETE"]
    assert operation.logs == [BUCKET]
    assert end.explain() == (
        "the stack ended in ROLLBACK_COMPLETE; Bucket failed first: no name is free\n  its function's log:\n    a line"
    )
    operation.events, operation.logs = [ROLE], []
    end = follow.follow(Recorded().account(), STACK_ID, "", operation.seen.append)
    assert (end.cause, operation.logs, operation.ended_with[-1]) == (Cause("FleetRole", "in use", ()), [], "")


def test_the_end_without_a_cause_is_explained_by_the_stack() -> None:
    stack = a_stack("UPDATE_ROLLBACK_COMPLETE")
    assert End(stack, None).explain() == "the stack ended in UPDATE_ROLLBACK_COMPLETE"
    assert End(replace(stack, reason="no"), None).explain() == "the stack ended in UPDATE_ROLLBACK_COMPLETE: no"
    gone = End(None, None)
    assert (gone.status, gone.explain()) == ("DELETE_COMPLETE", "the stack ended in DELETE_COMPLETE")


def deleted(stack: Stack, operation: Operation, events: list[Event], end: Stack | None) -> Recorded:
    """Delete a stack, and return the calls."""
    operation.events, operation.end = events, end
    newest = {
        "StackEvents": [
            {"StackId": STACK_ID, "EventId": name, "StackName": stack.name, "Timestamp": AT} for name in ("8", "7")
        ]
    }
    aws = Recorded(DescribeStackEvents=newest, DeleteStack={})
    delete_stack(aws.account(), stack, operation.seen.append)
    return aws


def test_a_stack_is_deleted_by_its_id_and_followed_from_the_last_event(operation: Operation) -> None:
    aws = deleted(a_stack(), operation, [whole("DELETE_COMPLETE")], None)
    assert aws.calls == [("DescribeStackEvents", {"StackName": STACK_ID}), ("DeleteStack", {"StackName": STACK_ID})]
    assert operation.watched == [(STACK_ID, "8")]
    assert operation.seen == [whole("DELETE_COMPLETE")]


def test_a_deletion_that_fails_twice_says_how_to_abandon_what_is_left(operation: Operation) -> None:
    failed = a_stack("DELETE_FAILED")
    with pytest.raises(UserError) as first:
        deleted(a_stack(), operation, [ROLE, TOPIC], failed)
    assert str(first.value) == "the stack ended in DELETE_FAILED; FleetRole failed first: in use"
    with pytest.raises(UserError) as second:
        deleted(failed, operation, [ROLE, TOPIC, FUNCTION, ROLE], failed)
    assert str(second.value) == (
        f"{first.value}\n  next: if that cannot be mended, such as a function that is gone, abandon what is left: aws "
        "cloudformation delete-stack --region us-east-1 --stack-name annex-bootstrap --deletion-mode "
        "FORCE_DELETE_STACK, then delete by hand: FleetRole (AWS::IAM::Role), ImageFunction (AWS::Lambda::Function)"
    )
    with pytest.raises(UserError, match=r"then delete by hand: what it names$"):
        deleted(failed, operation, [], failed)


def test_a_stack_without_events_has_no_last_one() -> None:
    assert last_event_id(Recorded(DescribeStackEvents={"StackEvents": []}).account().cloudformation, STACK_ID) == ""


class Others:
    """What others do with a stack.

    Attributes:
        states: of the stack, one for each reading; the last one stays.
        checked: the stacks of which it was checked that they are ours, or that no other review is theirs.
        refused: whether AWS refuses the events.
    """

    def __init__(self) -> None:
        """Leave it alone."""
        self.states: list[Stack | None] = []
        self.checked: list[tuple[str, Stack | None]] = []
        self.refused = False


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> Others:
    """What others do."""
    made = Others()

    def find(_client: Any, name: str) -> Stack | None:
        assert name == "annex-bootstrap"
        return made.states.pop(0) if len(made.states) > 1 else made.states[0]

    def check_ours(stack: Stack | None, name: str) -> None:
        assert name == "annex-bootstrap"
        made.checked.append(("ours", stack))

    def check_review(account: Account, stack: Stack) -> None:
        assert account.region == "us-east-1"
        made.checked.append(("review", stack))

    def before(client: Any, stack_id: str) -> str:
        if made.refused:
            client.describe_stack_events(StackName=stack_id)
        assert (client.meta.service_model.service_name, stack_id) == ("cloudformation", STACK_ID)
        return "2"

    monkeypatch.setattr(follow, "find", find)
    monkeypatch.setattr(follow, "check_ours", check_ours)
    monkeypatch.setattr(follow, "check_review", check_review)
    monkeypatch.setattr(follow, "event_before_operation", before)
    return made


def test_a_stack_that_nobody_changes_is_settled(others: Others, operation: Operation) -> None:
    account = Recorded().account()
    for stack in (None, a_stack()):
        others.states, others.checked = [stack], []
        assert settle(account, "annex-bootstrap", operation.seen.append) == (stack, "")
        assert others.checked == [("ours", stack)]
    review = a_stack("REVIEW_IN_PROGRESS")
    others.states, others.checked = [review], []
    settle(account, "annex-bootstrap", operation.seen.append)
    assert others.checked == [("ours", review), ("review", review)]
    assert operation.watched == []


def test_an_operation_of_others_is_followed_to_its_end(others: Others, operation: Operation) -> None:
    done = a_stack("UPDATE_COMPLETE")
    others.states, operation.end = [a_stack("UPDATE_IN_PROGRESS"), done], done
    operation.events = [whole("UPDATE_COMPLETE")]
    settled = settle(Recorded().account(), "annex-bootstrap", operation.seen.append)
    assert settled == (done, "the stack ended in UPDATE_COMPLETE")
    assert (operation.watched, operation.seen) == ([(STACK_ID, "2")], operation.events)


def test_others_who_keep_changing_a_stack_are_not_waited_for_for_ever(others: Others, operation: Operation) -> None:
    others.states = [a_stack("UPDATE_IN_PROGRESS")]
    with pytest.raises(UserError, match=r"^others keep changing the stack annex-bootstrap: agree with them"):
        settle(Recorded().account(), "annex-bootstrap", operation.seen.append)
    assert len(operation.watched) == JOINS


LINES = [
    "INIT_START Runtime Version: python:3.13\n",
    '{"level": "INFO", "message": "creating"}\n',
    'Traceback (most recent call last):\n  File "/var/task/bucket.py"\nbotocore.exceptions.ClientError: refused\n',
    '{"level": "INFO", "message": "creating"}\n',
    "x" * 500,
    "REPORT RequestId: 1\n",
]


GROUP = {
    "StackResourceDetail": {
        "LogicalResourceId": "BucketFunctionLogs",
        "ResourceType": "AWS::Logs::LogGroup",
        "PhysicalResourceId": "/aws/lambda/bucket",
        "ResourceStatus": "CREATE_COMPLETE",
        "LastUpdatedTimestamp": AT,
    }
}


def test_the_log_of_a_failed_function_is_read_without_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    aws = Recorded(
        DescribeStackResource=GROUP, FilterLogEvents=[{"events": []}, {"events": [{"message": line} for line in LINES]}]
    )
    failed = replace(BUCKET, at=AT.fromtimestamp(NOW, AT.tzinfo))
    assert function_log(aws.account(), STACK_ID, failed) == ('{"level": "INFO", "message": "creating"}', "x" * 400)
    (asked,) = aws.of("DescribeStackResource")
    assert asked["StackName"] == STACK_ID
    assert asked["LogicalResourceId"] == Part.LOGS.of("BucketFunction")
    assert aws.of("FilterLogEvents") == [{"logGroupName": "/aws/lambda/bucket", "startTime": (NOW - 900) * 1000}] * 2
    assert pauses == [1]
    many = [{"message": f"line {number}"} for number in range(12)]
    aws = Recorded(DescribeStackResource=GROUP, FilterLogEvents={"events": many})
    assert function_log(aws.account(), STACK_ID, failed) == tuple(f"line {number}" for number in range(4, 12))


def test_a_log_that_is_empty_or_gone_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    aws = Recorded(DescribeStackResource=GROUP, FilterLogEvents={"events": []})
    assert function_log(aws.account(), STACK_ID, BUCKET) == ()
    assert pauses == [1, 1]
    gone = Recorded(DescribeStackResource=RefusedError("AccessDenied", "no", 403))
    assert function_log(gone.account(), STACK_ID, BUCKET) == ()


def test_what_aws_refuses_while_an_operation_is_followed_says_what_was_read(others: Others) -> None:
    denied = RefusedError("AccessDenied", "no", 403)
    account = Recorded(DescribeStackEvents=denied).account()
    with pytest.raises(DeniedError, match="following the stack"):
        follow.follow(account, STACK_ID, "", lambda _: None)
    others.states = [a_stack("UPDATE_IN_PROGRESS")]
    others.refused = True
    with pytest.raises(DeniedError, match="reading the operation in progress"):
        settle(account, "annex-bootstrap", lambda _: None)
