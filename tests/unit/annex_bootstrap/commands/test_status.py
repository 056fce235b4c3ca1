"""``status``: what is read of each region, and what is printed for people."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from annex_bootstrap.commands.status import LastCall, RegionStatus, Status, describe, status
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.pool import blocks
from annex_bootstrap.stack.image import StackImage
from annex_bootstrap.target import Target
from annex_contract import __version__
from annex_contract.stack import Output
from tests.unit.annex_bootstrap.commands import test_leases
from tests.unit.annex_bootstrap.commands.conftest import OUTPUTS, PARAMETERS, STACK_ID, a_stack, described
from tests.unit.recorded import Recorded, RefusedError

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


def test_an_image_is_as_old_as_it_is_and_has_the_htcondor_that_is_known() -> None:
    image = StackImage("ami-1", True, "available", NOW - timedelta(days=1, hours=23), "", "", "")
    assert "image               ami-1, 1 day old" in shown(replace(STATUS, image=image))
    assert "image               ami-1" in shown(replace(STATUS, image=replace(image, created=None)))


def test_every_output_that_people_know_has_a_name() -> None:
    outputs = {str(output): f"arn:x:y/{output}" for output in Output}
    lines = shown(replace(STATUS, outputs=outputs, image=None))
    assert [line.split("  ")[0] for line in lines[3:-3]] == [
        *("bucket", "lease function", "connectivity check", "machines' profile", "fleet role", "security group"),
        *("policy for users", "policy for start", "launch template", "image", "instance type", "key pair"),
    ]
    assert lines[9] == "policy for users    AnnexUserPolicyARN"


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


CALLED = datetime(2026, 11, 22, 12, 34, tzinfo=UTC)


def resource(arguments: dict[str, Any]) -> dict[str, Any]:
    name = arguments["LogicalResourceId"]
    if name == "ThrottleAlarm":
        raise RefusedError("ValidationError", "an older version's stack has none")
    return {
        "StackResourceDetail": {
            "LogicalResourceId": name,
            "PhysicalResourceId": f"annex-bootstrap-{name}-A",
            "ResourceType": "made-up",
            "LastUpdatedTimestamp": CALLED,
            "ResourceStatus": "CREATE_COMPLETE",
        }
    }


IMAGE = {
    "ImageId": "ami-0a1b",
    "State": "available",
    "CreationDate": "2026-10-22T00:00:00.000Z",
    "Tags": [{"Key": "annex-bootstrap:base", "Value": "ami-old"}, {"Key": "annex-bootstrap:htcondor", "Value": "24.1"}],
}
ALARMS = {"LeaseAlarm": "OK", "SweepAlarm": "ALARM", "SilenceAlarm": "OK"}


def answers(**changed: Any) -> dict[str, Any]:
    """Return the answers of an account whose stack has two annexes."""
    alarms = [{"AlarmName": f"annex-bootstrap-{name}-A", "StateValue": state} for name, state in ALARMS.items()]
    points = [(CALLED - timedelta(hours=1), 1.0), (CALLED, 2.0), (CALLED + timedelta(minutes=1), 0.0)]
    return (
        test_leases.answers(test_leases.MACHINES)
        | {
            "DescribeStackResource": resource,
            "DescribeAlarms": {"MetricAlarms": alarms},
            "GetMetricStatistics": {"Datapoints": [{"Timestamp": at, "Sum": count} for at, count in points]},
            "GetParameter": {"Parameter": {"Value": "ami-new"}},
            "DescribeImages": {"Images": [IMAGE]},
        }
        | changed
    )


Run = Callable[..., Status]


@pytest.fixture
def run(screen: Screen, targeted: Callable[..., Target], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(time, "time", lambda: test_leases.NOW + 0.5)

    def run(*regions: str, options: Mapping[str, bool] | None = None, **changed: Any) -> Status:
        return status(screen, targeted(Recorded(**answers(**changed)), *regions), **(options or {}))

    return run


def test_everything_is_read_of_a_deployed_stack(run: Run, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run()
    stack = a_stack()
    assert done.ok
    assert done.regions == (
        RegionStatus(
            region="us-east-1",
            stack="annex-bootstrap",
            deployed=True,
            status="CREATE_COMPLETE",
            reason="",
            version=__version__,
            last_changed=stack.changed,
            parameters=PARAMETERS,
            outputs=OUTPUTS,
            annexes=("first", "later"),
            dollars_per_hour=Decimal("0.30"),
            last_call=LastCall(CALLED, stack_is_new=False),
            image=StackImage(
                "ami-0a1b", True, "available", datetime(2026, 10, 22, tzinfo=UTC), "ami-old", "24.1", "ami-new"
            ),
            alarms=ALARMS,
            denied=(),
            config=home / "user_config",
            config_names_stack=False,
        ),
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "annex-bootstrap in us-east-1: CREATE_COMPLETE",
        f"  version {__version__}, last changed 2026-01-01T00:00:00+00:00",
    ]
    assert "  cost                $0.3000/hour on demand" in lines
    assert "  alarms              ALARM: SweepAlarm; run annex-bootstrap doctor" in lines
    assert "  lease function ran  2026-11-22T12:34:00+00:00" in lines
    assert f"  configuration       {home}/user_config does not name it" in lines
    assert not [line for line in lines if "arn:" in line]


def test_verbose_prints_the_outputs(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(options={"verbose": True})
    lines = capsys.readouterr().out.splitlines()
    assert lines[-len(OUTPUTS) :] == [f"  {name:<28}  {value}" for name, value in sorted(OUTPUTS.items())]


@pytest.mark.parametrize(
    ("stack", "region", "named"),
    [("annex-bootstrap", "us-east-1", True), ("other", "us-east-1", False), ("annex-bootstrap", "eu-west-1", False)],
)
def test_the_configuration_names_the_stack_if_the_regions_part_of_the_block_does(
    run: Run, home: Path, capsys: pytest.CaptureFixture[str], stack: str, region: str, named: bool
) -> None:
    (home / "user_config").write_text(blocks.render(stack, region, dict.fromkeys(Output, "made-up")))
    assert run().regions[0].config_names_stack is named
    line = f"{home}/user_config {'names it' if named else 'does not name it'}"
    assert capsys.readouterr().out.splitlines()[-1] == f"  configuration       {line}"


@pytest.mark.parametrize(
    ("operation", "field"),
    [
        ("GetProducts", "dollars_per_hour"),
        ("GetMetricStatistics", "last_call"),
        ("DescribeImages", "image"),
        ("DescribeAlarms", "alarms"),
    ],
)
@pytest.mark.parametrize(("code", "is_denied"), [("AccessDenied", True), ("InternalError", False)])
def test_what_aws_refuses_is_not_known_and_the_rest_is(
    run: Run, operation: str, field: str, code: str, is_denied: bool
) -> None:
    whole, (partial,) = run().regions[0], run(**{operation: RefusedError(code, "no")}).regions
    missing: dict[str, Any] = {field: None, "denied": (field,) if is_denied else ()}
    assert partial == replace(whole, **missing)


def test_a_price_that_aws_does_not_name_leaves_the_cost_unknown(run: Run) -> None:
    (region,) = run(GetProducts={"PriceList": []}).regions
    assert (region.dollars_per_hour, region.denied) == (None, ())


def test_without_annexes_nobody_is_asked_for_machines(
    screen: Screen, targeted: Callable[..., Target], capsys: pytest.CaptureFixture[str]
) -> None:
    aws = Recorded(**answers(ListRuleNamesByTarget={"RuleNames": []}))
    (region,) = status(screen, targeted(aws)).regions
    assert (region.annexes, region.dollars_per_hour) == ((), Decimal(0))
    assert "DescribeInstances" not in aws.names
    assert aws.of("ListRuleNamesByTarget") == [{"TargetArn": OUTPUTS["LeaseFunctionARN"]}]
    assert aws.of("DescribeStackResource")[0] == {"StackName": STACK_ID, "LogicalResourceId": "LeaseFunction"}
    (asked,) = aws.of("GetMetricStatistics")
    assert asked["Dimensions"] == [{"Name": "FunctionName", "Value": "annex-bootstrap-LeaseFunction-A"}]
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:4] == ["  annexes             none", "  cost                $0.0000/hour on demand"]


def test_machines_of_another_stack_cost_this_one_nothing(run: Run) -> None:
    profile = {"Arn": "arn:aws:iam::123456789012:instance-profile/annex-bootstrap/other"}
    theirs = [machine | {"IamInstanceProfile": profile} for machine in test_leases.MACHINES]
    assert run(DescribeInstances={"Reservations": [{"Instances": theirs}]}).regions[0].dollars_per_hour == Decimal(0)


def test_a_stack_that_is_being_deleted_has_a_status_and_a_reason_but_no_outputs(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    going = described(replace(a_stack("DELETE_IN_PROGRESS"), outputs={}))
    going["Stacks"][0]["StackStatusReason"] = "somebody asked for it"
    done = run(DescribeStacks=going)
    (region,) = done.regions
    assert (done.ok, region.deployed, region.status, region.version) == (False, False, "DELETE_IN_PROGRESS", None)
    assert (region.reason, region.annexes, region.image) == ("somebody asked for it", ("first", "later"), None)
    assert capsys.readouterr().out.splitlines()[:3] == [
        "annex-bootstrap in us-east-1: DELETE_IN_PROGRESS",
        "  somebody asked for it",
        "  version unknown, last changed 2026-01-01T00:00:00+00:00",
    ]


def test_a_new_stack_is_one_that_changed_in_the_last_three_hours(run: Run) -> None:
    for hours, is_new in ((2.9, True), (3.1, False)):
        changed = datetime.now(UTC) - timedelta(hours=hours)
        (region,) = run(DescribeStacks=described(replace(a_stack(), changed=changed))).regions
        assert region.last_call == LastCall(CALLED, stack_is_new=is_new)


def test_without_a_stack_that_is_said_and_the_command_fails(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(DescribeStacks=RefusedError("ValidationError", "Stack with id annex-bootstrap does not exist"))
    assert (done.ok, done.regions) == (False, (RegionStatus("us-east-1", "annex-bootstrap"),))
    assert capsys.readouterr().out == "There is no stack annex-bootstrap in us-east-1.\n"


@pytest.mark.parametrize("regions", [["eu-west-1"], ["eu-west-1", "us-east-1"]])
def test_a_stack_that_cannot_be_read_is_an_error_of_its_region(
    run: Run, capsys: pytest.CaptureFixture[str], regions: list[str]
) -> None:
    answer = RefusedError("InternalFailure", "out of order")
    done = run(*regions, DescribeStacks=[answer, described(a_stack())] if len(regions) > 1 else answer)
    assert (done.ok, [region.region for region in done.regions]) == (False, regions)
    (failed,) = [region for region in done.regions if region.error]
    assert failed == RegionStatus(failed.region, "annex-bootstrap", error=failed.error)
    prefix = f"{failed.region}: " if len(regions) > 1 else ""
    assert capsys.readouterr().err == f"annex-bootstrap: {prefix}{failed.error}\n"
    assert "out of order" in str(failed.error)
