"""``annex-bootstrap rehearse``: which call which statement of an institution's documents denies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

GUARDRAILS = Path(__file__).parent / "guardrails"

STEPS = ["deploy", "image", "start", "lease", "update", "delete"]


def rehearse(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Run the command in the folder of the guardrails; return its exit code and its JSON document."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, "-m", "annex_bootstrap", "rehearse", *arguments, "--output", "json"],
        cwd=GUARDRAILS,
        env=environ | {"AWS_PROFILE": "somebody-elses"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def denied(result: Mapping[str, Any], file: str) -> set[tuple[str, str, str, str | None]]:
    """Return step, caller, call and statement of each denial by a file."""
    return {
        (denial["step"], denial["who"], denial["call"], denial["statement"])
        for step in result["steps"]
        for denial in step["denials"]
        if denial["file"] == file
    }


def roles(call: str, *steps: str) -> set[tuple[str, str, str, str | None]]:
    makers = [f"the function {name}Function" for name in ("FleetRole", "InstanceRole", "StartRole")]
    return {(step, who, call, "1") for step in steps for who in ("the deployer", *makers)}


def test_a_wrong_document_is_one_sentence_and_exit_2(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    code, document = rehearse("--scp", "required-tags.json", "--boundary", str(tmp_path / "broken.json"))
    assert (code, document["ok"], document["result"]) == (2, False, None)
    assert document["error"].startswith(f"{tmp_path}/broken.json is not JSON, from line 1, column 2: ")


def test_a_whole_life_under_service_control_policies_and_a_tag_policy() -> None:
    """Our launches satisfy IMDSv2 and encryption; the rest is named."""
    scps = [f"--scp={name}.json" for name in ("region-list", "required-tags", "imdsv2-and-encryption", "no-roles")]
    code, document = rehearse(*scps, "--tag-policy=tag-policy.json", "--tag=cost_center=7", "--tag=CostCenter=300")
    result = document["result"]
    assert (code, document["error"]) == (1, None)
    assert [(step["name"], step["error"]) for step in result["steps"]] == [(name, None) for name in STEPS]
    assert result["left"] == []
    for satisfied in ("region-list.json", "imdsv2-and-encryption.json"):
        assert denied(result, satisfied) == set()
    assert denied(result, "no-roles.json") == roles("iam:CreateRole", "deploy")
    # The builder and the machine of start have the tag, and a wrong value of another.
    assert denied(result, "required-tags.json") == set()
    by_value = denied(result, "tag-policy.json")
    assert {(step, who) for step, who, _, _ in by_value} == {
        ("deploy", "the function ImageBuilderFunction"),
        ("image", "the function ImageBuilderFunction"),
        ("start", "the annex user"),
    }
    assert {statement for *_, statement in by_value} == {"CostCenter"}
    page = result["summary"]
    assert page["resources"]["private bucket for pool configurations"] == 1
    assert page["ports"] == ["tcp 9618: 0.0.0.0/0", "tcp 22: 192.0.2.0/24"]
    lease = next(rights for rights in page["rights"] if rights["name"] == "LeaseExecRole")
    assert lease["purpose"] == "ends an annex when its lease expires"
    assert lease["actions"]["DeleteLeases"] == ["events:DeleteRule", "events:RemoveTargets"]


def test_a_whole_life_of_a_power_user_with_a_boundary_in_a_region_that_is_not_allowed() -> None:
    options = ("--policy=power-user.json", "--boundary=boundary.json", "--scp=region-list.json", "--region=eu-west-1")
    code, document = rehearse(*options)
    result = document["result"]
    assert (code, document["error"], result["left"]) == (1, None, [])
    assert [(step["name"], step["error"]) for step in result["steps"]] == [(name, None) for name in STEPS]
    own = denied(result, "power-user.json")
    assert {(who, statement) for _, who, _, statement in own} == {("the deployer", None)}
    assert {call.partition(":")[0] for _, _, call, _ in own} == {"iam"}
    assert {("deploy", "the deployer", call, None) for call in ("iam:CreateRole", "iam:PassRole")} <= own
    makers = [f"the function {name}Function" for name in ("FleetRole", "InstanceRole", "StartRole")]
    limited = denied(result, "boundary.json")
    assert {entry for entry in limited if entry[2] == "iam:PutRolePolicy"} == {
        ("deploy", who, "iam:PutRolePolicy", "NoPolicies") for who in makers
    }
    assert ("lease", "the function LeaseFunction", "cloudformation:DescribeStacks", None) in limited
    region = denied(result, "region-list.json")
    assert ("start", "the annex user", "ec2:CreateFleet", "OnlyTwoRegions") in region
    assert {statement for _, _, _, statement in region} == {"OnlyTwoRegions"}
    assert {call.partition(":")[0] for _, _, call, _ in region} & {"iam", "pricing", "budgets", "sts"} == set()


def test_nothing_is_denied_to_a_power_user_without_roles_where_an_administrator_made_them() -> None:
    code, document = rehearse("--given-roles", "--policy=power-user.json", "--scp=no-roles.json")
    result = document["result"]
    # The account's alias, which a power user may not read either, is shown where it may be read.
    assert [(step["name"], step["error"], step["denials"]) for step in result["steps"]] == [
        (name, None, []) for name in STEPS
    ]
    assert (code, result["left"]) == (0, [])
    assert "role for spot fleets" not in result["summary"]["resources"]
    # It makes no role, and looks at what the administrator made.
    maker = next(rights for rights in result["summary"]["rights"] if rights["name"] == "StartRoleExecRole")
    assert {action for listed in maker["actions"].values() for action in listed if action.startswith("iam:")} == {
        "iam:GetInstanceProfile",
        "iam:GetRole",
        "iam:GetRolePolicy",
    }


def test_our_own_policies_are_enough_where_nothing_else_limits() -> None:
    code, document = rehearse()
    assert (code, [step["denials"] for step in document["result"]["steps"]]) == (0, [[]] * len(STEPS))
