"""The budget: what is asked of AWS Budgets, and whose budget is touched."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from annex_bootstrap.errors import UserError
from annex_bootstrap.stack.budget import Budget, delete_budget, read_budget, set_budget
from tests.unit.annex_bootstrap.commands.conftest import STACK_ID, a_stack
from tests.unit.recorded import Recorded, RefusedError

NAME = "annex-bootstrap-us-east-1"
WANTED = Budget(Decimal("49.90"), "a@example.org")
NONE = RefusedError("NotFoundException")
NAMED = {"AccountId": "123456789012", "BudgetName": NAME}


MOMENTS = (("ACTUAL", 50.0), ("ACTUAL", 80.0), ("ACTUAL", 100.0), ("FORECASTED", 100.0))


def found(amount: str = "49.90", mail: str = "a@example.org", moments: int = 4) -> dict[str, Any]:
    """Return the answers of an account that has a budget of that name."""
    notifications = [
        {"NotificationType": kind, "ComparisonOperator": "GREATER_THAN", "Threshold": threshold}
        for kind, threshold in MOMENTS[:moments]
    ]
    return {
        "DescribeBudget": {
            "Budget": {
                "BudgetName": NAME,
                "BudgetType": "COST",
                "TimeUnit": "MONTHLY",
                "BudgetLimit": {"Amount": amount, "Unit": "USD"},
            }
        },
        "DescribeNotificationsForBudget": {"Notifications": notifications},
        "DescribeSubscribersForNotification": {"Subscribers": [{"SubscriptionType": "EMAIL", "Address": mail}]},
        "ListTagsForResource": {"ResourceTags": [{"Key": "annex-bootstrap:stack", "Value": STACK_ID}]},
        "DeleteBudget": {},
        "CreateBudget": {},
    }


def test_a_budget_mails_at_four_moments_and_has_the_stacks_tag() -> None:
    aws = Recorded(**found() | {"DescribeBudget": NONE})
    assert set_budget(aws.account(), a_stack(), WANTED)
    subscribers = [{"SubscriptionType": "EMAIL", "Address": "a@example.org"}]
    assert aws.of("CreateBudget") == [
        {
            "AccountId": "123456789012",
            "Budget": {
                "BudgetName": NAME,
                "BudgetType": "COST",
                "TimeUnit": "MONTHLY",
                "BudgetLimit": {"Amount": "49.90", "Unit": "USD"},
            },
            "NotificationsWithSubscribers": [
                {
                    "Notification": {
                        "NotificationType": kind,
                        "ComparisonOperator": "GREATER_THAN",
                        "Threshold": threshold,
                    },
                    "Subscribers": subscribers,
                }
                for kind, threshold in MOMENTS
            ],
            "ResourceTags": [{"Key": "annex-bootstrap:stack", "Value": STACK_ID}],
        }
    ]
    assert aws.of("DeleteBudget") == []


def test_a_budget_that_is_as_wanted_stays() -> None:
    aws = Recorded(**found())
    assert not set_budget(aws.account(), a_stack(), WANTED)
    assert not {"CreateBudget", "DeleteBudget"} & set(aws.names)


@pytest.mark.parametrize("changed", [{"amount": "50"}, {"mail": "b@example.org"}, {"moments": 3}])
def test_a_budget_that_differs_is_made_again(changed: dict[str, Any]) -> None:
    aws = Recorded(**found(**changed))
    assert set_budget(aws.account(), a_stack(), WANTED)
    assert aws.of("DeleteBudget") == [NAMED]
    assert aws.names[-2:] == ["DeleteBudget", "CreateBudget"]


@pytest.mark.parametrize("tags", [[{"Key": "annex-bootstrap:stack", "Value": "somebody"}], []])
def test_a_budget_of_somebody_else_is_never_touched(tags: list[dict[str, str]]) -> None:
    aws = Recorded(**found(amount="5") | {"ListTagsForResource": {"ResourceTags": tags}})
    with pytest.raises(UserError, match=f"there is a budget {NAME} that this stack did not make"):
        set_budget(aws.account(), a_stack(), WANTED)
    assert not delete_budget(aws.account(), a_stack())
    assert not {"CreateBudget", "DeleteBudget"} & set(aws.names)


def test_only_the_stacks_own_budget_is_deleted_where_there_are_budgets() -> None:
    aws = Recorded(**found())
    assert delete_budget(aws.account(), a_stack())
    assert aws.of("DeleteBudget") == [NAMED]
    assert not delete_budget(Recorded(DescribeBudget=NONE).account(), a_stack())
    assert not delete_budget(Recorded().account("cn-north-1"), a_stack())
    with pytest.raises(UserError, match="AccessDenied"):
        delete_budget(Recorded(DescribeBudget=RefusedError("AccessDeniedException")).account(), a_stack())


@pytest.mark.parametrize(("amount", "dollars"), [("50", "50"), ("49.90", "49.90"), ("0.01", "0.01"), ("1e2", "1e2")])
def test_an_amount_is_read_as_it_is_typed(amount: str, dollars: str) -> None:
    assert read_budget(amount, "a@b") == Budget(Decimal(dollars), "a@b")
    assert read_budget(None, None) is None


@pytest.mark.parametrize(
    ("amount", "mail", "text"),
    [
        ("5", None, "belong together"),
        (None, "a@b", "belong together"),
        ("0", "a@b", "invalid amount '0'"),
        ("-1", "a@b", "invalid amount"),
        ("1.234", "a@b", "invalid amount"),
        ("NaN", "a@b", "invalid amount"),
        ("many", "a@b", "invalid amount"),
        ("5", "@b", "invalid mail address"),
        ("5", "a@", "invalid mail address"),
        ("5", "ab", "invalid mail address"),
        ("5", "a@" + "b" * 49, "invalid mail address"),
    ],
)
def test_what_is_no_budget_is_said(amount: str | None, mail: str | None, text: str) -> None:
    with pytest.raises(UserError, match=text):
        read_budget(amount, mail)
    assert read_budget("5", "a@" + "b" * 48) == Budget(Decimal(5), "a@" + "b" * 48)
