"""The budget that mails when an account's cost grows: AWS Budgets, called by the client.

CloudFormation has no AWS::Budgets::Budget in many regions, so it is not a resource of the stack. Source:
https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_budgets_CreateBudget.html
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from annex_bootstrap.aws import Account, explained
from annex_bootstrap.errors import AwsError, CommandLineError, UserError
from annex_bootstrap.stack.read import Stack
from annex_contract.stack import STACK_TAG

if TYPE_CHECKING:
    from mypy_boto3_budgets.type_defs import NotificationTypeDef

PARTITIONS = ("aws",)
"""Where AWS Budgets can be called for the account itself. Source:
https://docs.aws.amazon.com/general/latest/gr/billing.html"""

MAILS: tuple[NotificationTypeDef, ...] = (
    {"NotificationType": "ACTUAL", "ComparisonOperator": "GREATER_THAN", "Threshold": 50.0},
    {"NotificationType": "ACTUAL", "ComparisonOperator": "GREATER_THAN", "Threshold": 80.0},
    {"NotificationType": "ACTUAL", "ComparisonOperator": "GREATER_THAN", "Threshold": 100.0},
    {"NotificationType": "FORECASTED", "ComparisonOperator": "GREATER_THAN", "Threshold": 100.0},
)
"""When it mails: at these percentages of the limit."""

GONE = "NotFoundException"


@dataclass(frozen=True)
class Budget:
    """A budget that was asked for.

    Attributes:
        monthly: US dollars a calendar month, for the whole account.
        mail: the address.
    """

    monthly: Decimal
    mail: str


def read_budget(monthly: str | None, mail: str | None) -> Budget | None:
    """Return the budget that two options ask for, or None where neither is given.

    Raises:
        UserError: one of the two is missing or malformed.
    """
    if monthly is None and mail is None:
        return None
    if monthly is None or mail is None:
        raise CommandLineError("--monthly-budget and --mail belong together: give both")
    try:
        dollars = Decimal(monthly)
    except InvalidOperation:
        dollars = Decimal(0)
    if not dollars.is_finite() or dollars <= 0 or dollars.normalize().as_tuple().exponent < -2:  # type: ignore[operator]
        raise CommandLineError(f"invalid amount {monthly!r} of --monthly-budget: type US dollars, such as 50 or 49.90")
    if not (0 < mail.find("@") < len(mail) - 1) or len(mail) > 50:
        raise CommandLineError(f"invalid mail address {mail!r}: AWS Budgets takes addresses of at most 50 characters")
    return Budget(dollars, mail)


def check_partition(account: Account) -> None:
    """Refuse a partition without AWS Budgets.

    Raises:
        UserError: it has none.
    """
    if account.partition not in PARTITIONS:
        raise UserError(f"there is no AWS Budgets in the partition {account.partition}: leave out --monthly-budget")


def budget_name(account: Account, stack: Stack) -> str:
    """Return the name of a stack's budget."""
    return f"{stack.name}-{account.region}"


def set_budget(account: Account, stack: Stack, budget: Budget) -> bool:
    """Set the stack's budget.

    Returns:
        Whether anything changed.

    Raises:
        UserError: there is a budget of that name that is not the stack's, or AWS refused.
    """
    name = budget_name(account, stack)
    with explained(f"setting the budget {name}"):
        found = _find(account, name)
        if found is not None:
            _check_ours(account, name, stack.stack_id)
            if found == (budget.monthly, {budget.mail}):
                return False
            # A budget has no call that replaces all its mails at once.
            account.budgets.delete_budget(AccountId=account.account_id, BudgetName=name)
        account.budgets.create_budget(
            AccountId=account.account_id,
            Budget={
                "BudgetName": name,
                "BudgetType": "COST",
                "TimeUnit": "MONTHLY",
                "BudgetLimit": {"Amount": f"{budget.monthly:f}", "Unit": "USD"},
            },
            NotificationsWithSubscribers=[
                {"Notification": mail, "Subscribers": [{"SubscriptionType": "EMAIL", "Address": budget.mail}]}
                for mail in MAILS
            ],
            ResourceTags=[{"Key": STACK_TAG, "Value": stack.stack_id}],
        )
    return True


def delete_budget(account: Account, stack: Stack) -> bool:
    """Delete the stack's budget.

    Returns:
        Whether there was one.

    Raises:
        UserError: AWS refused.
    """
    name = budget_name(account, stack)
    if account.partition not in PARTITIONS:
        return False
    with explained(f"deleting the budget {name}"):
        if _find(account, name) is None or _owner(account, name) != stack.stack_id:
            return False
        account.budgets.delete_budget(AccountId=account.account_id, BudgetName=name)
    return True


def _find(account: Account, name: str) -> tuple[Decimal, set[str]] | None:
    """Return limit and addresses of a budget, or None where there is none."""
    try:
        with explained(f"reading the budget {name}"):
            found = account.budgets.describe_budget(AccountId=account.account_id, BudgetName=name)["Budget"]
    except AwsError as error:
        if error.code == GONE:
            return None
        raise
    mails: set[str] = set()
    notifications = account.budgets.describe_notifications_for_budget(
        AccountId=account.account_id, BudgetName=name
    ).get("Notifications", [])
    for notification in notifications:
        subscribers = account.budgets.describe_subscribers_for_notification(
            AccountId=account.account_id, BudgetName=name, Notification=notification
        )["Subscribers"]
        mails |= {subscriber["Address"] for subscriber in subscribers}
    return Decimal(found["BudgetLimit"]["Amount"]), mails if len(notifications) == len(MAILS) else set()


def _owner(account: Account, name: str) -> str:
    arn = f"arn:{account.partition}:budgets::{account.account_id}:budget/{name}"
    tags = account.budgets.list_tags_for_resource(ResourceARN=arn).get("ResourceTags", [])
    return next((tag["Value"] for tag in tags if tag["Key"] == STACK_TAG), "")


def _check_ours(account: Account, name: str, stack_id: str) -> None:
    if _owner(account, name) != stack_id:
        raise UserError(f"there is a budget {name} that this stack did not make: delete or rename it, then try again")
