"""When the lease function was last called, as the hourly check for orphans makes sure that it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from annex_bootstrap.aws import Account, explained

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.type_defs import DatapointTypeDef

HOURS = 3
"""How far back to look: the check runs every hour."""

MINUTE = 60
"""Seconds: the shortest period of a metric of Lambda's. Source:
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html"""


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
