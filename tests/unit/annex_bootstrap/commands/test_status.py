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
        "config": {"path": "/home/you/.condor/user_config", "names_stack": False},
    }


def test_things_are_called_by_their_name_and_fit_into_eighty_columns() -> None:
    lines = describe(status(), verbose=False)
    assert lines == [
        "annex               first-annex_0a1b2c3d-0a1b-2c3d",
        "annex               second",
        "bucket              annex-bootstrap-123456789012-0a1b2c3d-0a1b2c3d4e5f",
        "connectivity check  annex-bootstrap-ConnectivityFunction-0A1B2C3D4E5F6",
        "fleet role          annex-bootstrap-fleet-0a1b2c3d-0a1b2c3d4e5f",
        "image               ami-0a1b2c3d4e5f6a7b8, 31 days old, HTCondor 23.9.6",
        "alarms              none rings",
        "configuration       /home/you/.condor/user_config does not name it",
    ]
    assert max(len(f"  {line}") for line in lines) <= 80


def test_alarms_that_ring_are_named_and_what_aws_does_not_tell_is_unknown() -> None:
    ringing = status() | {"alarms": {"LeaseAlarm": "ALARM", "SweepAlarm": "OK"}, "image": None}
    lines = describe(ringing, verbose=False)
    assert "alarms              ALARM: LeaseAlarm; run annex-bootstrap doctor" in lines
    assert "image               ami-0a1b2c3d4e5f6a7b8" in lines
    assert "alarms              unknown" in describe(status() | {"alarms": None}, verbose=False)


def test_whole_arns_are_there_when_asked_for() -> None:
    shown = "\n".join(describe(status(), verbose=True))
    assert ARN in shown
    assert ROLE in shown
