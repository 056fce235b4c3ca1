"""What a preview says of a first creation, of an update and of parameters."""

from __future__ import annotations

import textwrap
from decimal import Decimal

import pytest

from annex_bootstrap.console.screen import ITEM_HEAD
from annex_bootstrap.stack.change_set import ChangeSet
from annex_bootstrap.stack.deployment import Preview
from annex_bootstrap.stack.plan import Change, Step, judge
from annex_bootstrap.stack.preview import describe, describe_creation, describe_update, explain_creation
from annex_bootstrap.stack.template import built_template, parse_template, plan_parameters

TEMPLATE = parse_template(built_template())
ALL = [Change("Add", name, resource["Type"]) for name, resource in TEMPLATE["Resources"].items()]


def values(given: dict[str, str]) -> dict[str, str]:
    return {parameter.name: parameter.value for parameter in plan_parameters(TEMPLATE, None, given)}


def preview(given: dict[str, str], changes: list[Change] = ALL, price: Decimal | None = None) -> dict[str, list[str]]:
    return dict(describe_creation(changes, values(given), price))


def test_a_first_creation_is_said_in_a_dozen_lines() -> None:
    names = (
        "the bucket, the machines' role, the role of start's machines, the fleet role, the security group, the image"
    )
    assert preview({}) == {
        "Makes": [f"{len(ALL)} resources, among them {names}"],
        "Opens": [
            "machines' port 9618 (HTCondor) to everyone on the Internet (0.0.0.0/0)",
            "machines' port 22 (SSH) to everyone on the Internet (0.0.0.0/0)",
        ],
        "Costs": [
            "about a cent per build of the image, and about $0.15 a month to keep it",
            "each machine of an annex: AWS's price for m7i.large",
        ],
        "Takes": ["about 2 minutes, and 5 to 15 for the image (an estimate)"],
    }


def test_without_an_image_only_logs_and_the_template_cost() -> None:
    without = [change for change in ALL if change.resource not in ("MachineImage", "ImageBuilder")]
    shown = preview({"Image": "no"}, without)
    assert shown["Costs"] == [
        "cents a year while no annex runs",
        "each machine of an annex: AWS's price for its type",
    ]
    assert shown["Takes"] == ["about 2 minutes (an estimate)"]


def test_it_says_what_a_machine_costs_where_the_price_is_known() -> None:
    known = preview({}, price=Decimal("0.1008000000"))
    assert known["Costs"][1] == "each machine of an annex: $0.1008/hour on demand (m7i.large)"


def test_details_name_what_is_made_what_it_may_do_and_what_it_costs_to_keep() -> None:
    details = dict(
        explain_creation(
            ALL, values({"PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/annex-bootstrap-roles-boundary"})
        )
    )
    assert {"private bucket for pool configurations", "role for spot fleets", "machine image with HTCondor"} <= {
        *details["Among"]
    }
    assert details["Among"][-4:] == [
        "SSH key pair",
        "policy for those who run annexes; nobody has it yet",
        "function that checks whether machines can reach the pool",
        "lease function, which ends annexes whose time is up",
    ]
    assert details["Rights"] == [
        "machines of annexes: read their configuration from the bucket",
        "spot fleets: start machines",
        "the lease function: end machines of annexes and delete their leases",
        "people: nothing more, until annex-bootstrap credentials makes a user who may start annexes",
        "all of its roles: nothing that the boundary annex-bootstrap-roles-boundary does not allow",
    ]
    assert details["Keeping"][0] == "logs and the template: cents a year"
    assert any(line.startswith("the image: about $0.15 a month, an estimate: ") for line in details["Keeping"])
    assert not [line for line in dict(explain_creation(ALL, values({})))["Rights"] if "boundary" in line]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"CondorCidrs": "192.0.2.0/24, ::/0"}, "machines' port 9618 (HTCondor) to everyone on the Internet "),
        ({"CondorCidrs": "192.0.2.0/24", "CondorPort": "9619"}, "machines' port 9619 (HTCondor) to 192.0.2.0/24"),
        ({"CondorCidrs": ""}, "machines' port 22 (SSH) to everyone on the Internet (0.0.0.0/0)"),
        ({"CondorCidrs": "", "SshCidrs": ""}, "no port of the machines"),
    ],
)
def test_it_says_which_ports_open_to_whom(given: dict[str, str], expected: str) -> None:
    assert preview(given)["Opens"][0].startswith(expected)


@pytest.mark.parametrize("given", [{}, {"CondorCidrs": "", "SshCidrs": ""}])
@pytest.mark.parametrize("verbose", [False, True])
def test_the_screen_of_a_creation_has_twelve_lines_at_eighty_columns_and_more_only_if_asked(
    given: dict[str, str], verbose: bool
) -> None:
    parameters = plan_parameters(TEMPLATE, None, given)
    ahead = Preview("annex-bootstrap", Step.CREATE, None, parameters, ChangeSet("", "", tuple(ALL)), "")
    items = describe(ahead, Decimal("0.1008"), verbose=verbose)
    screen = [part for _, lines in items for line in lines for part in textwrap.wrap(line, 80 - ITEM_HEAD)]
    # One more names the stack, one where it would be, and one asks.
    assert (len(screen) <= 12 - 3) == (not verbose)
    assert "Sets" not in dict(items)


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
