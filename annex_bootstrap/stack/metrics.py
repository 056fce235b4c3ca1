"""What CloudWatch says of a stack: its alarms, and when the lease function was last called."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from annex_bootstrap.aws import Account, explained, physical_id
from annex_bootstrap.stack.read import Stack
from annex_contract.stack import LogicalId

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.type_defs import DatapointTypeDef

ALARMS = (LogicalId.LEASE_ALARM, LogicalId.THROTTLE_ALARM, LogicalId.SWEEP_ALARM, LogicalId.SILENCE_ALARM)

HOURS = 3
"""How far back to look: the hourly check calls the lease function."""

MINUTE = 60
"""Seconds: the shortest period of a metric of Lambda's. Source:
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html"""


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


def read_last_call(account: Account, function_arn: str) -> datetime | None:
    """Return the minute in which the lease function was last called, or None if not in the last `HOURS` hours.

    Raises:
        UserError: AWS refused.
    """
    with explained("reading when the lease function was last called"):
        points = sums(account, "AWS/Lambda", "Invocations", FunctionName=function_arn.rpartition(":")[2])
    return max((point["Timestamp"] for point in points if point["Sum"]), default=None)


def sums(account: Account, namespace: str, metric: str, **dimension: str) -> list[DatapointTypeDef]:
    """Return the sums of a metric in each minute of the last `HOURS` hours that has any."""
    now = datetime.now(UTC)
    return account.cloudwatch.get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimension.items()],
        StartTime=now - timedelta(hours=HOURS),
        EndTime=now,
        Period=MINUTE,
        Statistics=["Sum"],
    )["Datapoints"]
