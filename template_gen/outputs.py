"""The outputs of the stack, by the names that the client reads."""

from __future__ import annotations

from collections.abc import Mapping

from troposphere import AWSHelperFn, Output, Template

from annex_contract import stack

DESCRIPTIONS = {
    stack.Output.S3_BUCKET_NAME: "The private bucket",
    stack.Output.LEASE_FUNCTION_ARN: "The function that ends an annex when its lease expires",
    stack.Output.CONNECTIVITY_FUNCTION_ARN: "The function that checks whether AWS can reach the pool",
    stack.Output.INSTANCE_CONFIGURATION_PROFILE: "The instance profile of condor_annex's machines",
    stack.Output.INSTANCE_ROLE_ARN: "The role of condor_annex's machines",
    stack.Output.IAM_FLEET_ROLE_ARN: "The role of spot fleets",
    stack.Output.SECURITY_GROUP_ID: "The security group of the machines",
    stack.Output.ANNEX_USER_POLICY_ARN: "The policy for the user that runs condor_annex",
    stack.Output.VERSION: "The version of annex-bootstrap that created this stack",
    stack.Output.KEY_PAIR_NAME: "The key pair for SSH",
    stack.Output.IMAGE_ID: "The image of the machines",
    stack.Output.INSTANCE_TYPE: "The type of on-demand machines",
    stack.Output.LAUNCH_TEMPLATE_ID: "The launch template of annex-bootstrap start",
    stack.Output.LAUNCH_TEMPLATE_VERSION: "The version of the launch template",
    stack.Output.START_POLICY_ARN: "The policy for users of annex-bootstrap start",
    stack.Output.START_INSTANCE_PROFILE: "The instance profile of the machines of annex-bootstrap start",
    stack.Output.ANNEX_USER_ROLE_ARN: "The role for users of annex-bootstrap start who have no IAM user",
    stack.Output.START_ROLE_ID: "The unique ID of their role, a part of the name of each one's configuration",
}

CONDITIONS = {
    stack.Output.KEY_PAIR_NAME: "WantsKeyPair",
    stack.Output.IMAGE_ID: "HasImage",
    stack.Output.INSTANCE_TYPE: "HasImage",
    stack.Output.LAUNCH_TEMPLATE_ID: "MakesImage",
    stack.Output.LAUNCH_TEMPLATE_VERSION: "MakesImage",
    stack.Output.START_POLICY_ARN: "MakesImage",
    stack.Output.START_INSTANCE_PROFILE: "MakesImage",
    stack.Output.START_ROLE_ID: "MakesImage",
    stack.Output.ANNEX_USER_ROLE_ARN: "HasUserRole",
}
"""The conditions of those outputs that a stack may not have."""


def add_outputs(template: Template, values: Mapping[stack.Output, AWSHelperFn | str]) -> None:
    """Add every output.

    Raises:
        KeyError: an output has no value.
    """
    for output in stack.Output:
        condition = {"Condition": CONDITIONS[output]} if output in CONDITIONS else {}
        template.add_output(Output(str(output), Description=DESCRIPTIONS[output], Value=values[output], **condition))
