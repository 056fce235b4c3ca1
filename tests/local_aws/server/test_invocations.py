"""What EventBridge calls, and what it counts where it may not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.local_aws.server.principals import Server

RULES = "arn:aws:events:us-east-1:123456789012:rule/*"
PERMISSIONS: dict[str, dict[str, str] | None] = {
    "none": None,
    "of another rule": {"SourceArn": f"{RULES}-another"},
    "with a source account": {"SourceArn": RULES, "SourceAccount": "123456789012"},
}


@pytest.mark.parametrize("permission", PERMISSIONS.values(), ids=PERMISSIONS)
def test_a_function_that_does_not_let_eventbridge_in_is_not_called_and_the_refusal_is_counted(
    server: Server, put_function: Callable[[str], str], permission: dict[str, str] | None
) -> None:
    name = put_function("def handler(event, context): pass")
    assert first_count(server, name, permission) == "FailedInvocations"


def test_the_arn_of_any_rule_lets_every_rule_in(server: Server, put_function: Callable[[str], str]) -> None:
    name = put_function("def handler(event, context): pass")
    assert first_count(server, name, {"SourceArn": RULES}) == "Invocations"


def test_a_function_does_not_make_the_log_group_that_it_names(
    server: Server, put_function: Callable[[str], str]
) -> None:
    name = put_function("def handler(event, context): print('said')")
    functions, logs = server.client("lambda"), server.client("logs")
    functions.update_function_configuration(FunctionName=name, LoggingConfig={"LogGroup": name})
    assert functions.invoke(FunctionName=name)["StatusCode"] == 200
    assert logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"] == []
    logs.create_log_group(logGroupName=name)
    assert functions.invoke(FunctionName=name)["StatusCode"] == 200
    said = logs.filter_log_events(logGroupName=name)["events"]
    logs.delete_log_group(logGroupName=name)
    assert "said" in [event["message"] for event in said]


SLOW = """
import pathlib, threading
def handler(event, context):
    with pathlib.Path(event["log"]).open("a") as log:
        print("start", file=log, flush=True)
        threading.Event().wait(2)
        print("end", file=log)
"""


def test_a_rule_calls_again_when_its_last_call_has_ended(
    server: Server, put_function: Callable[[str], str], tmp_path: Path
) -> None:
    name = put_function(SLOW)
    functions, events, log = server.client("lambda"), server.client("events"), tmp_path / "log"
    functions.add_permission(
        FunctionName=name, StatementId="s", Action="lambda:InvokeFunction", Principal="events.amazonaws.com"
    )
    arn = functions.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    # Ten times while the function runs.
    events.put_rule(Name=name, ScheduleExpression="rate(1 minute)")
    events.put_targets(Rule=name, Targets=[{"Id": "t", "Arn": arn, "Input": json.dumps({"log": str(log)})}])
    try:
        for _ in range(200):
            lines = log.read_text().split() if log.exists() else []
            if len(lines) >= 4:
                break
            time.sleep(0.1)
    finally:
        events.remove_targets(Rule=name, Ids=["t"])
        events.delete_rule(Name=name)
    assert lines[:4] == ["start", "end"] * 2


def first_count(server: Server, function: str, permission: dict[str, str] | None) -> str:
    """Let a rule fire at a function, and return the metric that counts it first."""
    functions, events = server.client("lambda"), server.client("events")
    if permission is not None:
        functions.add_permission(
            FunctionName=function,
            StatementId="s",
            Action="lambda:InvokeFunction",
            Principal="events.amazonaws.com",
            **permission,
        )
    arn = functions.get_function(FunctionName=function)["Configuration"]["FunctionArn"]
    events.put_rule(Name=function, ScheduleExpression="rate(1 minute)")
    events.put_targets(Rule=function, Targets=[{"Id": "t", "Arn": arn, "Input": json.dumps({})}])
    try:
        for _ in range(200):
            if count(server, "AWS/Events", "FailedInvocations", RuleName=function):
                return "FailedInvocations"
            if count(server, "AWS/Lambda", "Invocations", FunctionName=function):
                return "Invocations"
            time.sleep(0.1)
    finally:
        events.remove_targets(Rule=function, Ids=["t"])
        events.delete_rule(Name=function)
    raise AssertionError("nothing was counted in twenty seconds")


def count(server: Server, namespace: str, metric: str, **dimension: str) -> float:
    """Return the sum of a metric over the last hour."""
    now = datetime.now(UTC)
    points: list[dict[str, Any]] = server.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimension.items()],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
        Period=3600,
        Statistics=["Sum"],
    )["Datapoints"]
    return sum(float(point["Sum"]) for point in points)
