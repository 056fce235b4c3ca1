"""Why an operation on a stack failed."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from annex_bootstrap.stack.failure import Cause, function_log
from annex_bootstrap.stack.read import Event
from tests.unit.recorded import Recorded, RefusedError

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
FAILED = Event("1", AT, "Bucket", "Custom::Bucket", "CREATE_FAILED", "Bucket: no")
ASKED = {"logGroupName": "group", "startTime": (int(AT.timestamp()) - 900) * 1000}


def logs(*messages: str) -> dict[str, Any]:
    return {"events": [{"message": message} for message in messages]}


def aws(*answers: Any, group: Any = None) -> Recorded:
    detail = {
        "LogicalResourceId": "BucketFunctionLogs",
        "ResourceType": "AWS::Logs::LogGroup",
        "LastUpdatedTimestamp": AT,
        "ResourceStatus": "CREATE_COMPLETE",
        "PhysicalResourceId": "group",
    }
    return Recorded(DescribeStackResource=group or {"StackResourceDetail": detail}, FilterLogEvents=[*answers])


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited, each time."""
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    return waited


def test_a_cause_is_a_sentence_with_the_log_of_its_function_below() -> None:
    assert str(Cause("Bucket", "Bucket: no", ())) == "Bucket failed first: no"
    assert str(Cause("Bucket", "no", ("one", "two"))) == (
        "Bucket failed first: no\n  its function's log:\n    one\n    two"
    )


@pytest.mark.usefixtures("pauses")
def test_the_last_lines_for_people_of_the_functions_own_log_are_read() -> None:
    noise = [
        "INIT_START Runtime",
        "START RequestId: 1",
        "Traceback (most recent call last):",
        '  File "handler.py"',
        "botocore.exceptions.ClientError: no",
        "The above exception was",
        "During handling of",
        "XRAY TraceId: 1",
        "END RequestId: 1",
        "REPORT RequestId: 1",
        "\n\n",
    ]
    made = aws(
        logs(*noise, "zero", "one\ntwo", "two") | {"nextToken": "more"},
        logs("x" * 500, "4", "5", "6", "7", "8"),
    )
    found = function_log(made.account(), "arn:stack", FAILED)
    assert found == ("one", "two", "x" * 400, "4", "5", "6", "7", "8")
    assert made.calls == [
        ("DescribeStackResource", {"StackName": "arn:stack", "LogicalResourceId": "BucketFunctionLogs"}),
        ("FilterLogEvents", ASKED),
        ("FilterLogEvents", ASKED | {"nextToken": "more"}),
    ]


def test_a_log_is_looked_for_some_seconds_because_lines_come_late(pauses: list[float]) -> None:
    made = aws(logs(), logs("late"))
    assert function_log(made.account(), "arn:stack", FAILED) == ("late",)
    assert pauses == [1]
    pauses.clear()
    made = aws(logs(), logs(), logs(), logs("too late"))
    assert function_log(made.account(), "arn:stack", FAILED) == ()
    assert (pauses, made.of("FilterLogEvents")) == ([1, 1], [ASKED] * 3)


def test_where_the_log_cannot_be_read_there_are_no_lines(pauses: list[float]) -> None:
    assert function_log(aws(RefusedError("ResourceNotFoundException")).account(), "arn:stack", FAILED) == ()
    assert function_log(aws(group=RefusedError("AccessDenied")).account(), "arn:stack", FAILED) == ()
    assert pauses == []
