"""The budget that ``deploy`` sets and ``delete`` deletes, under the deployer's policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
import pytest

from annex_bootstrap.errors import UserError
from annex_bootstrap.stack.budget import read_budget
from local_aws.launcher import ACCOUNT
from tests.local_aws.cli_user import CliUser

if TYPE_CHECKING:
    from mypy_boto3_budgets import BudgetsClient

pytestmark = pytest.mark.slow

MAIL = "somebody@example.org"


@pytest.fixture
def budgets(root: boto3.Session) -> BudgetsClient:
    return root.client("budgets")


def asks(dollars: str, mail: str = MAIL) -> list[str]:
    return ["deploy", "--yes", "--param", "Image=no", "--monthly-budget", dollars, "--mail", mail]


def mails(budgets: BudgetsClient, name: str) -> list[tuple[str, float, str]]:
    return sorted(
        (notification["NotificationType"], notification["Threshold"], subscriber["Address"])
        for notification in budgets.describe_notifications_for_budget(AccountId=ACCOUNT, BudgetName=name)[
            "Notifications"
        ]
        for subscriber in budgets.describe_subscribers_for_notification(
            AccountId=ACCOUNT, BudgetName=name, Notification=notification
        )["Subscribers"]
    )


def test_a_budget_is_set_once_changed_when_asked_and_deleted_with_the_stack(
    deployer: CliUser, budgets: BudgetsClient
) -> None:
    name = f"{deployer.stack_name}-us-east-1"
    shown = deployer.must(*asks("50")[:1], "--dry-run", *asks("50")[2:]).stdout
    assert "counts the whole account" in shown
    assert budgets.describe_budgets(AccountId=ACCOUNT)["Budgets"] == []

    assert f"The budget {name} is set." in deployer.must(*asks("50")).stdout
    (budget,) = budgets.describe_budgets(AccountId=ACCOUNT)["Budgets"]
    assert (budget["BudgetLimit"], budget["TimeUnit"]) == ({"Amount": "50", "Unit": "USD"}, "MONTHLY")
    assert mails(budgets, name) == [
        ("ACTUAL", 50.0, MAIL),
        ("ACTUAL", 80.0, MAIL),
        ("ACTUAL", 100.0, MAIL),
        ("FORECASTED", 100.0, MAIL),
    ]
    tags = budgets.list_tags_for_resource(ResourceARN=f"arn:aws:budgets::{ACCOUNT}:budget/{name}")["ResourceTags"]
    assert [tag["Key"] for tag in tags] == ["annex-bootstrap:stack"]

    assert f"The budget {name} is up to date." in deployer.must(*asks("50")).stdout
    assert f"The budget {name} is set." in deployer.must(*asks("75.50", "other@example.org")).stdout
    (budget,) = budgets.describe_budgets(AccountId=ACCOUNT)["Budgets"]
    assert float(budget["BudgetLimit"]["Amount"]) == 75.5
    assert {address for _, _, address in mails(budgets, name)} == {"other@example.org"}

    assert f"deleted the budget {name}" in deployer.must("delete", "--yes").stdout
    assert budgets.describe_budgets(AccountId=ACCOUNT)["Budgets"] == []


def test_somebody_else_s_budget_of_that_name_is_never_touched(deployer: CliUser, budgets: BudgetsClient) -> None:
    name = f"{deployer.stack_name}-us-east-1"
    budgets.create_budget(
        AccountId=ACCOUNT,
        Budget={
            "BudgetName": name,
            "BudgetType": "COST",
            "TimeUnit": "MONTHLY",
            "BudgetLimit": {"Amount": "7", "Unit": "USD"},
        },
    )
    refused = deployer.run(*asks("50"))
    assert refused.returncode == 1
    assert f"there is a budget {name} that this stack did not make" in refused.stderr
    deployer.must("delete", "--yes")
    (budget,) = budgets.describe_budgets(AccountId=ACCOUNT)["Budgets"]
    assert budget["BudgetLimit"] == {"Amount": "7", "Unit": "USD"}
    budgets.delete_budget(AccountId=ACCOUNT, BudgetName=name)


@pytest.mark.parametrize(
    ("monthly", "mail", "reason"),
    [
        ("50", None, "belong together"),
        (None, MAIL, "belong together"),
        ("0", MAIL, "invalid amount"),
        ("-5", MAIL, "invalid amount"),
        ("much", MAIL, "invalid amount"),
        ("NaN", MAIL, "invalid amount"),
        ("1.001", MAIL, "invalid amount"),
        ("50", "nobody", "invalid mail address"),
        ("50", "@example.org", "invalid mail address"),
    ],
)
def test_an_invalid_budget_is_refused_with_what_to_type(monthly: str | None, mail: str | None, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        read_budget(monthly, mail)
