"""The outputs of the stack, by the names that the client reads."""

from __future__ import annotations

from collections.abc import Mapping

from troposphere import AWSHelperFn, Output, Template

from annex_contract import stack

DESCRIPTIONS = {
    stack.Output.S3_BUCKET_NAME: "The private bucket",
    stack.Output.LEASE_FUNCTION_ARN: "The function that ends an annex when its lease expires",
    stack.Output.CONNECTIVITY_FUNCTION_ARN: "The function that checks whether AWS can reach the pool",
    stack.Output.INSTANCE_CONFIGURATION_PROFILE: "The instance profile of the machines",
    stack.Output.INSTANCE_ROLE_ARN: "The role of the machines",
    stack.Output.IAM_FLEET_ROLE_ARN: "The role of spot fleets",
    stack.Output.SECURITY_GROUP_ID: "The security group of the machines",
    stack.Output.ANNEX_USER_POLICY_ARN: "The policy for the user that runs condor_annex",
    stack.Output.VERSION: "The version of annex-bootstrap that created this stack",
    stack.Output.KEY_PAIR_NAME: "The key pair for SSH",
}


def add_outputs(template: Template, values: Mapping[stack.Output, AWSHelperFn | str]) -> None:
    """Add every output.

    Raises:
        KeyError: an output has no value.
    """
    for output in stack.Output:
        condition = {"Condition": "WantsKeyPair"} if output is stack.Output.KEY_PAIR_NAME else {}
        template.add_output(Output(str(output), Description=DESCRIPTIONS[output], Value=values[output], **condition))
