"""Making a change set, against answers of CloudFormation that no local one gives."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from botocore.stub import ANY, Stubber

from annex_bootstrap.aws import Account
from annex_bootstrap.errors import UserError
from annex_bootstrap.stack import change_set
from annex_bootstrap.stack.change_set import ChangeSet, make_change_set
from annex_bootstrap.stack.plan import Change

CHANGE_SET, STACK = (
    "arn:aws:cloudformation:us-east-1:1:changeSet/c/1",
    "arn:aws:cloudformation:us-east-1:1:stack/mine/1",
)
NAMED = {"StackName": STACK, "ChangeSetName": CHANGE_SET}


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setattr(change_set, "POLL", 0)
    monkeypatch.setattr(change_set, "ATTEMPTS", 3)
    return Account(boto3.Session("AKIAMADEUP", "made-up"), "us-east-1")


@pytest.fixture
def cloudformation(account: Account) -> Iterator[Stubber]:
    with Stubber(account.cloudformation) as stubber:
        asked = {
            "StackName": "mine",
            "ChangeSetName": ANY,
            "ChangeSetType": "CREATE",
            "TemplateURL": "https://example.com/template.json",
            "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
            "Parameters": [],
        }
        stubber.add_response("create_change_set", {"Id": CHANGE_SET, "StackId": STACK}, asked)
        yield stubber
        stubber.assert_no_pending_responses()


def make(account: Account) -> ChangeSet | None:
    return make_change_set(account, "mine", "CREATE", "https://example.com/template.json", [])


def test_it_is_waited_for_and_its_changes_are_read(account: Account, cloudformation: Stubber) -> None:
    cloudformation.add_response("describe_change_set", {"Status": "CREATE_PENDING"}, NAMED)
    cloudformation.add_response("describe_change_set", {"Status": "CREATE_COMPLETE"}, NAMED)
    listed = {"Action": "Add", "LogicalResourceId": "Bucket", "ResourceType": "Custom::AnnexBucket"}
    cloudformation.add_response("describe_change_set", {"Changes": [{"ResourceChange": listed}]}, NAMED)
    assert make(account) == ChangeSet(CHANGE_SET, STACK, (Change("Add", "Bucket", "Custom::AnnexBucket"),))


@pytest.mark.parametrize(
    "reason",
    [
        "The submitted information didn't contain changes. Submit different information to create a change set.",
        "No updates are to be performed.",
    ],
)
def test_one_without_changes_is_deleted_and_none_is_returned(
    account: Account, cloudformation: Stubber, reason: str
) -> None:
    cloudformation.add_response("describe_change_set", {"Status": "FAILED", "StatusReason": reason}, NAMED)
    cloudformation.add_response("delete_change_set", {}, NAMED)
    assert make(account) is None


def test_one_that_failed_is_deleted_and_the_reason_is_given(account: Account, cloudformation: Stubber) -> None:
    failed = {"Status": "FAILED", "StatusReason": "Template format error"}
    cloudformation.add_response("describe_change_set", failed, NAMED)
    cloudformation.add_response("delete_change_set", {}, NAMED)
    with pytest.raises(UserError, match="the change set for mine cannot be made: Template format error"):
        make(account)


def test_one_that_is_never_made_is_given_up(account: Account, cloudformation: Stubber) -> None:
    for _ in range(3):
        cloudformation.add_response("describe_change_set", {"Status": "CREATE_IN_PROGRESS"}, NAMED)
    with pytest.raises(UserError, match=r"has not made the change set after .*run the same command again"):
        make(account)


def test_a_refusal_while_waiting_is_explained_like_every_other(account: Account, cloudformation: Stubber) -> None:
    cloudformation.add_client_error("describe_change_set", "ExpiredToken", "The token has expired")
    with pytest.raises(UserError, match="AWS said ExpiredToken: The token has expired; renew your credentials"):
        make(account)
