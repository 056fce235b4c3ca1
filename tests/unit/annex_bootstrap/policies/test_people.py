"""The stack's policies for people, as an administrator gets them: what the template says, for one stack."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace

import pytest

from annex_bootstrap.errors import UserError
from annex_bootstrap.policies.people import people_policy
from annex_bootstrap.stack.read import Stack
from annex_bootstrap.stack.resolve import resolve, resolve_conditions
from annex_contract.stack import LogicalId, Output
from tests.stack_values import TEMPLATE as RESOURCES
from tests.stack_values import conditions_of, new_stack_id, values_of
from tests.unit.annex_bootstrap.stack.sample_stack import OURS, TEMPLATE, a_stack

STACK_ID = new_stack_id()
VALUES = values_of(STACK_ID, {})
VPC = VALUES["SecurityGroup.VpcId"]
OUTPUTS: Mapping[str, str] = {
    Output.VERSION: "1.2.3",
    Output.LEASE_FUNCTION_ARN: VALUES["LeaseFunction.Arn"],
    Output.CONNECTIVITY_FUNCTION_ARN: VALUES["ConnectivityFunction.Arn"],
    Output.INSTANCE_CONFIGURATION_PROFILE: VALUES["InstanceRole.ProfileArn"],
    Output.INSTANCE_ROLE_ARN: VALUES["InstanceRole.RoleArn"],
    Output.IAM_FLEET_ROLE_ARN: VALUES["FleetRole.RoleArn"],
    Output.SECURITY_GROUP_ID: VALUES["SecurityGroup.GroupId"],
    Output.S3_BUCKET_NAME: VALUES["Bucket.BucketName"],
    Output.IMAGE_ID: VALUES["MachineImage.ImageId"],
    Output.LAUNCH_TEMPLATE_ID: VALUES["LaunchTemplate"],
    Output.START_INSTANCE_PROFILE: VALUES["StartRole.ProfileArn"],
}


def a_deployed_stack(**parameters: str) -> Stack:
    made = a_stack("CREATE_COMPLETE", {**OURS, **parameters}, "1.2.3")
    return replace(made, stack_id=STACK_ID, name=STACK_ID.split("/")[1], outputs=OUTPUTS)


@pytest.mark.parametrize("policy", [LogicalId.ANNEX_USER_POLICY, LogicalId.START_POLICY])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"BucketName": "ours"},
        {"ImageIds": "ami-0123456789abcdef1,ami-0123456789abcdef2"},
        {"FleetRoleName": "ours"},
    ],
)
def test_it_is_what_the_template_gives_the_stack(policy: LogicalId, parameters: Mapping[str, str]) -> None:
    values = values_of(STACK_ID, parameters)
    document = RESOURCES[policy]["Properties"]["PolicyDocument"]
    printed = people_policy(TEMPLATE, a_deployed_stack(**parameters), VPC, policy)
    assert printed == resolve(document, values, conditions_of(parameters))
    assert not re.search(r'\$\{(?!aws:)|"Fn::|"Ref"', json.dumps(printed))


def test_every_condition_of_the_template_is_understood() -> None:
    values = values_of(STACK_ID, {})
    found = resolve_conditions(TEMPLATE["Conditions"], values)
    assert found == conditions_of({})


@pytest.mark.parametrize("image", ["no", "ami-0123456789abcdef0"])
def test_a_stack_that_makes_no_image_has_no_policy_for_start(image: str) -> None:
    with pytest.raises(UserError, match=r"^the stack swept has no StartPolicy: .* --param Image=yes$"):
        people_policy(TEMPLATE, a_deployed_stack(Image=image), VPC, LogicalId.START_POLICY)
    assert people_policy(TEMPLATE, a_deployed_stack(Image=image), VPC, LogicalId.ANNEX_USER_POLICY)["Statement"]


@pytest.mark.parametrize("parameter", ["BucketName", "Image", "ImageIds", "FleetRoleName", "VpcId"])
@pytest.mark.parametrize("value", ["*", "?", "${aws:userid}"])
def test_no_parameter_of_a_stack_is_a_pattern(parameter: str, value: str) -> None:
    with pytest.raises(UserError, match=f"^{parameter}=.* is not allowed: "):
        people_policy(TEMPLATE, a_deployed_stack(**{parameter: value}), VPC, LogicalId.ANNEX_USER_POLICY)


def test_a_stack_of_an_earlier_version_is_updated_first() -> None:
    older = a_deployed_stack()
    outputs = {name: value for name, value in older.outputs.items() if name != Output.LAUNCH_TEMPLATE_ID}
    with pytest.raises(UserError, match=r"^the stack swept does not say what its LaunchTemplate is: run .* deploy"):
        people_policy(TEMPLATE, replace(older, outputs=outputs), VPC, LogicalId.START_POLICY)
