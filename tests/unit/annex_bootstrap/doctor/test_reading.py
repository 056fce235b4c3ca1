"""What checks of the doctor ask of AWS and of HTCondor, and the facts that they make of the answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from annex_bootstrap.doctor import pool_checks, role_checks
from annex_bootstrap.doctor.check import Setup
from annex_bootstrap.doctor.function_checks import ConnectivityFunction, LeaseFunction
from annex_bootstrap.doctor.pool_checks import AccessPointCollector, AnnexFeature
from annex_bootstrap.doctor.role_checks import FleetRole, InstanceProfile
from annex_bootstrap.pool.htcondor import Configuration
from tests.unit.annex_bootstrap.commands.conftest import OUTPUTS, a_stack
from tests.unit.annex_bootstrap.growth.cases import NOW
from tests.unit.recorded import Recorded, RefusedError

GONE = RefusedError("NoSuchEntity", "gone", 404)


def setup(aws: Recorded, *, deployed: bool = True) -> Setup:
    made = Setup(aws.account(), "annex-bootstrap", Path("user_config"))
    vars(made)["deployed"] = a_stack() if deployed else None
    return made


@pytest.mark.parametrize("check", [LeaseFunction, ConnectivityFunction, FleetRole, InstanceProfile])
def test_without_a_stack_nothing_is_asked(check: Any) -> None:
    assert check.read(setup(Recorded(), deployed=False)) is None


def function(**more: Any) -> dict[str, Any]:
    return {"FunctionName": "annex-bootstrap-F", **more}


EVENTS = {"events": [{"message": '{"error": "no rule"}'}, {"message": "Task timed out"}]}


@pytest.mark.parametrize(
    ("check", "output"),
    [(LeaseFunction, "LeaseFunctionARN"), (ConnectivityFunction, "ConnectivityFunctionARN")],
)
@pytest.mark.parametrize(
    ("answer", "group", "state", "reason"),
    [
        (function(), "/aws/lambda/annex-bootstrap-F", "Active", ""),
        (
            function(State="Failed", StateReason="no image", LoggingConfig={"LogGroup": "mine"}),
            "mine",
            "Failed",
            "no image",
        ),
    ],
)
def test_a_function_is_read_with_the_failures_of_its_last_day(
    monkeypatch: pytest.MonkeyPatch,
    check: Any,
    output: str,
    answer: dict[str, Any],
    group: str,
    state: str,
    reason: str,
) -> None:
    monkeypatch.setattr("time.time", lambda: NOW + 0.5)
    aws = Recorded(GetFunctionConfiguration=answer, FilterLogEvents=EVENTS)
    assert check.read(setup(aws)) == check(state, reason, ["no rule", "Task timed out"])
    assert aws.of("GetFunctionConfiguration") == [{"FunctionName": OUTPUTS[output]}]
    (asked,) = aws.of("FilterLogEvents")
    assert asked == {"logGroupName": group, "startTime": (NOW - 86400) * 1000, "filterPattern": "?ERROR ?timed"}


def test_a_function_that_is_gone_has_no_state() -> None:
    aws = Recorded(GetFunctionConfiguration=RefusedError("ResourceNotFoundException", "gone", 404))
    assert LeaseFunction.read(setup(aws)) == LeaseFunction("", "", [])


def role(name: str) -> dict[str, Any]:
    trust = '{"Statement": [{"Effect": "Allow", "Principal": {"Service": "spotfleet.amazonaws.com"}}]}'
    return {
        "Role": {
            "Path": "/",
            "RoleName": name,
            "RoleId": "AROAMADEUPMADEUPMADE",
            "Arn": f"arn:aws:iam::123456789012:role/annex-bootstrap/{name}",
            "CreateDate": a_stack().changed,
            "AssumeRolePolicyDocument": trust,
        }
    }


FLEET = OUTPUTS["IamFleetRoleARN"]
SPOT, SPOT_FLEET = "AWSServiceRoleForEC2Spot", "AWSServiceRoleForEC2SpotFleet"


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        (set(), FleetRole(FLEET, ["spotfleet.amazonaws.com"], [])),
        ({SPOT}, FleetRole(FLEET, ["spotfleet.amazonaws.com"], ["spot.amazonaws.com"])),
        (
            {SPOT, SPOT_FLEET},
            FleetRole(FLEET, ["spotfleet.amazonaws.com"], ["spot.amazonaws.com", "spotfleet.amazonaws.com"]),
        ),
        ({FLEET.rpartition("/")[2]}, FleetRole(FLEET, None)),
    ],
)
def test_the_fleet_role_is_read_with_whom_it_trusts_and_awss_own_roles(missing: set[str], expected: FleetRole) -> None:
    def get_role(arguments: dict[str, Any]) -> dict[str, Any]:
        if arguments["RoleName"] in missing:
            raise GONE
        return role(arguments["RoleName"])

    aws = Recorded(GetRole=get_role)
    assert FleetRole.read(setup(aws)) == expected
    names = [FLEET.rpartition("/")[2], *([SPOT, SPOT_FLEET] if expected.trusted else [])]
    assert [asked["RoleName"] for asked in aws.of("GetRole")] == names


def test_awss_own_roles_that_may_not_be_read_are_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    def get_role(arguments: dict[str, Any]) -> dict[str, Any]:
        if arguments["RoleName"].startswith("AWSServiceRole"):
            raise RefusedError("AccessDenied", "not yours", 403)
        return role(arguments["RoleName"])

    monkeypatch.setattr(role_checks, "SPOT_SERVICE_LINKED_ROLES", {SPOT: "spot.amazonaws.com"})
    assert FleetRole.read(setup(Recorded(GetRole=get_role))) == FleetRole(FLEET, ["spotfleet.amazonaws.com"], [])


def test_the_instance_profiles_are_read_with_the_roles_in_them() -> None:
    annex, start = OUTPUTS["InstanceConfigurationProfile"], OUTPUTS["StartInstanceProfile"]
    missing = set[str]()

    def get(arguments: dict[str, Any]) -> dict[str, Any]:
        name = arguments["InstanceProfileName"]
        if name in missing:
            raise GONE
        found = {
            "Path": "/",
            "InstanceProfileName": name,
            "InstanceProfileId": "AIPAMADEUPMADEUPMADE",
            "Arn": name.rjust(20),
            "CreateDate": a_stack().changed,
            "Roles": [role(f"of-{name}")["Role"]],
        }
        return {"InstanceProfile": found}

    aws = Recorded(GetInstanceProfile=get)
    expected = {annex: OUTPUTS["InstanceRoleARN"], start: OUTPUTS["StartRoleId"]}
    names = {arn: arn.rpartition("/")[2] for arn in expected}
    begin = "arn:aws:iam::123456789012:role/annex-bootstrap/of-"
    roles = {arn: [f"{begin}{name}", "AROAMADEUPMADEUPMADE"] for arn, name in names.items()}
    assert InstanceProfile.read(setup(aws)) == InstanceProfile(expected, roles)
    assert [asked["InstanceProfileName"] for asked in aws.of("GetInstanceProfile")] == [names[annex], names[start]]
    missing.add(names[start])
    assert InstanceProfile.read(setup(aws)) == InstanceProfile(expected, roles | {start: None})


@pytest.mark.parametrize("works", [True, False])
def test_the_access_points_collector_is_asked_for_its_schedds(monkeypatch: pytest.MonkeyPatch, works: bool) -> None:
    asked: list[tuple[str, ...]] = []

    def ask_collector(*words: str) -> list[str]:
        asked.append(words)
        return ["schedd@ap"]

    monkeypatch.setattr(AnnexFeature, "works_in", lambda _: works)
    monkeypatch.setattr(Configuration, "ask", lambda _, knob: {"ANNEX_COLLECTOR": "ap:9618"}[knob])
    monkeypatch.setattr(pool_checks, "ask_collector", ask_collector)
    expected = AccessPointCollector("ap:9618", ["schedd@ap"]) if works else None
    assert AccessPointCollector.read(setup(Recorded())) == expected
    assert asked == ([("ap:9618", "Name", "-schedd")] if works else [])
