"""What ``status`` prints for people."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from annex_bootstrap.commands.status import LastCall, RegionStatus, describe
from annex_bootstrap.stack.image import StackImage
from annex_contract.stack import Output

ARN = "arn:aws:lambda:us-east-1:123456789012:function:annex-bootstrap-ConnectivityFunction-0A1B2C3D4E5F6"
ROLE = "arn:aws:iam::123456789012:role/annex-bootstrap/annex-bootstrap-fleet-0a1b2c3d-0a1b2c3d4e5f"
NOW = datetime(2026, 11, 22, 13, tzinfo=UTC)

STATUS = RegionStatus(
    region="us-east-1",
    stack="annex-bootstrap",
    deployed=True,
    status="UPDATE_COMPLETE",
    annexes=("first-annex_0a1b2c3d-0a1b-2c3d", "second"),
    outputs={
        str(Output.CONNECTIVITY_FUNCTION_ARN): ARN,
        str(Output.IAM_FLEET_ROLE_ARN): ROLE,
        str(Output.S3_BUCKET_NAME): "annex-bootstrap-123456789012-0a1b2c3d-0a1b2c3d4e5f",
        str(Output.IMAGE_ID): "ami-0a1b2c3d4e5f6a7b8",
    },
    image=StackImage("ami-0a1b2c3d4e5f6a7b8", True, "available", datetime(2026, 10, 22, tzinfo=UTC), "", "23.9.6", ""),
    alarms={"LeaseAlarm": "OK", "SweepAlarm": "INSUFFICIENT_DATA", "SilenceAlarm": "OK"},
    dollars_per_hour=Decimal("0.2016"),
    last_call=LastCall(datetime(2026, 11, 22, 12, 34, tzinfo=UTC), stack_is_new=False),
    config=Path("/home/you/.condor/user_config"),
)


def shown(status: RegionStatus, *, verbose: bool = False) -> list[str]:
    return describe(status, NOW, verbose=verbose)


def test_things_are_called_by_their_name_and_fit_into_eighty_columns() -> None:
    lines = shown(STATUS)
    assert lines == [
        "annex               first-annex_0a1b2c3d-0a1b-2c3d",
        "annex               second",
        "cost                $0.2016/hour on demand",
        "bucket              annex-bootstrap-123456789012-0a1b2c3d-0a1b2c3d4e5f",
        "connectivity check  annex-bootstrap-ConnectivityFunction-0A1B2C3D4E5F6",
        "fleet role          annex-bootstrap-fleet-0a1b2c3d-0a1b2c3d4e5f",
        "image               ami-0a1b2c3d4e5f6a7b8, 31 days old, HTCondor 23.9.6",
        "alarms              none raised",
        "lease function ran  2026-11-22T12:34:00+00:00",
        "configuration       /home/you/.condor/user_config does not name it",
    ]
    assert max(len(f"  {line}") for line in lines) <= 80


def test_alarms_that_are_raised_are_named_and_what_aws_does_not_say_is_unknown() -> None:
    lines = shown(replace(STATUS, alarms={"LeaseAlarm": "ALARM", "SweepAlarm": "OK"}, image=None))
    assert "alarms              ALARM: LeaseAlarm; run annex-bootstrap doctor" in lines
    assert "image               ami-0a1b2c3d4e5f6a7b8" in lines
    assert "alarms              unknown" in shown(replace(STATUS, alarms=None))


def test_a_cost_or_a_last_call_that_aws_does_not_say_is_unknown() -> None:
    lines = shown(replace(STATUS, dollars_per_hour=None, last_call=None))
    assert "cost                unknown" in lines
    assert "lease function ran  unknown" in lines
    idle = shown(replace(STATUS, last_call=LastCall(None, stack_is_new=False)))
    assert "lease function ran  not in the last 3 hours" in idle
    new = shown(replace(STATUS, last_call=LastCall(None, stack_is_new=True)))
    assert "lease function ran  not yet: the stack is new" in new


def test_what_the_caller_may_not_read_names_the_policy_that_allows_it_and_fits() -> None:
    denied = ("alarms", "dollars_per_hour", "last_call")
    lines = shown(replace(STATUS, alarms=None, dollars_per_hour=None, last_call=None, denied=denied))
    rows = [line for line in lines if line.endswith("no right to read it (see annex-bootstrap policy operator)")]
    assert [row.split("  ")[0] for row in rows] == ["cost", "alarms", "lease function ran"]
    assert max(len(f"  {line}") for line in rows) <= 80


def test_verbose_shows_whole_arns() -> None:
    whole = "\n".join(shown(STATUS, verbose=True))
    assert ARN in whole
    assert ROLE in whole
