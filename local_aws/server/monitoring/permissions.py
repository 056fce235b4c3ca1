"""What CloudWatch checks before a call: the alarms that it names, and the actions of an alarm.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html and
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/iam-cw-condition-keys-alarm-actions.html
"""

from __future__ import annotations

from ministack.core.responses import get_account_id, get_region

from local_aws.server.iam.rules import Context, Rules
from local_aws.server.wire import Params

_MEMBERS = ("AlarmActions", "InsufficientDataActions", "OKActions")


def resources(params: Params) -> list[str]:
    """Return the ARN of the first alarm that a list names, as MiniStack checks one; of others MiniStack knows it."""
    names = params.get("AlarmNames", [])
    first = names if isinstance(names, str) else next(iter(names), "")
    return [f"arn:aws:cloudwatch:{get_region()}:{get_account_id()}:alarm:{first}"] if first else []


def request_context(params: Params, _: str) -> Context:
    """Return the ARNs of what an alarm does."""
    actions = [action for member in _MEMBERS for action in params.get(member, [])]
    return {"cloudwatch:AlarmActions": actions} if actions else {}


RULES = Rules(resources, request_context)
