"""Deploying to one region: propose what would change, then execute or discard the proposal."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from annex_bootstrap.aws import Account, explained
from annex_bootstrap.errors import UserError
from annex_bootstrap.stack import plan, staging
from annex_bootstrap.stack.artefact import Template, parse_template
from annex_bootstrap.stack.change_set import ChangeSet, discard_change_set, make_change_set
from annex_bootstrap.stack.deletion import delete_stack
from annex_bootstrap.stack.earlier_setup import find_earlier_setup
from annex_bootstrap.stack.follow import Watcher, follow, last_event_id, settle
from annex_bootstrap.stack.image import check_images, choose_base
from annex_bootstrap.stack.parameters import choose_parameters, effective_parameters, image_of
from annex_bootstrap.stack.plan import Step
from annex_bootstrap.stack.read import Stack
from annex_contract import __version__
from annex_contract.stack import Parameter
from annex_contract.statuses import State, read_status


@dataclass(frozen=True)
class DeployRequest:
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

    @cached_property
    def template(self) -> Template:
        """The template as data."""
        return parse_template(self.template_text)


@dataclass(frozen=True)
class Proposal:
    """What a deployment would do in one region.

    Attributes:
        step: of the plan.
        stack: as it is, or None.
        change_set: ready to be executed; None where nothing changes, or before a failed creation is cleaned up.
        joined: how an operation ended that was in progress before, or nothing.
        beside: the stacks of ``condor_annex -setup`` that are there.
    """

    step: Step
    stack: Stack | None
    change_set: ChangeSet | None
    joined: str
    beside: Sequence[str] = ()

    @property
    def changes_nothing(self) -> bool:
        """Whether the stack is as it should be."""
        return self.change_set is None and self.step is not Step.REPLACE_FAILED


def prepare(account: Account, request: DeployRequest, watcher: Watcher) -> Proposal:
    """Find out what has to be done, and make a change set for it. Follows an operation in progress to its end first.

    Args:
        account: where.
        request: what was asked for.
        watcher: told of the events of an operation that was in progress.

    Raises:
        UserError: the stack's status forbids a deployment, or AWS refused; nothing was changed.
    """
    stack, joined = settle(account, request.stack_name, watcher)
    step = plan.choose_step(stack, request.stack_name)
    plan.check_version(stack, __version__, request.stack_name, request.allow_downgrade)
    planned = effective_parameters(request.template, stack, request.given)
    check_images(account, request.given, planned[Parameter.IMAGE_ARCHITECTURE])
    if step is Step.REPLACE_FAILED:
        return Proposal(step, stack, None, joined)
    beside = find_earlier_setup(account)
    return Proposal(step, stack, _make_change_set(account, request, step, stack), joined, beside)


def execute(account: Account, request: DeployRequest, proposal: Proposal, watcher: Watcher) -> Stack:
    """Execute a proposal, and follow the stack to its end.

    Args:
        account: where.
        request: what was asked for.
        proposal: from ``prepare``; one that changes something.
        watcher: told of every event.

    Returns:
        The stack afterwards.

    Raises:
        UserError: it failed, with its first cause.
    """
    change_set = proposal.change_set
    if change_set is None and proposal.stack is not None:
        delete_stack(account, proposal.stack, watcher)
        change_set = _make_change_set(account, request, Step.CREATE, proposal.stack)
    if change_set is None:
        raise UserError(f"the stack {request.stack_name} needs no change")
    with explained("executing the change set"):
        after = last_event_id(account.cloudformation, change_set.stack_id)
        account.cloudformation.execute_change_set(
            StackName=change_set.stack_id,
            ChangeSetName=change_set.change_set_id,
            ClientRequestToken=uuid.uuid4().hex,
        )
    end = follow(account, change_set.stack_id, after, watcher)
    if end.stack is None or not read_status(end.status).succeeded:
        raise UserError(f"{end.explain()}\n  next: fix that, then run annex-bootstrap deploy again")
    return end.stack


def discard(account: Account, proposal: Proposal) -> None:
    """Discard a proposal, with the empty stack that was created for it.

    The staging bucket stays for the next deployment: S3 does not give a name that was just deleted again for a while.

    Raises:
        UserError: AWS refused.
    """
    if proposal.change_set is not None:
        discard_change_set(account, proposal.change_set)


def _make_change_set(account: Account, request: DeployRequest, step: Step, stack: Stack | None) -> ChangeSet | None:
    before = stack if stack is not None and stack.state in (State.DEPLOYED, State.CREATION_FAILED) else None
    asked = {**image_of(request.template, stack, request.given), **request.given}
    given = {**choose_base(account, request.template, before, asked), **request.given}
    return make_change_set(
        account,
        request.stack_name,
        "UPDATE" if step is Step.UPDATE else "CREATE",
        staging.stage(account, request.template_text),
        choose_parameters(request.template, stack, given),
    )
