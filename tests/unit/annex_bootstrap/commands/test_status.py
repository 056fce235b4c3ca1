"""What ``status`` prints for people."""

from __future__ import annotations

from typing import Any

from annex_bootstrap.commands.status import describe
from annex_contract.stack import Output

ARN = "arn:aws:lambda:us-east-1:123456789012:function:annex-bootstrap-ConnectivityFunction-0A1B2C3D4E5F6"
ROLE = "arn:aws:iam::123456789012:role/annex-bootstrap/annex-bootstrap-fleet-0a1b2c3d-0a1b2c3d4e5f"


def status() -> dict[str, Any]:
    return {
        "annexes": ["first-annex_0a1b2c3d-0a1b-2c3d", "second"],
        "outputs": {
            str(Output.CONNECTIVITY_FUNCTION_ARN): ARN,
            str(Output.IAM_FLEET_ROLE_ARN): ROLE,
            str(Output.S3_BUCKET_NAME): "annex-bootstrap-123456789012-0a1b2c3d-0a1b2c3d4e5f",
            str(Output.IMAGE_ID): "ami-0a1b2c3d4e5f6a7b8",
        },
        "image": {"image_id": "ami-0a1b2c3d4e5f6a7b8", "state": "available", "days": 31, "htcondor": "23.9.6"},
        "alarms": {"LeaseAlarm": "OK", "SweepAlarm": "INSUFFICIENT_DATA", "SilenceAlarm": "OK"},
        "dollars_an_hour": "0.2016",
        "sweep": {"last_call": "2026-11-22T12:34:00+00:00", "new": False},
        "denied": [],
        "config": {"path": "/home/you/.condor/user_config", "names_stack": False},
    }


def test_things_are_called_by_their_name_and_fit_into_eighty_columns() -> None:
    lines = describe(status(), verbose=False)
    assert lines == [
        "annex               first-annex_0a1b2c3d-0a1b-2c3d",
        "annex               second",
        "cost                0.2016 $/hour on demand",
        "bucket              annex-bootstrap-123456789012-0a1b2c3d-0a1b2c3d4e5f",
        "connectivity check  annex-bootstrap-ConnectivityFunction-0A1B2C3D4E5F6",
        "fleet role          annex-bootstrap-fleet-0a1b2c3d-0a1b2c3d4e5f",
        "image               ami-0a1b2c3d4e5f6a7b8, 31 days old, HTCondor 23.9.6",
        "alarms              none raised",
        "lease function ran  2026-11-22T12:34:00+00:00",
        "configuration       /home/you/.condor/user_config does not name it",
    ]
    assert max(len(f"  {line}") for line in lines) <= 80


def test_alarms_that_are_raised_are_named_and_what_aws_does_not_tell_is_unknown() -> None:
    ringing = status() | {"alarms": {"LeaseAlarm": "ALARM", "SweepAlarm": "OK"}, "image": None}
    lines = describe(ringing, verbose=False)
    assert "alarms              ALARM: LeaseAlarm; run annex-bootstrap doctor" in lines
    assert "image               ami-0a1b2c3d4e5f6a7b8" in lines
    assert "alarms              unknown" in describe(status() | {"alarms": None}, verbose=False)


def test_a_cost_or_a_last_call_that_aws_does_not_tell_is_unknown() -> None:
    lines = describe(status() | {"dollars_an_hour": None, "sweep": None}, verbose=False)
    assert "cost                unknown" in lines
    assert "lease function ran  unknown" in lines
    idle = describe(status() | {"sweep": {"last_call": None, "new": False}}, verbose=False)
    assert "lease function ran  not in the last 3 hours" in idle
    new = describe(status() | {"sweep": {"last_call": None, "new": True}}, verbose=False)
    assert "lease function ran  not yet: the stack is new" in new


def test_what_the_caller_may_not_read_names_the_policy_that_allows_it_and_fits() -> None:
    denied = ["alarms", "dollars_an_hour", "sweep"]
    lines = describe(status() | dict.fromkeys(denied) | {"denied": denied}, verbose=False)
    rows = [line for line in lines if line.endswith("no right to read it (see annex-bootstrap policy operator)")]
    assert [row.split("  ")[0] for row in rows] == ["cost", "alarms", "lease function ran"]
    assert max(len(f"  {line}") for line in rows) <= 80


def test_whole_arns_are_there_when_asked_for() -> None:
    shown = "\n".join(describe(status(), verbose=True))
    assert ARN in shown
    assert ROLE in shown
