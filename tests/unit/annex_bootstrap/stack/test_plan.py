"""What a deployment decides, over every status that a stack can have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mypy_boto3_cloudformation.literals import StackStatusType

from annex_bootstrap.errors import UserError
from annex_bootstrap.stack import plan
from annex_bootstrap.stack.plan import Change, Parameter, Step
from annex_bootstrap.stack.stacks import Stack
from annex_contract.stack import Output
from template_gen.template import build

STATUSES = get_args(StackStatusType)

STEPS: dict[str, Step | str] = {
    "REVIEW_IN_PROGRESS": Step.CREATE,
    "DELETE_COMPLETE": Step.CREATE,
    "CREATE_FAILED": Step.REPLACE_FAILED,
    "ROLLBACK_COMPLETE": Step.REPLACE_FAILED,
    "ROLLBACK_FAILED": Step.REPLACE_FAILED,
    "CREATE_COMPLETE": Step.UPDATE,
    "UPDATE_COMPLETE": Step.UPDATE,
    "UPDATE_ROLLBACK_COMPLETE": Step.UPDATE,
    "IMPORT_COMPLETE": Step.UPDATE,
    "IMPORT_ROLLBACK_COMPLETE": Step.UPDATE,
    "CREATE_IN_PROGRESS": Step.JOIN,
    "ROLLBACK_IN_PROGRESS": Step.JOIN,
    "DELETE_IN_PROGRESS": Step.JOIN,
    "UPDATE_IN_PROGRESS": Step.JOIN,
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS": Step.JOIN,
    "UPDATE_ROLLBACK_IN_PROGRESS": Step.JOIN,
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": Step.JOIN,
    "IMPORT_IN_PROGRESS": Step.JOIN,
    "IMPORT_ROLLBACK_IN_PROGRESS": Step.JOIN,
    "UPDATE_FAILED": "choose 'Roll back' in the CloudFormation console",
    "UPDATE_ROLLBACK_FAILED": "choose 'Continue update rollback' in the CloudFormation console",
    "IMPORT_ROLLBACK_FAILED": "end the import in the CloudFormation console",
    "DELETE_FAILED": "run annex-bootstrap delete",
}

TEMPLATE = plan.parse_template(build().to_json())

OURS = {"CondorCidrs": "0.0.0.0/0", "ConfigKeyPattern": "config-*.tar.gz"}


def a_stack(status: str, parameters: Mapping[str, str] = OURS, version: str = "") -> Stack:
    return Stack(
        stack_id="arn:aws:cloudformation:us-east-1:123456789012:stack/annex-bootstrap/1",
        name="annex-bootstrap",
        status=status,
        reason="",
        parameters=parameters,
        outputs={Output.VERSION: version} if version else {},
        changed=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_every_status_that_cloudformation_knows_is_decided_on() -> None:
    assert STEPS.keys() == set(STATUSES)


def test_where_there_is_no_stack_one_is_created() -> None:
    assert plan.choose_step(None, "annex-bootstrap") is Step.CREATE


@pytest.mark.parametrize("status", STATUSES)
def test_the_step_follows_from_the_status(status: str) -> None:
    expected = STEPS[status]
    if isinstance(expected, Step):
        assert plan.choose_step(a_stack(status), "annex-bootstrap") is expected
    else:
        with pytest.raises(UserError, match=f"annex-bootstrap is in {status}: {re.escape(expected)}.*, then try again"):
            plan.choose_step(a_stack(status), "annex-bootstrap")


@given(st.sampled_from(STATUSES), st.dictionaries(st.text(), st.text()))
def test_a_stack_that_is_not_ours_is_never_touched(status: str, parameters: dict[str, str]) -> None:
    stack = a_stack(status, parameters)
    if status in plan.NOT_THERE:
        assert plan.choose_step(stack, "mine") is Step.CREATE
    else:
        with pytest.raises(UserError, match="mine was not made by annex-bootstrap"):
            plan.choose_step(stack, "mine")


def test_our_template_has_the_parameters_by_which_its_stacks_are_known() -> None:
    assert a_stack("CREATE_COMPLETE", dict.fromkeys(TEMPLATE["Parameters"], "")).is_ours


versions = st.tuples(*[st.integers(0, 99)] * 3)


@given(versions, versions)
def test_only_a_newer_stack_is_refused_and_only_unless_allowed(theirs: tuple[int, ...], ours: tuple[int, ...]) -> None:
    stack = a_stack("CREATE_COMPLETE", version=".".join(map(str, theirs)))
    version = ".".join(map(str, ours))
    plan.check_version(stack, version, "annex-bootstrap", allow_downgrade=True)
    if theirs > ours:
        with pytest.raises(UserError, match=r"which is newer than this .*, or give --allow-downgrade"):
            plan.check_version(stack, version, "annex-bootstrap")
    else:
        plan.check_version(stack, version, "annex-bootstrap")


some_parameters = st.dictionaries(st.sampled_from(sorted(TEMPLATE["Parameters"])), st.text(max_size=5))


@given(st.sampled_from(STATUSES), some_parameters, some_parameters)
def test_what_is_given_counts_else_what_the_stack_had(
    status: str, earlier: dict[str, str], given_: dict[str, str]
) -> None:
    chosen = plan.choose_parameters(TEMPLATE, a_stack(status, {**earlier, "GoneSince": "1"}), given_)
    assert {each.name: each.value for each in chosen if each.name in given_} == given_
    kept = {each.name: each.value for each in chosen if each.name not in given_}
    rest = {name: value for name, value in earlier.items() if name not in given_}
    if status in plan.UPDATABLE:
        assert kept == dict.fromkeys(rest)
    elif status in plan.CREATED_BADLY:
        assert kept == rest
    else:
        assert kept == {}


def test_a_stack_that_is_gone_has_no_earlier_parameters() -> None:
    assert plan.choose_parameters(TEMPLATE, None, {"CondorPort": "9619"}) == [Parameter("CondorPort", "9619")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CondorPort", "1"),
        ("CondorPort", "65535"),
        ("CondorCidrs", "192.0.2.0/24, 2001:db8::/32"),
        ("CondorCidrs", ""),
        ("VpcId", ""),
        ("VpcId", "vpc-0123456789abcdef0"),
        ("BucketName", "a-bucket-of-mine"),
        ("KeyPair", "yes"),
        ("LogRetentionDays", "30"),
    ],
)
def test_what_the_template_allows_passes(name: str, value: str) -> None:
    plan.check_parameters(TEMPLATE, {name: value})


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("CondorPort", "0", "type a port from 1 to 65535"),
        ("CondorPort", "65536", "type a port from 1 to 65535"),
        ("CondorPort", "ssh", "type a port from 1 to 65535"),
        ("CondorPort", "٩٦١٨", "type a port from 1 to 65535"),
        ("CondorCidrs", "192.0.2.0", "type ranges such as"),
        ("CondorCidrs", "192.0.2.0/24,everybody", "type ranges such as"),
        ("VpcId", "vpc-0123456789abcdef0\n", "type the ID of a VPC"),
        ("BucketName", "with.dots", "(no dots)"),
        ("KeyPair", "maybe", "type one of no, yes"),
        ("LogRetentionDays", "31", "type one of 1, 3, 5"),
    ],
)
def test_what_it_does_not_allow_is_refused_with_what_to_type(name: str, value: str, advice: str) -> None:
    with pytest.raises(UserError, match=rf"{name}=.* is not allowed: .*{re.escape(advice)}") as raised:
        plan.check_parameters(TEMPLATE, {name: value})
    assert "\n" not in str(raised.value)


def test_an_unknown_parameter_is_refused_with_those_there_are() -> None:
    with pytest.raises(UserError, match="there is no parameter Colour: choose from BucketName, CondorCidrs"):
        plan.check_parameters(TEMPLATE, {"Colour": "red"})


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ([], []),
        ([Change("Add", "A", "AWS::IAM::Role")], ["creates 1 resource"]),
        ([Change("Add", name, "AWS::IAM::Role") for name in "AB"], ["creates 2 resources"]),
        (
            [Change("Modify", "SecurityGroup", "Custom::AnnexSecurityGroup", "False", ("VpcId", "ServiceToken"))],
            ["replaces the security group: VpcId changes"],
        ),
        (
            [Change("Modify", "SecurityGroup", "Custom::AnnexSecurityGroup", "Conditional", ("CondorCidrs",))],
            ["changes 1 resource: SecurityGroup"],
        ),
        ([Change("Modify", "Logs", "AWS::Logs::LogGroup", "True", ("A", "B"))], ["replaces Logs: A and B change"]),
        (
            [Change("Modify", "Rule", "AWS::Events::Rule", "Conditional", ("Targets",))],
            ["changes, perhaps by replacing, 1 resource: Rule"],
        ),
        ([Change("Remove", "Old", "AWS::IAM::Role")], ["removes 1 resource: Old"]),
    ],
)
def test_a_change_set_is_told_in_words(changes: list[Change], lines: list[str]) -> None:
    assert plan.describe(changes) == lines


def test_parameters_are_told_where_they_change_or_are_not_the_default() -> None:
    stack = a_stack("CREATE_COMPLETE", {**OURS, "CondorCidrs": "192.0.2.0/24", "SshCidrs": ""})
    assert plan.describe_parameters(TEMPLATE, stack, {"CondorPort": "9619"}) == [
        "keeps CondorCidrs at 192.0.2.0/24",
        "sets CondorPort to 9619 (it is 9618)",
        "keeps SshCidrs empty",
    ]
    assert plan.describe_parameters(TEMPLATE, stack, {"CondorCidrs": "", "CondorPort": "9618"}) == [
        "sets CondorCidrs to empty (it is 192.0.2.0/24)",
        "keeps SshCidrs empty",
    ]


def test_everything_that_our_custom_resources_replace_is_a_property_of_theirs() -> None:
    properties = {each["Type"]: each["Properties"] for each in TEMPLATE["Resources"].values()}
    assert all(name in properties[kind] for kind, name in plan.REPLACING)
    assert plan.WORDS.keys() == {kind for kind in properties if kind.startswith("Custom::")}


def test_every_custom_resource_has_the_log_that_is_read_when_it_fails() -> None:
    resources = TEMPLATE["Resources"]
    for name in [name for name, each in resources.items() if each["Type"].startswith("Custom::")]:
        assert resources[name]["Properties"]["ServiceToken"]["Fn::GetAtt"][0] == f"{name}Function"
        assert resources[f"{name}FunctionLogs"]["Type"] == "AWS::Logs::LogGroup"
