"""What CloudWatch checks before a call: the actions of an alarm.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/iam-cw-condition-keys-alarm-actions.html
"""

from __future__ import annotations

from local_aws.server.iam.rules import Context, Rules
from local_aws.server.wire import Params

_MEMBERS = ("AlarmActions", "InsufficientDataActions", "OKActions")


def resources(_: Params) -> list[str]:
    """Leave the ARN of the alarm to MiniStack."""
    return []


def request_context(params: Params, _: str) -> Context:
    """Return the ARNs of what an alarm does."""
    actions = [action for member in _MEMBERS for action in params.get(member, [])]
    return {"cloudwatch:AlarmActions": actions} if actions else {}


RULES = Rules(resources, request_context)
