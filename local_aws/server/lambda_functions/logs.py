"""A function with a log group of another name than its own writes there while that exists; MiniStack recreates it.

So what still runs when its stack is deleted leaves nothing behind. On AWS a function makes the group with its own role,
and needs ``logs:CreateLogGroup`` for that, which none of ours has:
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html
"""

from __future__ import annotations

from typing import Any

from ministack.services import cloudwatch_logs, lambda_svc


def install() -> None:
    """Extend MiniStack's Lambda."""
    emit = lambda_svc._emit_lambda_logs

    def emit_to_existing(function: dict[str, Any], *arguments: Any, **options: Any) -> None:
        config = function["config"]
        usual = f"/aws/lambda/{config['FunctionName']}"
        group = (config.get("LoggingConfig") or {}).get("LogGroup") or usual
        if group == usual or group in cloudwatch_logs._log_groups:
            emit(function, *arguments, **options)

    lambda_svc._emit_lambda_logs = emit_to_existing
