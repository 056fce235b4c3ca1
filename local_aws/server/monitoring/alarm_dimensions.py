"""Alarms that count the metric with their own dimensions alone, as CloudWatch's do; MiniStack's count all of that name.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html#Dimension
"""

from __future__ import annotations

from types import FunctionType
from typing import Any

from ministack.services import cloudwatch

_evaluate = cloudwatch._evaluate_alarm


def install() -> None:
    """Let alarms see the points of their own dimensions."""
    cloudwatch._evaluate_alarm = _evaluate_alarm


def _evaluate_alarm(alarm: dict[str, Any]) -> None:
    wanted = {dimension["Name"]: dimension["Value"] for dimension in alarm.get("Dimensions", [])}
    seen = {
        key: points for key, points in cloudwatch._metrics.items() if points and points[0].get("Dimensions") == wanted
    }
    # The same code with another name for the metrics: what it reads must not change for other threads meanwhile.
    FunctionType(_evaluate.__code__, {**vars(cloudwatch), "_metrics": seen})(alarm)
