"""What calls of CloudWatch Logs are authorized on.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatchlogs.html
"""

from __future__ import annotations

from ministack.core.responses import get_account_id, get_region

from local_aws.server.iam.rules import Rules
from local_aws.server.wire import Params


def resources(params: Params) -> list[str]:
    """Return the log stream that a call names; MiniStack takes its group."""
    group, stream = params.get("logGroupName"), params.get("logStreamName")
    if not (group and stream):
        return []
    return [f"arn:aws:logs:{get_region()}:{get_account_id()}:log-group:{group}:log-stream:{stream}"]


RULES = Rules(resources)
