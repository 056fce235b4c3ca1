"""Machines that ended by themselves."""

from __future__ import annotations

from typing import Any

import pytest

from annex_bootstrap.annexes.failures import describe_ended, failure_lines, failure_of, find_failures
from annex_contract.stack import ANNEX_TAG
from tests.unit.recorded import Recorded

PROFILE = "arn:aws:iam::123456789012:instance-profile/ours"


def machine(state: str, code: str = "", message: str = "", annex: str = "first") -> dict[str, Any]:
    reason = {"StateReason": {"Code": code, "Message": message}} if code else {}
    tags = [{"Key": ANNEX_TAG, "Value": annex}]
    return {"State": {"Name": state}, "IamInstanceProfile": {"Arn": PROFILE, "Id": "AIPA"}, "Tags": tags} | reason


@pytest.mark.parametrize(
    ("state", "code", "message", "failure"),
    [
        ("terminated", "Server.SpotInstanceTermination", "spot", ("Server.SpotInstanceTermination", "spot")),
        ("shutting-down", "Client.InternalError", "Client.InternalError: key", ("Client.InternalError", "key")),
        ("terminated", "Server.InternalError", "", ("Server.InternalError", "no reason given")),
        ("terminated", "Server.InternalError", "Server.InternalError: ", ("Server.InternalError", "no reason given")),
        ("running", "Server.InternalError", "odd", None),
        ("terminated", "", "", None),
        ("terminated", "Client.UserInitiatedShutdown", "a person", None),
        ("terminated", "Client.InstanceInitiatedShutdown", "no jobs", None),
    ],
)
def test_a_machine_failed_where_it_has_ended_and_nobody_wanted_that(
    state: str, code: str, message: str, failure: tuple[str, str] | None
) -> None:
    assert failure_of(machine(state, code, message)) == failure


def test_the_machines_that_ended_are_those_of_the_stacks_profiles() -> None:
    aws = Recorded(DescribeInstances={"Reservations": [{"Instances": [{"InstanceId": "i-1"}]}]})
    assert describe_ended(aws.account(), frozenset({"b", "a"})) == [{"InstanceId": "i-1"}]
    assert aws.of("DescribeInstances") == [
        {
            "Filters": [
                {"Name": "instance-state-name", "Values": ["shutting-down", "terminated"]},
                {"Name": "iam-instance-profile.arn", "Values": ["a", "b"]},
            ]
        }
    ]


def test_failures_are_counted_by_annex_and_reason() -> None:
    ended = [
        machine("terminated", "Server.Oops", "no disk"),
        machine("terminated", "Server.Oops", "no disk"),
        machine("terminated", "Client.InternalError", "key"),
        machine("terminated", "Server.Oops", "no disk", annex="second"),
        machine("terminated", "Client.UserInitiatedShutdown", "wanted", annex="third"),
        machine("terminated", "Server.Oops", "no disk") | {"IamInstanceProfile": {"Arn": "others", "Id": "AIPA"}},
    ]
    aws = Recorded(DescribeInstances={"Reservations": [{"Instances": ended}]})
    found = find_failures(aws.account(), frozenset({PROFILE}))
    assert found == {
        "first": {"Server.Oops: no disk": 2, "Client.InternalError: key": 1},
        "second": {"Server.Oops: no disk": 1},
    }
    assert failure_lines("first", found["first"]) == [
        "1 machine of first ended in the last hour: Client.InternalError: key",
        "2 machines of first ended in the last hour: Server.Oops: no disk",
    ]
