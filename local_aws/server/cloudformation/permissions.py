"""What DescribeEvents is authorized on: the change set that it names, which MiniStack does not look at.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscloudformation.html
"""

from __future__ import annotations

from local_aws.server.iam.rules import Rules, action_of, value_of
from local_aws.server.wire import Params


def resources(params: Params) -> list[str]:
    """Return the change set's ARN; of other calls MiniStack knows the resource."""
    change_set = value_of(params, "ChangeSetName")
    return [change_set] if action_of(params) == "DescribeEvents" and change_set.startswith("arn:") else []


RULES = Rules(resources)
