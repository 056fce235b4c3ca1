"""Whether somebody may start annexes: EC2 is asked, and starts nothing."""

from __future__ import annotations

from annex_bootstrap.annexes.starting import tags_of
from annex_bootstrap.aws import Account, explained
from annex_bootstrap.errors import AwsError
from annex_bootstrap.machines.subnets import find_subnets, stack_subnets
from annex_bootstrap.stack.read import Stack
from annex_contract.stack import Output
from annex_contract.tags import tags_of_stack

ALLOWED = "DryRunOperation"
"""What EC2 answers to a dry run by somebody with the right; UnauthorizedOperation to anybody else. Source:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html"""

NOBODY = "dry-run"
"""The annex and the request of the machine that does not start."""


def find_refusal(account: Account, stack: Stack) -> AwsError | None:
    """Ask EC2 whether a machine of ``start`` would start.

    This is the right that only StartPolicy gives: by the stack's launch template, in the caller's own name.

    Args:
        account: where, and as whom.
        stack: one with a launch template.

    Returns:
        None where it would. ``DeniedError`` where the caller may not; any other error says nothing about rights.

    Raises:
        UserError: the stack's subnets cannot be read for another reason than want of a right.
    """
    outputs = stack.outputs
    tags = tags_of_stack(stack.parameters) | tags_of(NOBODY, NOBODY, account.caller)
    try:
        subnets = find_subnets(account, outputs[Output.SECURITY_GROUP_ID], stack_subnets(stack))
        with explained("asking EC2 whether these credentials may start machines"):
            account.ec2.run_instances(
                DryRun=True,
                MinCount=1,
                MaxCount=1,
                InstanceType=outputs[Output.INSTANCE_TYPE],  # type: ignore[arg-type]  # any that the stack takes
                LaunchTemplate={
                    "LaunchTemplateId": outputs[Output.LAUNCH_TEMPLATE_ID],
                    "Version": outputs[Output.LAUNCH_TEMPLATE_VERSION],
                },
                SubnetId=subnets[0].subnet_id,
                TagSpecifications=[
                    {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
                    for kind in ("instance", "volume")
                ],
            )
    except AwsError as error:
        return None if error.code == ALLOWED else error
    raise AssertionError("a dry run is always an error")
