"""Making a change set, against answers of CloudFormation that no local one gives."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from annex_bootstrap import aws
from annex_bootstrap.aws import Account
from annex_bootstrap.errors import UserError
from annex_bootstrap.stack import change_set
from annex_bootstrap.stack.change_set import ChangeSet, check_review, make_change_set
from annex_bootstrap.stack.plan import Change
from annex_bootstrap.stack.read import Stack
from tests.unit.recorded import Recorded, RefusedError

CHANGE_SET, STACK = (
    "arn:aws:cloudformation:us-east-1:1:changeSet/c/1",
    "arn:aws:cloudformation:us-east-1:1:stack/mine/1",
)
NAMED = {"StackName": STACK, "ChangeSetName": CHANGE_SET}
FULL = {
    "LogicalResourceId": "Old",
    "ValidationStatusReason": "The bucket 'made-up' is not empty.",
    "ValidationFailureMode": "WARN",
}
"""What a check found that does not stop a change set."""

TEMPLATE = '{"Resources": {"Group": {"Properties": {"Port": 1}}}}'


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setattr(change_set, "POLL", 0)
    monkeypatch.setattr(change_set, "ATTEMPTS", 3)
    monkeypatch.setattr(aws, "RETRY_PAUSE", 0.01)
    return Account(boto3.Session("AKIAMADEUP", "made-up"), "us-east-1")


@pytest.fixture
def cloudformation(account: Account) -> Iterator[Stubber]:
    with Stubber(account.cloudformation) as stubber:
        asked = {
            "StackName": "mine",
            "ChangeSetName": "annex-bootstrap-1",
            "ChangeSetType": "CREATE",
            "TemplateURL": "https://example.com/template.json",
            "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
            "Parameters": [],
        }
        stubber.add_response("create_change_set", {"Id": CHANGE_SET, "StackId": STACK}, asked)
        yield stubber
        stubber.assert_no_pending_responses()


def make(account: Account) -> ChangeSet | None:
    url = "https://example.com/template.json"
    return make_change_set(account, "mine", "annex-bootstrap-1", "CREATE", TEMPLATE, url, [])


def has_read(cloudformation: Stubber, template: str = TEMPLATE) -> None:
    """Expect that the client asks which template CloudFormation has read."""
    cloudformation.add_response("get_template", {"TemplateBody": template}, {**NAMED, "TemplateStage": "Original"})


def checked(cloudformation: Stubber, *events: dict[str, Any], failed: bool = False) -> None:
    """Expect that the client asks what the checks of the change set found."""
    common = {"StackId": STACK, "EventId": "1", "Timestamp": datetime.now(UTC), "EventType": "VALIDATION_ERROR"}
    answer = {"OperationEvents": [common | event for event in events]}
    asked = {"ChangeSetName": CHANGE_SET, "Filters": {"FailedEvents": failed}}
    cloudformation.add_response("describe_events", answer, asked)


def test_it_is_waited_for_and_its_changes_are_read(account: Account, cloudformation: Stubber) -> None:
    cloudformation.add_response("describe_change_set", {"Status": "CREATE_PENDING"}, NAMED)
    cloudformation.add_response("describe_change_set", {"Status": "CREATE_COMPLETE"}, NAMED)
    has_read(cloudformation)
    listed = {"Action": "Add", "LogicalResourceId": "Bucket", "ResourceType": "Custom::AnnexBucket"}
    cloudformation.add_response("describe_change_set", {"Changes": [{"ResourceChange": listed}]}, NAMED)
    checked(cloudformation)
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
    has_read(cloudformation)
    deleted(cloudformation, "UPDATE_COMPLETE")
    assert make(account) is None


def deleted(cloudformation: Stubber, status: str, *listed: str) -> None:
    """Expect that the change set is deleted, and that the stack is read."""
    cloudformation.add_response("delete_change_set", {}, NAMED)
    described = {"StackId": STACK, "StackName": "mine", "StackStatus": status, "CreationTime": datetime.now(UTC)}
    cloudformation.add_response("describe_stacks", {"Stacks": [described]}, {"StackName": STACK})
    if status == "REVIEW_IN_PROGRESS":
        summaries = [{"ChangeSetId": name, "ChangeSetName": name} for name in listed]
        cloudformation.add_response("list_change_sets", {"Summaries": summaries}, {"StackName": "mine"})


def failed(cloudformation: Stubber) -> None:
    """Expect that the change set turns out to have failed."""
    answer = {"Status": "FAILED", "StatusReason": "Template format error"}
    cloudformation.add_response("describe_change_set", answer, NAMED)
    has_read(cloudformation)


def test_one_that_failed_is_deleted_with_its_empty_stack_and_the_reason_is_given(
    account: Account, cloudformation: Stubber
) -> None:
    failed(cloudformation)
    cloudformation.add_response("describe_events", {"OperationEvents": []})
    # The list may still show it.
    deleted(cloudformation, "REVIEW_IN_PROGRESS", CHANGE_SET)
    cloudformation.add_response("delete_stack", {}, {"StackName": STACK})
    with pytest.raises(UserError, match="the change set for mine cannot be made: Template format error"):
        make(account)


def test_one_that_failed_its_checks_says_what_each_of_them_found(account: Account, cloudformation: Stubber) -> None:
    text = (
        "The following hook(s)/validation failed: [AWS::EarlyValidation::ResourceExistenceCheck]. To troubleshoot ..."
    )
    cloudformation.add_response("describe_change_set", {"Status": "FAILED", "StatusReason": text}, NAMED)
    has_read(cloudformation)
    exists = "Resource of type 'AWS::IAM::Role' with identifier 'made-up' already exists."
    required = {"LogicalResourceId": "Rule", "ValidationStatusReason": "Required property [X] not found"}
    checked(
        cloudformation,
        {"LogicalResourceId": "FleetRole", "ValidationStatusReason": exists, "ValidationPath": "/Resources/FleetRole"},
        FULL,
        required,
        required | {"ValidationFailureMode": "FAIL"},
        failed=True,
    )
    deleted(cloudformation, "UPDATE_COMPLETE")
    with pytest.raises(UserError) as raised:
        make(account)
    assert str(raised.value) == (
        f"the change set for mine cannot be made: FleetRole: {exists.rstrip('.')} (at /Resources/FleetRole); "
        "Rule: Required property [X] not found"
    )


def test_what_checks_found_that_does_not_stop_it_is_a_warning(account: Account, cloudformation: Stubber) -> None:
    cloudformation.add_response("describe_change_set", {"Status": "CREATE_COMPLETE"}, NAMED)
    has_read(cloudformation)
    cloudformation.add_response("describe_change_set", {"Changes": []}, NAMED)
    checked(cloudformation, {"ResourceStatusReason": "User Initiated"}, FULL)
    assert make(account) == ChangeSet(CHANGE_SET, STACK, (), ("Old: The bucket 'made-up' is not empty",))


@pytest.mark.parametrize("code", ["AccessDenied", "ValidationError"])
def test_who_may_not_ask_why_a_check_failed_gets_what_the_change_set_says(
    account: Account, cloudformation: Stubber, code: str
) -> None:
    failed(cloudformation)
    cloudformation.add_client_error("describe_events", code, "User is not authorized to perform: DescribeEvents")
    deleted(cloudformation, "UPDATE_COMPLETE")
    with pytest.raises(UserError) as raised:
        make(account)
    assert str(raised.value) == "the change set for mine cannot be made: Template format error"


@pytest.mark.parametrize(
    "other",
    [
        '{"Resources": {"Group": {"Properties": {"Port": 2}}}}',
        '{"Resources": {"Group": {"Properties": {"Port": 1.0}}}}',
        '{"Resources": {"Group": {"Properties": {"Port": true}}}}',
        '{"Resources": {}, "Resources": {"Group": {"Properties": {"Port": 1}}}}',
        "Resources: {}",
        "[" * 100_000,
    ],
)
@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "FAILED"])
def test_one_of_another_template_is_discarded_before_anything_is_shown(
    account: Account, cloudformation: Stubber, other: str, status: str
) -> None:
    described = {"Status": status, "StatusReason": "No updates are to be performed."}
    cloudformation.add_response("describe_change_set", described, NAMED)
    has_read(cloudformation, other)
    by_name = {"StackName": "mine", "ChangeSetName": "annex-bootstrap-1"}
    cloudformation.add_response("delete_change_set", {}, by_name)
    cloudformation.add_client_error("describe_stacks", "ValidationError", "Stack mine does not exist")
    with pytest.raises(UserError, match=r"has read another template .* of mine .*; nothing was changed; find out"):
        make(account)


def test_white_space_is_no_difference(account: Account, cloudformation: Stubber) -> None:
    cloudformation.add_response("describe_change_set", {"Status": "CREATE_COMPLETE"}, NAMED)
    has_read(cloudformation, f"\n {TEMPLATE.replace(' ', '')}\n")
    cloudformation.add_response("describe_change_set", {"Changes": []}, NAMED)
    checked(cloudformation)
    assert make(account) == ChangeSet(CHANGE_SET, STACK, ())


@pytest.mark.parametrize(("status", "listed"), [("CREATE_COMPLETE", ()), ("REVIEW_IN_PROGRESS", ("another",))])
def test_a_stack_that_is_not_empty_or_that_others_review_stays(
    account: Account, cloudformation: Stubber, status: str, listed: tuple[str, ...]
) -> None:
    failed(cloudformation)
    cloudformation.add_response("describe_events", {"OperationEvents": []})
    deleted(cloudformation, status, *listed)
    with pytest.raises(UserError, match="cannot be made"):
        make(account)


@pytest.mark.parametrize(("name", "refused"), [("another", True), ("annex-bootstrap-1234", False)])
def test_a_stack_that_somebody_else_is_reviewing_is_refused(account: Account, name: str, refused: bool) -> None:
    stack = Stack(STACK, "mine", "REVIEW_IN_PROGRESS", "", {}, {}, datetime.now(UTC))
    with Stubber(account.cloudformation) as stubber:
        summaries = [{"ChangeSetId": name, "ChangeSetName": name}]
        stubber.add_response("list_change_sets", {"Summaries": summaries}, {"StackName": "mine"})
        if refused:
            with pytest.raises(UserError, match="somebody else is reviewing the change set another of a stack mine"):
                check_review(account, stack)
        else:
            check_review(account, stack)


def test_one_that_is_never_made_is_given_up_and_discarded(account: Account, cloudformation: Stubber) -> None:
    for _ in range(3):
        cloudformation.add_response("describe_change_set", {"Status": "CREATE_IN_PROGRESS"}, NAMED)
    by_name = {"StackName": "mine", "ChangeSetName": "annex-bootstrap-1"}
    cloudformation.add_client_error("delete_change_set", "InvalidChangeSetStatus", "no", expected_params=by_name)
    cloudformation.add_response("delete_change_set", {}, by_name)
    cloudformation.add_client_error("describe_stacks", "ValidationError", "Stack mine does not exist")
    with pytest.raises(UserError, match=r"has not made the change set after .*run the same command again"):
        make(account)


def test_a_refusal_while_waiting_is_explained_like_every_other(account: Account, cloudformation: Stubber) -> None:
    cloudformation.add_client_error("describe_change_set", "ExpiredToken", "The token has expired")
    with pytest.raises(UserError, match="AWS said ExpiredToken: The token has expired; renew your credentials"):
        make(account)


def test_tags_are_asked_for_where_they_change() -> None:
    refusing = Recorded(CreateChangeSet=RefusedError("ValidationError"))
    for tags in (None, {}, {"a": "1"}):
        with pytest.raises(UserError):
            make_change_set(refusing.account(), "mine", "name", "UPDATE", TEMPLATE, "https://example.com", [], tags)
    asked = [each.get("Tags") for each in refusing.of("CreateChangeSet")]
    assert asked == [None, [], [{"Key": "a", "Value": "1"}]]
