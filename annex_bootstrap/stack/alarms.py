"""The state of a stack's alarms."""

from __future__ import annotations

from collections.abc import Mapping

from botocore.exceptions import ClientError

from annex_bootstrap.aws import Account, explained
from annex_bootstrap.stack.read import Stack
from annex_contract.stack import LogicalId

ALARMS = (LogicalId.LEASE_ALARM, LogicalId.THROTTLE_ALARM, LogicalId.SWEEP_ALARM, LogicalId.SILENCE_ALARM)


def read_alarms(account: Account, stack: Stack) -> Mapping[str, str]:
    """Return the states of those of a stack's alarms that exist, such as ``OK`` or ``ALARM``, by logical ID.

    Raises:
        UserError: AWS refused.
    """
    with explained(f"reading the alarms of {stack.name}"):
        names = {name: logical_id for logical_id in ALARMS if (name := _physical_name(account, stack, logical_id))}
        if not names:
            return {}
        found = account.cloudwatch.describe_alarms(AlarmNames=sorted(names))["MetricAlarms"]
    return {str(names[alarm["AlarmName"]]): alarm["StateValue"] for alarm in found}


def _physical_name(account: Account, stack: Stack, logical_id: LogicalId) -> str:
    try:
        detail = account.cloudformation.describe_stack_resource(StackName=stack.stack_id, LogicalResourceId=logical_id)
    except ClientError as error:
        # An older version's stack has no such alarm.
        if error.response["Error"]["Code"] == "ValidationError":
            return ""
        raise
    return detail["StackResourceDetail"].get("PhysicalResourceId", "")
