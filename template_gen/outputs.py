"""The outputs of the stack, by the names that the client reads."""

from __future__ import annotations

from collections.abc import Mapping

from troposphere import AWSHelperFn, Output, Template

from annex_bootstrap import contract

DESCRIPTIONS = {
    contract.Output.S3_BUCKET_NAME: "The private bucket",
    contract.Output.LEASE_FUNCTION_ARN: "The function that ends an annex when its time is up",
    contract.Output.CONNECTIVITY_FUNCTION_ARN: "The function that tells whether AWS reaches the pool",
    contract.Output.INSTANCE_CONFIGURATION_PROFILE: "The instance profile of the machines",
    contract.Output.INSTANCE_ROLE_ARN: "The role of the machines",
    contract.Output.IAM_FLEET_ROLE_ARN: "The role of spot fleets",
    contract.Output.SECURITY_GROUP_ID: "The security group of the machines",
    contract.Output.ANNEX_USER_POLICY_ARN: "The policy for the user who runs condor_annex",
    contract.Output.VERSION: "The version of annex-bootstrap that made this stack",
    contract.Output.KEY_PAIR_NAME: "The key pair for SSH",
}


def add_outputs(template: Template, values: Mapping[contract.Output, AWSHelperFn | str]) -> None:
    """Add every output.

    Raises:
        KeyError: an output has no value.
    """
    for output in contract.Output:
        condition = {"Condition": "WantsKeyPair"} if output is contract.Output.KEY_PAIR_NAME else {}
        template.add_output(Output(str(output), Description=DESCRIPTIONS[output], Value=values[output], **condition))
