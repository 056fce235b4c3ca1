"""What CloudWatch checks before a call: the alarms that DescribeAlarms names.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html
"""

from __future__ import annotations

from ministack.core.responses import get_account_id, get_region

from local_aws.server.iam.rules import Rules
from local_aws.server.wire import Params


def resources(params: Params) -> list[str]:
    """Return the ARN of the first alarm that a call names, as MiniStack checks one; of others MiniStack knows it."""
    names = params.get("AlarmNames") or []
    first = names if isinstance(names, str) else next(iter(names), "")
    return [f"arn:aws:cloudwatch:{get_region()}:{get_account_id()}:alarm:{first}"] if first else []


RULES = Rules(resources)
