"""Carrying a deployment out: stage the template, make a change set, execute it; and deleting the stack again."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from botocore.exceptions import ClientError

from annex_bootstrap import __version__, plan, stacks
from annex_bootstrap.aws import Account, explained
from annex_bootstrap.contract import TEMPLATE_NAME, Output
from annex_bootstrap.errors import UserError
from annex_bootstrap.stacks import Event, Stack

CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"]

Watcher = Callable[[Event], None]
"""Told of every event of a stack as it comes."""


@dataclass(frozen=True)
class ChangeSet:
    """A change set that waits to be executed.

    Attributes:
        change_set_id: its ARN.
        stack_id: the stack's ARN.
        changes: what it does, in the template's order.
    """

    change_set_id: str
    stack_id: str
    changes: list[plan.Change]


def built_template() -> str:
    """The template that comes with this version: inside the installed package, or in a checkout's ``dist/``.

    Raises:
        UserError: a checkout in which nothing was built yet.
    """
    packaged = resources.files("annex_bootstrap") / "data" / TEMPLATE_NAME
    if packaged.is_file():
        return packaged.read_text()
    built = Path(__file__).parent.parent / "dist" / TEMPLATE_NAME
    try:
        return built.read_text()
    except FileNotFoundError as error:
        raise UserError(f"{TEMPLATE_NAME} is not built yet: run python build.py first") from error


def prepare(account: Account, stack_name: str, given: Mapping[str, str], watcher: Watcher) -> ChangeSet | None:
    """Stage the template and make a change set of it.

    Args:
        account: where.
        stack_name: the stack's name.
        given: parameters, by name.
        watcher: told of the deletion of what a failed creation left.

    Returns:
        The change set, or None where the stack needs no change.

    Raises:
        UserError: the stack's state, a parameter or AWS stands against it; nothing was changed.
    """
    text = built_template()
    with explained(f"reading the stack {stack_name}"):
        stack = stacks.find(account.cloudformation, stack_name)
    step = plan.choose_step(stack, stack_name)
    plan.check_version(stack, __version__, stack_name)
    parameters = plan.choose_parameters(plan.parse_template(text), stack, given)
    if step is plan.Step.REPLACE_FAILED and stack is not None:
        delete_stack(account, stack, watcher)
    with explained("putting the template into the staging bucket"):
        url = _stage(account, text)
    kind = "UPDATE" if step is plan.Step.UPDATE else "CREATE"
    with explained("making a change set"):
        return _make_change_set(account, stack_name, kind, url, parameters)


def execute(account: Account, change_set: ChangeSet, watcher: Watcher) -> Stack:
    """Execute a change set and follow it to its end.

    Returns:
        The stack as it stands now.

    Raises:
        UserError: it failed, with its first cause.
    """
    with explained("executing the change set"):
        after = stacks.last_event_id(account.cloudformation, change_set.stack_id)
        account.cloudformation.execute_change_set(
            StackName=change_set.stack_id,
            ChangeSetName=change_set.change_set_id,
            ClientRequestToken=uuid.uuid4().hex,
        )
    stack = _follow(account, change_set.stack_id, after, watcher)
    if stack is None or stack.status not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
        raise UserError(_failure(account, change_set.stack_id, stack, after))
    return stack


def discard(account: Account, change_set: ChangeSet) -> None:
    """Drop a change set that nobody wants, and the empty stack that a first one leaves."""
    with explained("dropping the change set"):
        account.cloudformation.delete_change_set(StackName=change_set.stack_id, ChangeSetName=change_set.change_set_id)
        stack = stacks.find(account.cloudformation, change_set.stack_id)
        if stack is not None and stack.status == "REVIEW_IN_PROGRESS":
            account.cloudformation.delete_stack(StackName=change_set.stack_id)


def find_deployed(account: Account, stack_name: str) -> Stack:
    """The stack, complete and ours.

    Raises:
        UserError: it is not there, not ours, or not complete.
    """
    with explained(f"reading the stack {stack_name}"):
        stack = stacks.find(account.cloudformation, stack_name)
    if stack is None:
        raise UserError(
            f"there is no stack {stack_name} in {account.region}: run annex-bootstrap deploy first, "
            "or give --stack-name or --region"
        )
    if not stack.outputs.get(Output.LEASE_FUNCTION_ARN):
        raise UserError(f"the stack {stack_name} is in {stack.status} and has no outputs: run annex-bootstrap deploy")
    return stack


def running_annexes(account: Account, stack: Stack) -> list[str]:
    """The annex IDs that have a lease: the rules that condor_annex pointed at the stack's lease function."""
    target = stack.outputs.get(Output.LEASE_FUNCTION_ARN)
    if not target:
        return []
    with explained("reading the leases"):
        found: list[str] = []
        for page in account.events.get_paginator("list_rule_names_by_target").paginate(TargetArn=target):
            found += page["RuleNames"]
        own = account.cloudformation.describe_stack_resource(StackName=stack.stack_id, LogicalResourceId="SweepRule")
    sweep = own["StackResourceDetail"].get("PhysicalResourceId", "")
    return sorted(name for name in found if name != sweep)


def delete_stack(account: Account, stack: Stack, watcher: Watcher) -> None:
    """Delete a stack and follow it to its end.

    Raises:
        UserError: it failed, with its first cause.
    """
    with explained(f"deleting the stack {stack.name}"):
        after = stacks.last_event_id(account.cloudformation, stack.stack_id)
        account.cloudformation.delete_stack(StackName=stack.stack_id)
    left = _follow(account, stack.stack_id, after, watcher)
    if left is not None and left.status != "DELETE_COMPLETE":
        raise UserError(_failure(account, stack.stack_id, left, after))


def delete_staging(account: Account) -> None:
    """Delete the staging bucket and the templates in it, if it is there."""
    bucket = staging_bucket(account)
    with explained("deleting the staging bucket"):
        try:
            for page in account.s3.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, ExpectedBucketOwner=account.account_id
            ):
                for each in page.get("Contents", []):
                    account.s3.delete_object(Bucket=bucket, Key=each["Key"], ExpectedBucketOwner=account.account_id)
            account.s3.delete_bucket(Bucket=bucket, ExpectedBucketOwner=account.account_id)
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchBucket":
                raise


def staging_bucket(account: Account) -> str:
    """The private bucket from which CloudFormation reads the template."""
    return f"annex-bootstrap-staging-{account.account_id}-{account.region}"


def _stage(account: Account, text: str) -> str:
    bucket, owner = staging_bucket(account), account.account_id
    s3 = account.s3
    try:
        # The name can be guessed, so somebody else's bucket must never be written to.
        s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=owner)
    except ClientError as error:
        if error.response["Error"]["Code"] != "404":
            raise
        if account.region == "us-east-1":
            s3.create_bucket(Bucket=bucket)
        else:
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": account.region})  # type: ignore[typeddict-item]  # any region
    s3.put_public_access_block(
        Bucket=bucket,
        ExpectedBucketOwner=owner,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
    )
    body = text.encode()
    key = f"{__version__}/{hashlib.sha256(body).hexdigest()}/{TEMPLATE_NAME}"
    s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json", ExpectedBucketOwner=owner)
    # The client knows the host name for any partition and endpoint; CloudFormation signs for itself.
    signed = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
    return urlunsplit((*urlsplit(signed)[:3], "", ""))


def _make_change_set(
    account: Account, stack_name: str, kind: str, url: str, parameters: list[plan.Parameter]
) -> ChangeSet | None:
    client = account.cloudformation
    made = client.create_change_set(
        StackName=stack_name,
        ChangeSetName=f"annex-bootstrap-{uuid.uuid4().hex}",
        ChangeSetType=kind,  # type: ignore[arg-type]  # one of its two literals
        TemplateURL=url,
        Capabilities=CAPABILITIES,  # type: ignore[arg-type]  # literals
        Parameters=[
            {"ParameterKey": each.name, "UsePreviousValue": True}
            if each.value is None
            else {"ParameterKey": each.name, "ParameterValue": each.value}
            for each in parameters
        ],
    )
    change_set_id, stack_id = made["Id"], made["StackId"]
    while True:
        described = client.describe_change_set(StackName=stack_id, ChangeSetName=change_set_id)
        if described["Status"] not in {"CREATE_PENDING", "CREATE_IN_PROGRESS"}:
            break
        time.sleep(stacks.POLL)
    if described["Status"] == "FAILED":
        reason = described.get("StatusReason", "")
        client.delete_change_set(StackName=stack_id, ChangeSetName=change_set_id)
        if "didn't contain changes" in reason or "No updates are to be performed" in reason:
            return None
        raise UserError(f"the change set for {stack_name} cannot be made: {reason}")
    return ChangeSet(change_set_id, stack_id, list(_changes(account, stack_id, change_set_id)))


def _changes(account: Account, stack_id: str, change_set_id: str) -> Iterator[plan.Change]:
    pages = account.cloudformation.get_paginator("describe_change_set")
    for page in pages.paginate(StackName=stack_id, ChangeSetName=change_set_id):
        for each in page["Changes"]:
            change = each.get("ResourceChange", {})
            yield plan.Change(
                action=change.get("Action", ""),
                resource=change.get("LogicalResourceId", ""),
                resource_type=change.get("ResourceType", ""),
                replaces=change.get("Replacement") == "True",
            )


def _follow(account: Account, stack_id: str, after: str, watcher: Watcher) -> Stack | None:
    with explained("following the stack"):
        for event in stacks.watch(account.cloudformation, stack_id, after):
            watcher(event)
        return stacks.find(account.cloudformation, stack_id)


def _failure(account: Account, stack_id: str, stack: Stack | None, after: str) -> str:
    with explained("reading why the stack failed"):
        cause = stacks.first_cause(stacks.events(account.cloudformation, stack_id, after))
    status = stack.status if stack is not None else "gone"
    if cause is None:
        return f"the stack ended in {status}: {stack.reason if stack is not None else 'no reason was given'}"
    return f"{cause.resource} failed first, and the stack ended in {status}: {cause.reason}"
