"""What a preview says of a first creation, of an update and of parameters."""

from __future__ import annotations

from decimal import Decimal

import pytest

from annex_bootstrap.stack.plan import Change, judge
from annex_bootstrap.stack.preview import describe_creation, describe_update
from annex_bootstrap.stack.template import built_template, parse_template, plan_parameters

TEMPLATE = parse_template(built_template())
ALL = [Change("Add", name, resource["Type"]) for name, resource in TEMPLATE["Resources"].items()]


def values(given: dict[str, str]) -> dict[str, str]:
    return {parameter.name: parameter.value for parameter in plan_parameters(TEMPLATE, None, given)}


def preview(given: dict[str, str]) -> list[str]:
    return describe_creation(ALL, values(given))


def test_it_says_what_is_made_and_what_costs_without_an_annex() -> None:
    lines = preview({})
    assert lines[0] == f"creates {len(ALL)} resources, among them"
    assert "  - private bucket for pool configurations" in lines
    assert "  - role for spot fleets" in lines
    assert any(line.startswith("  - the image: about $0.15 a month, an estimate: ") for line in lines)


def test_it_says_what_a_machine_costs_where_the_price_is_known() -> None:
    known = describe_creation(ALL, values({}), Decimal("0.1008000000"))
    assert "  - each machine: $0.1008/hour on demand (m7i.large), until its annex ends" in known
    assert "  - each machine: AWS's price for m7i.large, until its annex ends" in preview({})
    assert "  - each machine: AWS's price for its type, until its annex ends" in preview({"Image": "no"})


def test_what_the_build_of_the_image_costs_comes_once() -> None:
    lines = preview({})
    (once,) = [place for place, line in enumerate(lines) if line.startswith("costs once: about a cent per build")]
    assert once < lines.index("costs while no annex runs")


def test_it_says_who_may_do_what_and_that_a_boundary_limits_the_roles() -> None:
    lines = preview({"PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/annex-bootstrap-roles-boundary"})
    begin = lines.index("who may do what, once it exists")
    assert lines[begin + 1 : begin + 6] == [
        "  - machines of annexes: read their configuration from the bucket",
        "  - spot fleets: start machines",
        "  - the lease function: end machines of annexes and delete their leases",
        "  - people: nothing more, until annex-bootstrap credentials makes a user who may start annexes",
        "  - all of its roles: nothing that the boundary annex-bootstrap-roles-boundary does not allow",
    ]
    assert not [line for line in preview({}) if "boundary" in line]


def test_it_says_how_long_it_takes_with_and_without_the_image() -> None:
    assert preview({})[-1] == "takes about 2 minutes, and 5 to 15 for the image (an estimate)"
    without = [change for change in ALL if change.resource != "MachineImage"]
    lines = describe_creation(without, values({}))
    assert lines[-1] == "takes about 2 minutes (an estimate)"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "  - port 9618 (HTCondor) to everyone on the Internet (0.0.0.0/0)"),
        (
            {"CondorCidrs": "192.0.2.0/24, ::/0"},
            "  - port 9618 (HTCondor) to everyone on the Internet (192.0.2.0/24, ::/0)",
        ),
        ({"CondorCidrs": "192.0.2.0/24", "CondorPort": "9619"}, "  - port 9619 (HTCondor) to 192.0.2.0/24"),
        ({"SshCidrs": ""}, "  - port 22 (SSH) to nobody"),
    ],
)
def test_it_says_which_ports_open_to_whom(given: dict[str, str], expected: str) -> None:
    assert expected in preview(given)


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ([], []),
        ([Change("Add", "A", "AWS::IAM::Role")], ["creates 1 resource"]),
        ([Change("Add", name, "AWS::IAM::Role") for name in "AB"], ["creates 2 resources"]),
        (
            [Change("Modify", "SecurityGroup", "Custom::AnnexSecurityGroup", False, ("VpcId", "ServiceToken"))],
            ["replaces the security group: VpcId changes"],
        ),
        (
            [Change("Modify", "SecurityGroup", "Custom::AnnexSecurityGroup", None, ("CondorCidrs",))],
            ["changes 1 resource: SecurityGroup"],
        ),
        ([Change("Modify", "Logs", "AWS::Logs::LogGroup", True, ("A", "B"))], ["replaces Logs: A and B change"]),
        (
            [Change("Modify", "Rule", "AWS::Events::Rule", None, ("Targets",))],
            ["changes, possibly by replacing, 1 resource: Rule"],
        ),
        ([Change("Remove", "Old", "AWS::IAM::Role")], ["removes 1 resource: Old"]),
    ],
)
def test_a_change_set_is_described_in_words(changes: list[Change], lines: list[str]) -> None:
    assert describe_update(judge(changes)) == lines


def test_the_image_is_replaced_only_with_its_builder() -> None:
    named = Change("Modify", "MachineImage", "Custom::AnnexImage", None, ("ImageName", "Version"))
    builder = Change("Modify", "ImageBuilder", "Custom::AnnexImageBuilder", False, ("Version",))
    assert describe_update(judge([builder, named])) == ["changes 2 resources: ImageBuilder, MachineImage"]
    newer = Change("Modify", "ImageBuilder", "Custom::AnnexImageBuilder", False, ("BaseImage",))
    assert describe_update(judge([newer, named])) == [
        "replaces the image's builder: BaseImage changes",
        "replaces the image: ImageName changes",
        "rebuilds the image: 5 to 15 minutes, about a cent (estimates)",
    ]
