"""Parameters of a deployment: what is allowed, what counts, and what is described."""

from __future__ import annotations

import re
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mypy_boto3_cloudformation.literals import StackStatusType

from annex_bootstrap.errors import UserError
from annex_bootstrap.stack.preview import describe_parameters
from annex_bootstrap.stack.read import Stack
from annex_bootstrap.stack.template import Source, check_network, check_parameters, plan_parameters
from annex_contract.statuses import State, read_status
from tests.unit.annex_bootstrap.stack.sample_stack import OURS, TEMPLATE, a_stack

STATUSES = get_args(StackStatusType)

some_parameters = st.dictionaries(st.sampled_from(sorted(TEMPLATE["Parameters"])), st.text(max_size=5))


def sent(stack: Stack | None, given_: dict[str, str]) -> dict[str, str | None]:
    """Return what the change set gets: values by name, None for one that the stack keeps."""
    return {
        parameter.name: None if parameter.source is Source.KEPT else parameter.value
        for parameter in plan_parameters(TEMPLATE, stack, given_)
        if parameter.source is not Source.DEFAULT
    }


def described(stack: Stack, given_: dict[str, str]) -> dict[str, list[str]]:
    return dict(describe_parameters(plan_parameters(TEMPLATE, stack, given_)))


@given(st.sampled_from(STATUSES), some_parameters, some_parameters)
def test_what_is_given_counts_else_what_the_stack_had(
    status: str, earlier: dict[str, str], given_: dict[str, str]
) -> None:
    stack = a_stack(status, {**earlier, "GoneSince": "1"})
    chosen = sent(stack, given_)
    assert {name: value for name, value in chosen.items() if name in given_} == given_
    kept = {name: value for name, value in chosen.items() if name not in given_}
    rest = {name: value for name, value in earlier.items() if name not in given_}
    values = {parameter.name: parameter.value for parameter in plan_parameters(TEMPLATE, stack, given_)}
    if read_status(status).state is State.DEPLOYED:
        image = {} if "Image" in earlier or "Image" in given_ else {"Image": "no"}
        assert kept == dict.fromkeys(rest) | image
        assert values.items() >= (rest | image | given_).items()
    elif read_status(status).state is State.CREATION_FAILED:
        assert kept == rest
        assert values.items() >= (rest | given_).items()
    else:
        assert kept == {}


def test_a_stack_from_before_there_were_images_gets_none_until_somebody_asks() -> None:
    old = a_stack("UPDATE_COMPLETE", {"CondorPort": "9618"})
    assert sent(old, {}) == {"Image": "no", "CondorPort": None}
    assert sent(old, {"Image": "yes"})["Image"] == "yes"
    assert described(old, {}) == {"Keeps": ["Image at no"]}


def test_a_stack_that_is_gone_has_no_earlier_parameters() -> None:
    assert sent(None, {"CondorPort": "9619"}) == {"CondorPort": "9619"}


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
    check_parameters(TEMPLATE, {name: value})


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
        check_parameters(TEMPLATE, {name: value})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["CondorCidrs", "SshCidrs"])
@pytest.mark.parametrize(
    ("value", "advice"),
    [
        ("300.0.0.0/8", "invalid range '300.0.0.0/8'"),
        ("192.0.2.0/24, 300.0.2.0/24", "invalid range '300.0.2.0/24'"),
        ("10.0.0.5/8", "'10.0.0.5/8' is an address within a range: type 10.0.0.0/8 for the whole range"),
        ("2001:db8::1/32", "type 2001:db8::/32 for the whole range"),
    ],
)
def test_what_only_looks_like_a_range_is_refused_before_it_rolls_a_stack_back(
    name: str, value: str, advice: str
) -> None:
    with pytest.raises(UserError, match=re.escape(advice)):
        check_parameters(TEMPLATE, {name: value})


def test_an_unknown_parameter_is_refused_with_those_there_are() -> None:
    with pytest.raises(UserError, match="there is no parameter Colour: choose from BaseImage, BootCommands"):
        check_parameters(TEMPLATE, {"Colour": "red"})


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("CondorCidr", "CondorCidrs or CondorPort"),
        ("image", "Image or ImageIds or ImageGpu"),
        ("SubnetId", "SubnetIds"),
    ],
)
def test_a_mistyped_parameter_names_those_that_come_close(typed: str, meant: str) -> None:
    with pytest.raises(UserError, match=rf"^there is no parameter {typed}: did you mean {meant}\?$"):
        check_parameters(TEMPLATE, {typed: "x"})


@pytest.mark.parametrize("values", [{"ConnectivityVpc": "yes"}, {"ConnectivityVpc": "yes", "SubnetIds": ""}])
def test_the_connectivity_function_goes_into_no_vpc_without_subnets(values: dict[str, str]) -> None:
    with pytest.raises(UserError, match="ConnectivityVpc=yes needs the subnets in which the function then runs: add"):
        check_network(values)
    check_network({**values, "SubnetIds": "subnet-0123456789abcdef0"})
    check_network({**values, "ConnectivityVpc": "no"})


def test_parameters_are_described_where_they_change_or_are_not_the_default() -> None:
    stack = a_stack("CREATE_COMPLETE", {**OURS, "CondorCidrs": "192.0.2.0/24", "SshCidrs": "", "Image": "yes"})
    assert described(stack, {"CondorPort": "9619"}) == {
        "Sets": ["CondorPort to 9619 (it is 9618)"],
        "Keeps": ["CondorCidrs at 192.0.2.0/24, SshCidrs empty"],
    }
    assert described(stack, {"CondorCidrs": "", "CondorPort": "9618"}) == {
        "Sets": ["CondorCidrs to empty (it is 192.0.2.0/24)"],
        "Keeps": ["SshCidrs empty"],
    }
