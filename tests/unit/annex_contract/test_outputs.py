"""Every output has its rule, and no value passes that means something to HTCondor's configuration language."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_contract.knobs import KNOBS
from annex_contract.outputs import OUTPUTS, find_foreign_output, find_wrong_output
from annex_contract.stack import Output
from template_gen.outputs import CONDITIONS
from tests.template import template

SAMPLES = {
    Output.S3_BUCKET_NAME: "annex-bootstrap-123456789012-0a1b2c3d-0123456789ab",
    Output.LEASE_FUNCTION_ARN: "arn:aws:lambda:us-east-1:123456789012:function:annex-bootstrap-LeaseFunction-AbC",
    Output.CONNECTIVITY_FUNCTION_ARN: "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:a-Connectivity-AbC",
    Output.INSTANCE_CONFIGURATION_PROFILE: "arn:aws:iam::123456789012:instance-profile/annex-bootstrap/instance",
    Output.INSTANCE_ROLE_ARN: "arn:aws:iam::123456789012:role/annex-bootstrap/instance",
    Output.SECURITY_GROUP_ID: "sg-0123456789abcdef0",
    Output.IAM_FLEET_ROLE_ARN: "arn:aws:iam::123456789012:role/fleet",
    Output.ANNEX_USER_POLICY_ARN: "arn:aws:iam::123456789012:policy/annex-bootstrap/annex-bootstrap-AnnexUserPolicy",
    Output.VERSION: "0.1.0",
    Output.KEY_PAIR_NAME: "annex-bootstrap-0a1b2c3d-0123456789ab",
    Output.IMAGE_ID: "ami-0123456789abcdef0",
    Output.INSTANCE_TYPE: "m7i.large",
    Output.LAUNCH_TEMPLATE_ID: "lt-0123456789abcdef0",
    Output.LAUNCH_TEMPLATE_VERSION: "1",
    Output.START_POLICY_ARN: "arn:aws:iam::123456789012:policy/annex-bootstrap/annex-bootstrap-StartPolicy",
    Output.START_INSTANCE_PROFILE: "arn:aws:iam::123456789012:instance-profile/annex-bootstrap/start",
    Output.ANNEX_USER_ROLE_ARN: "arn:aws:iam::123456789012:role/annex-bootstrap/lab/lab-AnnexUserRole-AbC",
    Output.START_ROLE_ID: "AROA0123456789ABCDEFG",
}

each_output = pytest.mark.parametrize("output", Output)


def test_every_output_of_the_template_has_a_rule_and_no_other() -> None:
    assert {str(output) for output in OUTPUTS} == template()["Outputs"].keys()


@each_output
def test_a_value_as_aws_gives_it_passes(output: Output) -> None:
    assert find_wrong_output({output: SAMPLES[output]}) == ""


@each_output
@pytest.mark.parametrize("alien", ["", "\n", "$(HOSTNAME)", "\\", '"', "x y", "\u00e9"])
def test_a_value_of_another_form_is_wrong_wherever_it_differs(output: Output, alien: str) -> None:
    sample = SAMPLES[output]
    others = [alien] if not alien else [alien + sample, sample + alien, sample[:1] + alien + sample[1:]]
    assert [find_wrong_output({output: other}) for other in others] == [output] * len(others)


@given(st.sampled_from(Output), st.text())
def test_what_passes_has_no_character_of_the_configuration_language(output: Output, text: str) -> None:
    if not find_wrong_output({output: text}):
        assert re.fullmatch(r"[A-Za-z0-9:/_+=,.@-]+", text)


@each_output
def test_an_output_is_optional_exactly_where_the_template_has_it_on_a_condition(output: Output) -> None:
    assert OUTPUTS[output].optional == (output in CONDITIONS)


def test_no_two_outputs_give_the_same_knob() -> None:
    names = [knob.name for knob in KNOBS]
    assert len(names) == len(set(names))


STACK_ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/lab/0a1b2c3d-1111-2222-3333-0123456789ab"
OWN: dict[str, str] = {
    Output.S3_BUCKET_NAME: "annex-bootstrap-123456789012-0a1b2c3d-0123456789ab",
    Output.LEASE_FUNCTION_ARN: "arn:aws:lambda:us-east-1:123456789012:function:lab-LeaseFunction-AbC123",
    Output.CONNECTIVITY_FUNCTION_ARN: "arn:aws:lambda:us-east-1:123456789012:function:lab-ConnectivityFunction-AbC123",
    Output.INSTANCE_CONFIGURATION_PROFILE: "arn:aws:iam::123456789012:instance-profile/annex-bootstrap/"
    "annex-bootstrap-instance-0a1b2c3d-0123456789ab",
    Output.INSTANCE_ROLE_ARN: "arn:aws:iam::123456789012:role/annex-bootstrap/"
    "annex-bootstrap-instance-0a1b2c3d-0123456789ab",
    Output.IAM_FLEET_ROLE_ARN: "arn:aws:iam::123456789012:role/any/fleet",
    Output.ANNEX_USER_POLICY_ARN: "arn:aws:iam::123456789012:policy/annex-bootstrap/lab-AnnexUserPolicy-AbC123",
    Output.START_POLICY_ARN: "arn:aws:iam::123456789012:policy/annex-bootstrap/lab-StartPolicy-AbC123",
    Output.ANNEX_USER_ROLE_ARN: "arn:aws:iam::123456789012:role/annex-bootstrap/lab/lab-AnnexUserRole-AbC123",
    Output.START_INSTANCE_PROFILE: "arn:aws:iam::123456789012:instance-profile/annex-bootstrap/"
    "annex-bootstrap-instance-start-0a1b2c3d-0123456789ab",
}


def test_what_a_stack_made_is_its_own() -> None:
    assert find_foreign_output(OWN, STACK_ID, "") == ""
    assert find_foreign_output(OWN | {Output.S3_BUCKET_NAME: "adopted"}, STACK_ID, "adopted") == ""


def test_the_roles_of_a_stack_with_a_boundary_of_its_own_have_its_name() -> None:
    def outputs(name: str) -> dict[str, str]:
        arn = "arn:aws:iam::123456789012:instance-profile/annex-bootstrap/"
        return {
            Output.INSTANCE_CONFIGURATION_PROFILE: f"{arn}{name}_instance-0a1b2c3d",
            Output.START_INSTANCE_PROFILE: f"{arn}{name}_instance-start-0a1b2c3d",
        }

    assert find_foreign_output(outputs("lab"), STACK_ID, "") == ""
    assert find_foreign_output(outputs("lab-b"), STACK_ID, "") == Output.INSTANCE_CONFIGURATION_PROFILE


def test_aws_cuts_the_names_of_a_stack_whose_name_is_long() -> None:
    stack_id = STACK_ID.replace("stack/lab/", f"stack/{'lab' * 20}/")
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{'lab' * 12}l-LeaseFunction-AbC123"
    assert find_foreign_output({Output.LEASE_FUNCTION_ARN: arn}, stack_id, "") == ""


@pytest.mark.parametrize("output", OWN)
@pytest.mark.parametrize(
    ("own", "other"),
    [
        ("123456789012", "999999999999"),
        ("us-east-1", "eu-west-1"),
        ("arn:aws:", "arn:aws-us-gov:"),
        (":lab-", ":lab-b-"),
        ("/lab-", "/lab-b-"),
        ("LeaseFunction", "BucketFunction"),
        ("ConnectivityFunction", "LeaseFunction"),
        ("AnnexUserPolicy", "LeaseFunctionPolicy"),
        ("/annex-bootstrap/", "/"),
        ("0a1b2c3d", "ffffffff"),
        ("-0123456789ab", "-ffffffffffff"),
    ],
)
def test_what_is_not_a_stacks_own_is_foreign(output: str, own: str, other: str) -> None:
    value = OWN[output].replace(own, other)
    assert find_foreign_output(OWN | {output: value}, STACK_ID, "") == ("" if value == OWN[output] else output)
