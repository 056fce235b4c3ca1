"""Alarms of the local AWS."""

from __future__ import annotations

import boto3


def test_an_alarm_counts_only_its_own_dimensions(root: boto3.Session) -> None:
    cloudwatch = root.client("cloudwatch")
    for name in ("ours", "theirs"):
        cloudwatch.put_metric_alarm(
            AlarmName=f"dimensions-{name}",
            Namespace="Made/Up",
            MetricName="Errors",
            Dimensions=[{"Name": "FunctionName", "Value": name}],
            Statistic="Sum",
            Threshold=1,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
            Period=300,
            EvaluationPeriods=1,
        )
    theirs = {"MetricName": "Errors", "Dimensions": [{"Name": "FunctionName", "Value": "theirs"}], "Value": 1.0}
    cloudwatch.put_metric_data(Namespace="Made/Up", MetricData=[theirs])  # type: ignore[list-item]  # a plain dict
    alarms = cloudwatch.describe_alarms(AlarmNamePrefix="dimensions-")["MetricAlarms"]
    states = {alarm["AlarmName"]: alarm["StateValue"] for alarm in alarms}
    assert states["dimensions-theirs"] == "ALARM"
    assert states["dimensions-ours"] != "ALARM"
    cloudwatch.delete_alarms(AlarmNames=list(states))
