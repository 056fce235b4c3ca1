"""The IDs of requests, by which two who decide alike start nothing twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from annex_bootstrap.growth.acting import LATEST, PERIOD, QUIET, quiet_until, request_id
from annex_bootstrap.growth.cloud import Instance, parse_instance
from annex_bootstrap.growth.model import Start

NOW = 1_800_000_000
START = Start("grow-a", "alice", "us-east-1", ("m7i.large",), False, 2, 2, None, ("a",))
THERE = Instance("i-1", "grow-a", "us-east-1", "m7i.large", False, NOW, True)


def test_the_same_step_has_the_same_id_whatever_else_is_known() -> None:
    first = request_id(START, "stack", [THERE], [], [], NOW)
    assert len(first) == 32
    # The negotiator may see the jobs between two readings, and then their group has another key.
    other_view = replace(START, count=5, types=("c7i.large",), keys=("b",))
    elsewhere = replace(THERE, instance_id="i-2", annex="other")
    assert request_id(other_view, "stack", [elsewhere, THERE], [], [], NOW + 5) == first


@pytest.mark.parametrize(
    "other",
    [
        request_id(replace(START, annex="grow-b"), "stack", [THERE], [], [], NOW),
        request_id(replace(START, spot=True), "stack", [THERE], [], [], NOW),
        request_id(replace(START, number=1), "stack", [THERE], [], [], NOW),
        request_id(START, "other", [THERE], [], [], NOW),
        request_id(START, "stack", [], [], [], NOW),
        request_id(START, "stack", [THERE], ["m7i.large"], [], NOW),
        request_id(START, "stack", [THERE], [], [], NOW + PERIOD),
    ],
)
def test_another_step_has_another_id(other: str) -> None:
    assert other != request_id(START, "stack", [THERE], [], [], NOW)


def test_two_who_decide_one_before_and_one_after_a_backoff_ends_make_the_same_request() -> None:
    first = request_id(START, "stack", [THERE], [], [], NOW + 599)
    assert request_id(START, "stack", [THERE], [], [], NOW + 601) == first


def test_a_step_that_is_over_and_left_everything_as_it_was_has_the_next_id() -> None:
    first = request_id(START, "stack", [THERE], [], ["other"], NOW)
    second = request_id(START, "stack", [THERE], [], [first], NOW)
    third = request_id(START, "stack", [THERE], [], [second, first], NOW + 599)
    assert len({first, second, third}) == 3
    assert request_id(START, "stack", [THERE], [], [second], NOW) == first


def test_nobody_decides_shortly_before_the_ids_change() -> None:
    end = NOW + PERIOD
    assert [quiet_until(end - QUIET + later) for later in (-0.5, 0, QUIET - 0.5, QUIET)] == [None, end, end, None]
    assert 0 < LATEST < QUIET < PERIOD


def test_a_machine_that_ended_says_when_and_why() -> None:
    described = {
        "InstanceId": "i-1",
        "InstanceType": "m7i.large",
        "InstanceLifecycle": "spot",
        "LaunchTime": datetime.fromtimestamp(NOW, UTC),
        "State": {"Name": "terminated"},
        "StateReason": {"Code": "Server.SpotInstanceTermination"},
        "StateTransitionReason": "Server.SpotInstanceTermination (2027-01-15 08:10:00 GMT)",
        "Tags": [
            {"Key": "htcondor:AnnexName", "Value": "grow-a"},
            {"Key": "annex-bootstrap:request", "Value": "r1"},
        ],
        "IamInstanceProfile": {"Arn": "profile"},
    }
    ended = int(datetime(2027, 1, 15, 8, 10, tzinfo=UTC).timestamp())
    assert parse_instance(described, "us-east-1", frozenset({"profile"})) == Instance(
        "i-1", "grow-a", "us-east-1", "m7i.large", True, NOW, False, "r1", "Server.SpotInstanceTermination", ended
    )
    running = {**described, "State": {"Name": "running"}, "StateTransitionReason": ""}
    assert parse_instance(running, "us-east-1", frozenset({"profile"})) == Instance(
        "i-1", "grow-a", "us-east-1", "m7i.large", True, NOW, True, "r1"
    )
