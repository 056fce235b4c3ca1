"""``policy``: which policy is printed for whom, and what is said of it beside."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from annex_bootstrap.commands import policy as module
from annex_bootstrap.commands.policy import (
    OWN,
    UNBOUNDED,
    print_boundary,
    print_deployer,
    print_key,
    print_operator,
    print_people,
    print_roles,
)
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import CommandLineError, UserError
from annex_bootstrap.policies.boundary import boundary
from annex_bootstrap.policies.deployer import deployer_policy
from annex_bootstrap.policies.key import key_policy
from annex_bootstrap.policies.limits import size, split
from annex_bootstrap.policies.operator import operator_policy
from annex_bootstrap.policies.people import people_policy
from annex_bootstrap.stack.read import Stack
from annex_bootstrap.stack.template import built_template, parse_template
from annex_bootstrap.target import Target
from annex_contract.boundaries import Holder
from annex_contract.iam import allow, document
from annex_contract.stack import STACK_TAG, LogicalId
from tests.unit.annex_bootstrap.commands.conftest import STACK_ID, a_stack, described
from tests.unit.recorded import ACCOUNT_ID, REGION, Recorded, RefusedError

ARN = f"arn:aws:iam::{ACCOUNT_ID}:policy/limit"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT_ID}:key/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
TOO_LONG = "annex-bootstrap: too long for a user's inline policy (2,048 characters): make a managed policy"

Said = Callable[[], tuple[Any, list[str]]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """The document that was printed, and the lines beside it."""

    def said() -> tuple[Any, list[str]]:
        printed = capsys.readouterr()
        assert printed.out == json.dumps(json.loads(printed.out), indent=2) + "\n"
        return json.loads(printed.out), printed.err.splitlines()

    return said


@pytest.fixture
def target(targeted: Callable[..., Target]) -> Target:
    return targeted(Recorded())


@pytest.mark.parametrize("holder", Holder)
@pytest.mark.parametrize(("key", "bucket"), [("", ""), (KEY, "mine")])
def test_a_boundary_is_printed_with_the_name_that_it_must_have(
    screen: Screen, target: Target, said: Said, holder: Holder, key: str, bucket: str
) -> None:
    print_boundary(screen, target, str(holder), key, bucket)
    assert said() == (
        boundary("aws", ACCOUNT_ID, holder, "annex-bootstrap", key, bucket),
        [f"annex-bootstrap: name this managed policy annex-bootstrap-{holder}-boundary-annex-bootstrap"],
    )


def test_the_roles_boundary_is_printed_for_a_stack_with_condor_annex_and_users_have_no_other(
    screen: Screen, target: Target, said: Said
) -> None:
    print_boundary(screen, target, "roles", "", "", condor_annex=True)
    printed, _ = said()
    plain = boundary("aws", ACCOUNT_ID, Holder.ROLES, "annex-bootstrap")["Statement"]
    (more,) = [statement for statement in printed["Statement"] if statement not in plain]
    assert [statement for statement in printed["Statement"] if statement != more] == plain
    assert more["Action"] == ["ec2:CancelSpotFleetRequests", "events:DeleteRule", "events:RemoveTargets"]
    assert more["Condition"] == {"Null": {"aws:ResourceTag/annex-bootstrap:stack": "true"}}
    with pytest.raises(CommandLineError, match="--condor-annex goes with --for roles"):
        print_boundary(screen, target, "users", "", "", condor_annex=True)


def test_the_policy_of_a_key_is_printed(screen: Screen, target: Target, said: Said) -> None:
    print_key(screen, target)
    assert said() == (
        key_policy("aws", ACCOUNT_ID, REGION, "annex-bootstrap"),
        ["annex-bootstrap: keep what the key's policy says besides, such as who administers it"],
    )


def parts_line(count: int) -> str:
    return f"annex-bootstrap: too long for one managed policy: make {count} of --part 1 to --part {count}"


def test_the_deployers_policy_is_printed_and_who_is_not_bounded_is_warned(
    screen: Screen, target: Target, said: Said
) -> None:
    whole = deployer_policy("aws", ACCOUNT_ID, "annex-bootstrap", "")
    print_deployer(screen, target, "", None)
    assert said() == (whole, [f"annex-bootstrap: {UNBOUNDED}", parts_line(len(split(whole))), TOO_LONG])
    bounded = deployer_policy("aws", ACCOUNT_ID, "annex-bootstrap", ARN)
    print_deployer(screen, target, ARN, None)
    assert said() == (bounded, [parts_line(len(split(bounded))), TOO_LONG])
    assert bounded != whole


def test_the_operators_policy_knows_the_boundary_and_the_key(screen: Screen, target: Target, said: Said) -> None:
    whole = operator_policy("aws", ACCOUNT_ID, "annex-bootstrap", ARN, KEY)
    print_operator(screen, target, ARN, KEY, None)
    shown, lines = said()
    assert shown == whole
    assert f"annex-bootstrap: {UNBOUNDED}" not in lines
    assert TOO_LONG in lines
    assert whole != operator_policy("aws", ACCOUNT_ID, "annex-bootstrap", ARN, "")
    print_operator(screen, target, "", "", None)
    assert said()[1][0] == f"annex-bootstrap: {UNBOUNDED}"


def test_each_part_is_printed_by_its_number_and_there_are_no_more(screen: Screen, target: Target, said: Said) -> None:
    parts = split(deployer_policy("aws", ACCOUNT_ID, "annex-bootstrap", ARN))
    for number, part in enumerate(parts, 1):
        print_deployer(screen, target, ARN, number)
        shown, lines = said()
        assert shown == part
        assert parts_line(len(parts)) not in lines
    with pytest.raises(UserError, match=f"there is no part {len(parts) + 1}: the policy has {len(parts)}$"):
        print_deployer(screen, target, ARN, len(parts) + 1)


@pytest.mark.parametrize(
    ("characters", "lines"),
    [(2048, []), (2049, [TOO_LONG]), (6144, [TOO_LONG]), (6145, [parts_line(2), TOO_LONG])],
)
def test_a_policy_that_fits_needs_no_advice(
    screen: Screen, target: Target, said: Said, monkeypatch: pytest.MonkeyPatch, characters: int, lines: list[str]
) -> None:
    def made(length: int) -> dict[str, Any]:
        return document([allow("A" * length, "s3:GetObject", "*"), allow("B", "s3:GetObject", "*")])

    policy = made(characters - size(made(1)) + 1)
    monkeypatch.setattr(module, "deployer_policy", lambda *_: policy)
    print_deployer(screen, target, ARN, None)
    assert said() == (policy, lines)


@pytest.mark.parametrize("print_it", [print_deployer, partial(print_operator, key="")])
def test_a_boundary_of_another_account_is_refused(screen: Screen, target: Target, print_it: Any) -> None:
    with pytest.raises(UserError, match="cannot be a permissions boundary in this account"):
        print_it(screen, target, "arn:aws:iam::210987654321:policy/limit", part=None)


def test_the_line_beside_the_roles_makes_them_in_the_region_of_the_stack(
    screen: Screen, target: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    print_roles(screen, target, {})
    printed = capsys.readouterr()
    assert json.loads(printed.out)["Description"] == (
        f"The roles and policies of the annex-bootstrap stack annex-bootstrap in {REGION}, made by an administrator "
        "for somebody who may make none."
    )
    assert printed.err.splitlines()[0] == (
        "annex-bootstrap: an administrator saves this as roles.json and runs: aws cloudformation deploy --region "
        f"{REGION} --stack-name annex-bootstrap-roles --template-file roles.json --capabilities CAPABILITY_NAMED_IAM"
    )


GROUP, TEMPLATE, IMAGE, VPC = "sg-0a1b", "lt-0a1b", "ami-0a1b", "vpc-0a1b"


def people(stack: Stack, owned: dict[str, str]) -> Recorded:
    tags = [{"ResourceId": name, "Key": STACK_TAG, "Value": owner} for name, owner in owned.items()]
    group = {"GroupId": GROUP, "VpcId": VPC}
    return Recorded(
        DescribeStacks=described(stack), DescribeTags={"Tags": tags}, DescribeSecurityGroups={"SecurityGroups": [group]}
    )


OURS = dict.fromkeys((GROUP, TEMPLATE, IMAGE), STACK_ID)


@pytest.mark.parametrize("policy", [LogicalId.START_POLICY, LogicalId.ANNEX_USER_POLICY])
def test_a_policy_for_people_is_that_of_this_versions_template(
    screen: Screen, targeted: Callable[..., Target], said: Said, policy: LogicalId
) -> None:
    aws = people(a_stack(), OURS)
    print_people(screen, targeted(aws), policy)
    expected = people_policy(parse_template(built_template()), a_stack(), VPC, policy)
    assert said() == (expected, [f"annex-bootstrap: {OWN}"])
    assert aws.of("DescribeTags") == [
        {
            "Filters": [
                {"Name": "resource-id", "Values": [GROUP, TEMPLATE, IMAGE]},
                {"Name": "key", "Values": [STACK_TAG]},
            ]
        }
    ]
    assert aws.of("DescribeSecurityGroups") == [{"GroupIds": [GROUP]}]


@pytest.mark.parametrize("foreign", [GROUP, TEMPLATE, IMAGE])
@pytest.mark.parametrize("owner", [None, f"{STACK_ID}-other"])
def test_what_is_not_the_stacks_own_goes_into_no_policy(
    screen: Screen,
    targeted: Callable[..., Target],
    capsys: pytest.CaptureFixture[str],
    foreign: str,
    owner: str | None,
) -> None:
    owned = {name: stack for name, stack in OURS.items() if name != foreign} | ({foreign: owner} if owner else {})
    with pytest.raises(UserError, match=f"the stack annex-bootstrap names {foreign}, which is not its own"):
        print_people(screen, targeted(people(a_stack(), owned)), LogicalId.START_POLICY)
    assert capsys.readouterr().out == ""


def test_an_image_of_the_users_own_need_not_be_the_stacks(
    screen: Screen, targeted: Callable[..., Target], said: Said
) -> None:
    stack = a_stack(parameters={"Image": "ami-0a1b2c3d"})
    aws = people(stack, {GROUP: STACK_ID, TEMPLATE: STACK_ID})
    print_people(screen, targeted(aws), LogicalId.ANNEX_USER_POLICY)
    assert said()[0] == people_policy(parse_template(built_template()), stack, VPC, LogicalId.ANNEX_USER_POLICY)
    assert aws.of("DescribeTags")[0]["Filters"][0]["Values"] == [GROUP, TEMPLATE]


@pytest.mark.parametrize(("policy", "warned"), [(LogicalId.START_POLICY, 0), (LogicalId.ANNEX_USER_POLICY, 1)])
def test_a_fleet_role_of_the_users_own_is_warned_of_in_the_policy_that_passes_it(
    screen: Screen, targeted: Callable[..., Target], said: Said, policy: LogicalId, warned: int
) -> None:
    stack = a_stack(parameters={"FleetRoleName": "theirs"})
    print_people(screen, targeted(people(stack, OURS)), policy)
    role = stack.outputs["IamFleetRoleARN"]
    warning = f"annex-bootstrap: its holders can pass {role}: see what that role may do"
    assert said()[1] == [*[warning] * warned, f"annex-bootstrap: {OWN}"]


def test_what_aws_refuses_is_said_with_what_was_read(screen: Screen, targeted: Callable[..., Target]) -> None:
    aws = people(a_stack(), OURS)
    aws.answers["DescribeTags"] = RefusedError("InternalError", "out of order")
    with pytest.raises(UserError, match=f"reading whose {GROUP} and {TEMPLATE} and {IMAGE} are failed.*out of order"):
        print_people(screen, targeted(aws), LogicalId.START_POLICY)
