"""Carrying a deployment out: settle what is going on, make a change set, execute it; and deleting the stack again."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from annex_bootstrap.aws import Account, explained
from annex_bootstrap.errors import UserError
from annex_bootstrap.stack import plan, stacks, staging
from annex_bootstrap.stack.follow import Watcher, follow
from annex_bootstrap.stack.plan import Step
from annex_bootstrap.stack.stacks import Stack
from annex_contract import __version__
from annex_contract.stack import TEMPLATE_NAME, Output

CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"]

JOINS = 5
"""How many operations of others are followed, one after another, before the deployment gives way."""

DONE = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}


@dataclass(frozen=True)
class Wish:
    """What a person asked for, the same in every region.

    Attributes:
        stack_name: the stack's name.
        template_text: the template.
        given: parameters, by name.
        allow_downgrade: whether an older version may replace a newer one.
    """

    stack_name: str
    template_text: str
    given: Mapping[str, str]
    allow_downgrade: bool = False

    @property
    def template(self) -> plan.Template:
        """The template as data."""
        return plan.parse_template(self.template_text)


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
    changes: tuple[plan.Change, ...]


@dataclass(frozen=True)
class Proposal:
    """What a deployment would do in one region.

    Attributes:
        step: of the plan.
        stack: as it is, or None.
        change_set: ready to be executed; None where nothing changes, or before a failed creation is cleaned up.
        made_bucket: whether the staging bucket was made for it.
        joined: how an operation ended that was going on before, or nothing.
    """

    step: Step
    stack: Stack | None
    change_set: ChangeSet | None
    made_bucket: bool
    joined: str

    @property
    def changes_nothing(self) -> bool:
        """Whether the stack is as it should be."""
        return self.change_set is None and self.step is not Step.REPLACE_FAILED


def built_template() -> str:
    """The template that comes with this version: inside the installed package, or in a checkout's ``dist/``.

    Raises:
        UserError: a checkout in which nothing was built yet.
    """
    packaged = resources.files("annex_bootstrap") / "data" / TEMPLATE_NAME
    if packaged.is_file():
        return packaged.read_text()
    built = Path(__file__).parents[2] / "dist" / TEMPLATE_NAME
    try:
        return built.read_text()
    except FileNotFoundError as error:
        raise UserError(f"{TEMPLATE_NAME} is not built yet: run python build.py first") from error


def prepare(account: Account, wish: Wish, watcher: Watcher) -> Proposal:
    """Find out what is to be done, and make a change set of it. What is going on already is followed to its end.

    Args:
        account: where.
        wish: what was asked for.
        watcher: told of the events of an operation that was going on.

    Raises:
        UserError: the stack's state or AWS stands against it; nothing was changed.
    """
    stack, joined = settle(account, wish.stack_name, watcher)
    step = plan.choose_step(stack, wish.stack_name)
    plan.check_version(stack, __version__, wish.stack_name, wish.allow_downgrade)
    if step is Step.REPLACE_FAILED:
        return Proposal(step, stack, None, False, joined)
    staged = staging.stage(account, wish.template_text)
    change_set = _make_change_set(account, wish, step, staged.url, stack)
    return Proposal(step, stack, change_set, staged.made_bucket, joined)


def settle(account: Account, stack_name: str, watcher: Watcher) -> tuple[Stack | None, str]:
    """Wait until CloudFormation is at rest with a stack of ours.

    Returns:
        The stack, or None; and how the last operation ended that was followed, or nothing.

    Raises:
        UserError: the stack is not ours, or others change it again and again.
    """
    joined = ""
    for _ in range(JOINS):
        with explained(f"reading the stack {stack_name}"):
            stack = stacks.find(account.cloudformation, stack_name)
        plan.check_ours(stack, stack_name)
        if stack is None or not stack.in_progress:
            return stack, joined
        with explained("reading what is going on"):
            after = stacks.event_before_operation(account.cloudformation, stack.stack_id)
        joined = follow(account, stack.stack_id, after, watcher).explain()
    raise UserError(f"others change the stack {stack_name} again and again: agree with them, then try again")


def execute(account: Account, wish: Wish, proposal: Proposal, watcher: Watcher) -> Stack:
    """Do what was proposed, and follow it to its end.

    Args:
        account: where.
        wish: what was asked for.
        proposal: from ``prepare``; one that changes something.
        watcher: told of every event.

    Returns:
        The stack as it stands now.

    Raises:
        UserError: it failed, with its first cause.
    """
    change_set = proposal.change_set
    if change_set is None and proposal.stack is not None:
        delete_stack(account, proposal.stack, watcher)
        staged = staging.stage(account, wish.template_text)
        change_set = _make_change_set(account, wish, Step.CREATE, staged.url, proposal.stack)
    if change_set is None:
        raise UserError(f"the stack {wish.stack_name} needs no change")
    with explained("executing the change set"):
        after = stacks.last_event_id(account.cloudformation, change_set.stack_id)
        account.cloudformation.execute_change_set(
            StackName=change_set.stack_id,
            ChangeSetName=change_set.change_set_id,
            ClientRequestToken=uuid.uuid4().hex,
        )
    end = follow(account, change_set.stack_id, after, watcher)
    if end.stack is None or end.status not in DONE:
        raise UserError(f"{end.explain()}\n  next: mend that, then run annex-bootstrap deploy again")
    return end.stack


def discard(account: Account, proposal: Proposal) -> None:
    """Drop a proposal that nobody wants, with the empty stack and the bucket that were made for it."""
    change_set = proposal.change_set
    if change_set is not None:
        with explained("dropping the change set"):
            client = account.cloudformation
            client.delete_change_set(StackName=change_set.stack_id, ChangeSetName=change_set.change_set_id)
            stack = stacks.find(client, change_set.stack_id)
            if stack is not None and stack.status == "REVIEW_IN_PROGRESS":
                client.delete_stack(StackName=change_set.stack_id)
    if proposal.made_bucket:
        staging.delete(account)


def find_deployed(account: Account, stack_name: str) -> Stack:
    """The stack, with outputs.

    Raises:
        UserError: it is not there, or never stood.
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


def delete_stack(account: Account, stack: Stack, watcher: Watcher) -> None:
    """Delete a stack and follow it to its end.

    Raises:
        UserError: it failed, with its first cause.
    """
    with explained(f"deleting the stack {stack.name}"):
        after = stacks.last_event_id(account.cloudformation, stack.stack_id)
        account.cloudformation.delete_stack(StackName=stack.stack_id)
    end = follow(account, stack.stack_id, after, watcher)
    if end.status != "DELETE_COMPLETE":
        raise UserError(end.explain())


def _make_change_set(account: Account, wish: Wish, step: Step, url: str, stack: Stack | None) -> ChangeSet | None:
    client = account.cloudformation
    with explained("making a change set"):
        made = client.create_change_set(
            StackName=wish.stack_name,
            ChangeSetName=f"annex-bootstrap-{uuid.uuid4().hex}",
            ChangeSetType="UPDATE" if step is Step.UPDATE else "CREATE",
            TemplateURL=url,
            Capabilities=CAPABILITIES,  # type: ignore[arg-type]  # literals
            Parameters=[
                {"ParameterKey": each.name, "UsePreviousValue": True}
                if each.value is None
                else {"ParameterKey": each.name, "ParameterValue": each.value}
                for each in plan.choose_parameters(wish.template, stack, wish.given)
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
            raise UserError(f"the change set for {wish.stack_name} cannot be made: {reason}")
        return ChangeSet(change_set_id, stack_id, tuple(_changes(account, stack_id, change_set_id)))


def _changes(account: Account, stack_id: str, change_set_id: str) -> Iterator[plan.Change]:
    pages = account.cloudformation.get_paginator("describe_change_set")
    for page in pages.paginate(StackName=stack_id, ChangeSetName=change_set_id):
        for each in page["Changes"]:
            change = each.get("ResourceChange", {})
            names = [detail.get("Target", {}).get("Name", "") for detail in change.get("Details", [])]
            yield plan.Change(
                action=change.get("Action", ""),
                resource=change.get("LogicalResourceId", ""),
                resource_type=change.get("ResourceType", ""),
                replacement=change.get("Replacement", "False"),
                properties=tuple(dict.fromkeys(name for name in names if name)),
            )
