"""Change sets: make one, describe it, execute it, discard it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from annex_bootstrap import PROGRAM
from annex_bootstrap.aws import TEMPLATE_TEXT, Account, explained, retry
from annex_bootstrap.errors import AwsError, UserError
from annex_bootstrap.stack.plan import Change, judge
from annex_bootstrap.stack.read import Stack, find
from annex_bootstrap.stack.template import ParameterValue, Source, is_same
from annex_contract.statuses import REVIEW_IN_PROGRESS

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.literals import ChangeSetTypeType

CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"]

NAME_PREFIX = f"{PROGRAM}-"
"""How the names of our change sets begin."""

POLL = 2
"""Seconds between two reads of a change set that is being made."""

ATTEMPTS = 150
"""How often a change set is read until it must be made: five minutes. It takes seconds."""


NOT_MADE_YET = "InvalidChangeSetStatus"
"""What DeleteChangeSet answers for a change set that is being made. Source:
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DeleteChangeSet.html"""

PATIENCE = 60.0
"""Seconds in which a change set that is to be discarded must be made."""

FAIL, WARN = "FAIL", "WARN"
"""Whether what a check finds stops a change set. Source:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/validate-stack-deployments.html"""

REPLACES = {"True": True, "False": False, "Conditional": None}
"""How CloudFormation says whether it replaces a resource."""


@dataclass(frozen=True)
class ChangeSet:
    """A change set that waits to be executed.

    Attributes:
        change_set_id: its ARN.
        stack_id: the stack's ARN.
        changes: what it does, in the template's order.
        warnings: what CloudFormation's checks found that does not stop it, a sentence each.
    """

    change_set_id: str
    stack_id: str
    changes: tuple[Change, ...]
    warnings: tuple[str, ...] = ()


def new_name() -> str:
    """Return a name for a change set that no other has."""
    return f"{NAME_PREFIX}{uuid.uuid4().hex}"


def make_change_set(
    account: Account,
    stack_name: str,
    name: str,
    kind: ChangeSetTypeType,
    template: str,
    template_url: str,
    parameters: Sequence[ParameterValue],
    tags: Mapping[str, str] | None = None,
) -> ChangeSet | None:
    """Make a change set and wait until it can be executed.

    Args:
        account: where.
        stack_name: the stack's name.
        name: the change set's, from ``new_name``.
        kind: ``CREATE`` or ``UPDATE``.
        template: the template.
        template_url: where CloudFormation reads it.
        parameters: the stack's parameters.
        tags: of the stack, which CloudFormation gives what it makes; None to leave them as they are.

    Returns:
        The change set, or None where it would change nothing.

    Raises:
        UserError: CloudFormation refused it, has not made it after five minutes, or has read another template; then
            there is no change set.
    """
    client = account.cloudformation
    changed: dict[str, Any] = {}
    if tags is not None:
        changed["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
    with explained("making a change set"):
        made = client.create_change_set(
            StackName=stack_name,
            ChangeSetName=name,
            ChangeSetType=kind,
            TemplateURL=template_url,
            Capabilities=CAPABILITIES,  # type: ignore[arg-type]  # literals
            Parameters=[
                {"ParameterKey": parameter.name, "UsePreviousValue": True}
                if parameter.source is Source.KEPT
                else {"ParameterKey": parameter.name, "ParameterValue": parameter.value}
                for parameter in parameters
                if parameter.source is not Source.DEFAULT
            ],
            **changed,
        )
        change_set_id, stack_id = made["Id"], made["StackId"]
        try:
            failure = _wait(client, stack_id, change_set_id)
            # Who may write where it lies may have replaced it. The change set keeps what CloudFormation has read, also
            # where that would change nothing.
            _check_template(client, stack_id, change_set_id, stack_name, template)
        except Exception:
            with suppress(UserError):
                discard_change_set(account, stack_name, name)
            raise
        if failure is None:
            changes = judge(_changes(client, stack_id, change_set_id))
            return ChangeSet(change_set_id, stack_id, changes, tuple(_validations(client, change_set_id, WARN)))
        idle = "didn't contain changes" in failure or "No updates are to be performed" in failure
        details = [] if idle else _validations(client, change_set_id, FAIL)
        _delete(client, stack_id, change_set_id)
        if idle:
            return None
        raise UserError(f"the change set for {stack_name} cannot be made: {'; '.join(details) or failure}")


def _check_template(
    client: CloudFormationClient, stack_id: str, change_set_id: str, stack_name: str, template: str
) -> None:
    """Refuse a change set that is of another template.

    "For change sets, the Original template is always available":
    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_GetTemplate.html
    """
    found = client.get_template(StackName=stack_id, ChangeSetName=change_set_id, TemplateStage="Original")
    if not is_same(str(found.get(TEMPLATE_TEXT)), template):
        raise UserError(
            f"CloudFormation has read another template for the change set of {stack_name} than this client uploaded: "
            "somebody replaced it in the staging bucket; nothing was changed; find out who did (CloudTrail), and try "
            "again"
        )


def _validations(client: CloudFormationClient, change_set_id: str, mode: str) -> list[str]:
    """Return what the checks of a change set found, a sentence each; none where that is not known.

    The change set itself only names the checks that failed. It is found by its ARN only:
    https://github.com/aws-cloudformation/cloudformation-cli/issues/1116

    Args:
        client: of CloudFormation.
        change_set_id: its ARN.
        mode: `FAIL` for why it failed, `WARN` for what did not stop it.
    """
    try:
        with explained("reading what the checks of the change set found"):
            pages = client.get_paginator("describe_events").paginate(
                ChangeSetName=change_set_id, Filters={"FailedEvents": mode == FAIL}
            )
            events = [event for page in pages for event in page["OperationEvents"]]
    except AwsError:
        # It helps, and whether it may be asked has nothing to do with why the change set failed.
        return []
    reasons = [
        f"{event.get('LogicalResourceId', 'the template')}: "
        f"{event.get('ValidationStatusReason') or event.get('ResourceStatusReason', '')}".rstrip(". ")
        + (f" (at {path})" if (path := event.get("ValidationPath")) else "")
        for event in events
        if event.get("ValidationFailureMode", FAIL) == mode
        and (event.get("ValidationStatusReason") or event.get("ResourceStatusReason"))
    ]
    return list(dict.fromkeys(reasons))


def _wait(client: CloudFormationClient, stack_id: str, change_set_id: str) -> str | None:
    """Wait until a change set is made; return CloudFormation's reason where it failed."""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(POLL)
        described = client.describe_change_set(StackName=stack_id, ChangeSetName=change_set_id)
        match described["Status"]:
            case "CREATE_COMPLETE":
                return None
            case "FAILED":
                return described.get("StatusReason", "CloudFormation gave no reason")
    raise UserError(
        f"CloudFormation has not made the change set after {POLL * ATTEMPTS // 60} minutes "
        f"(it is in {described['Status']}): run the same command again"
    )


def _changes(client: CloudFormationClient, stack_id: str, change_set_id: str) -> Iterator[Change]:
    pages = client.get_paginator("describe_change_set")
    for page in pages.paginate(StackName=stack_id, ChangeSetName=change_set_id):
        for listed in page["Changes"]:
            change = listed.get("ResourceChange", {})
            names = [detail.get("Target", {}).get("Name", "") for detail in change.get("Details", [])]
            yield Change(
                action=change.get("Action", ""),
                resource=change.get("LogicalResourceId", ""),
                type=change.get("ResourceType", ""),
                replaces=REPLACES[change.get("Replacement", "False")],
                properties=tuple(dict.fromkeys(name for name in names if name)),
            )


def discard_change_set(account: Account, stack_name: str, name: str) -> None:
    """Delete a change set, if it was made, with the empty stack that was created for it.

    Args:
        account: where.
        stack_name: the stack's name.
        name: the change set's.

    Raises:
        UserError: AWS refused.
    """

    def delete() -> None:
        with explained("discarding the change set"):
            _delete(account.cloudformation, stack_name, name)

    try:
        # It may still be on its way.
        retry(delete, (NOT_MADE_YET,), PATIENCE)
    except AwsError as error:
        if error.code != "ChangeSetNotFound" and "does not exist" not in error.reason:
            raise


def check_review(account: Account, stack: Stack) -> None:
    """Refuse a stack that has no resources yet, but a change set that somebody else is reviewing.

    Raises:
        UserError: there is such a change set, or AWS refused.
    """
    with explained(f"reading the change sets of {stack.name}"):
        names = [name for _, name in _listed(account.cloudformation, stack.name)]
    others = [name for name in names if not name.startswith(NAME_PREFIX)]
    if others:
        raise UserError(
            f"somebody else is reviewing the change set {others[0]} of a stack {stack.name}: "
            "choose another name with --stack-name, or agree with them"
        )


def _delete(client: CloudFormationClient, stack: str, change_set: str) -> None:
    """Delete a change set, and a stack that is only there for it; both by name or ID."""
    client.delete_change_set(StackName=stack, ChangeSetName=change_set)
    described = find(client, stack)
    if described is not None and described.status == REVIEW_IN_PROGRESS:
        others = [listed for listed in _listed(client, described.name) if change_set not in listed]
        if not others:
            client.delete_stack(StackName=described.stack_id)


def _listed(client: CloudFormationClient, stack_name: str) -> list[tuple[str, str]]:
    """Return ID and name of a stack's change sets."""
    pages = client.get_paginator("list_change_sets").paginate(StackName=stack_name)
    return [(summary["ChangeSetId"], summary["ChangeSetName"]) for page in pages for summary in page["Summaries"]]
