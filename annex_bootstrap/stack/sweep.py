"""When the lease function was last called, as the hourly check for orphans makes sure that it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from annex_bootstrap.aws import Account, explained

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
    now = datetime.now(UTC)
    with explained("reading when the lease function was last called"):
        points = account.cloudwatch.get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName="Invocations",
            Dimensions=[{"Name": "FunctionName", "Value": function_arn.rpartition(":")[2]}],
            StartTime=now - timedelta(hours=HOURS),
            EndTime=now,
            Period=MINUTE,
            Statistics=["Sum"],
        )["Datapoints"]
    return max((point["Timestamp"] for point in points if point["Sum"]), default=None)
