"""The state of a stack's alarms."""

from __future__ import annotations

from collections.abc import Mapping

from annex_bootstrap.aws import Account, explained, physical_id
from annex_bootstrap.stack.read import Stack
from annex_contract.stack import LogicalId

ALARMS = (LogicalId.LEASE_ALARM, LogicalId.THROTTLE_ALARM, LogicalId.SWEEP_ALARM, LogicalId.SILENCE_ALARM)


def read_alarms(account: Account, stack: Stack) -> Mapping[str, str]:
    """Return the states of those of a stack's alarms that exist, such as ``OK`` or ``ALARM``, by logical ID.

    Raises:
        UserError: AWS refused.
    """
    # An older version's stack lacks some of them.
    names = {name: logical_id for logical_id in ALARMS if (name := physical_id(account, stack.stack_id, logical_id))}
    if not names:
        return {}
    with explained(f"reading the alarms of {stack.name}"):
        found = account.cloudwatch.describe_alarms(AlarmNames=sorted(names))["MetricAlarms"]
    return {str(names[alarm["AlarmName"]]): alarm["StateValue"] for alarm in found}
