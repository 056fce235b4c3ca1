"""What AWS Budgets checks before a call: two actions for all of them, and tagging for tags set on creation.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsbudgetservice.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from ministack.core.responses import get_account_id

from local_aws.server.iam.rules import Check, Rules, value_of
from local_aws.server.wire import Params

ACTIONS = {
    "CreateBudget": "budgets:ModifyBudget",
    "DeleteBudget": "budgets:ModifyBudget",
    "DescribeBudget": "budgets:ViewBudget",
    "DescribeNotificationsForBudget": "budgets:ViewBudget",
    "DescribeSubscribersForNotification": "budgets:ViewBudget",
}
"""The actions that calls need, by the operation; others need the one of their own name."""


def resources(params: Params) -> list[str]:
    """Return the ARN of the budget that a call names."""
    given = value_of(params, "ResourceARN")
    created = cast("dict[str, Any]", params.get("Budget") or {}).get("BudgetName", "")
    name = value_of(params, "BudgetName") or created
    return [given or f"arn:aws:budgets::{get_account_id()}:budget/{name}"]


def implied_checks(params: Params) -> Iterator[Check]:
    """Yield tagging, for tags set on creation."""
    tags = cast("list[dict[str, str]]", params.get("ResourceTags") or [])
    if "Budget" in params and tags:
        context: dict[str, str | list[str]] = {f"aws:RequestTag/{tag['Key']}": tag["Value"] for tag in tags}
        context["aws:TagKeys"] = [tag["Key"] for tag in tags]
        yield Check("budgets:TagResource", resources(params)[0], context)


RULES = Rules(resources, implied_checks=implied_checks, actions=ACTIONS)
