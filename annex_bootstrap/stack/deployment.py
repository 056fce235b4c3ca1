"""Deploying to one region: preview what would change, then execute or discard it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from annex_bootstrap.aws import Account, explained
from annex_bootstrap.errors import CommandLineError, UserError
from annex_bootstrap.stack import plan, staging
from annex_bootstrap.stack.change_set import ChangeSet, make_change_set, new_name
from annex_bootstrap.stack.follow import Watcher, delete_stack, follow, last_event_id, settle
from annex_bootstrap.stack.image import Base, check_images, choose_base
from annex_bootstrap.stack.plan import Change, Step
from annex_bootstrap.stack.read import Stack, check_deployed, find_earlier_setup
from annex_bootstrap.stack.template import (
    ParameterValue,
    Source,
    Template,
    built_template,
    check_network,
    check_parameters,
    default_image,
    parse_template,
    plan_parameters,
)
from annex_contract import __version__
from annex_contract.stack import Parameter, given_roles_id, stack_name_problem
from annex_contract.statuses import read_status
from annex_contract.tags import tags_of_stack

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.literals import ChangeSetTypeType


LACKING = re.compile(
    "not authorized|AccessDenied|UnauthorizedOperation|cannot be assumed|does not have permissions|policy roles"
)
"""What AWS or our functions say where a role lacks a right, or is missing. CreateFunction says the two before the last:
https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-deployment.html"""


@dataclass(frozen=True)
class DeployRequest:
    """What a person asked for, the same in every region.

    Attributes:
        stack_name: the stack's name.
        template_text: the template.
        template: the same as data.
        given: parameters, by name.
        allow_downgrade: whether an older version may replace a newer one.
        change_set: the name of the change set that is made for it.
    """

    stack_name: str
    template_text: str
    template: Template
    given: Mapping[str, str]
    allow_downgrade: bool = False
    change_set: str = field(default_factory=new_name)

    @classmethod
    def of(cls, stack_name: str, given: Mapping[str, str], *, allow_downgrade: bool) -> DeployRequest:
        """Return a request for this version's template; the arguments are those of the attributes.

        Raises:
            UserError: the stack's name or a parameter cannot be used.
        """
        text = built_template()
        template = parse_template(text)
        check_parameters(template, given)
        if problem := stack_name_problem(stack_name):
            raise CommandLineError(problem)
        return cls(stack_name, text, template, given, allow_downgrade)


@dataclass(frozen=True)
class Preview:
    """What a deployment would do in one region.

    Attributes:
        stack_name: the stack's name.
        step: of the plan.
        stack: as it is, or None.
        parameters: what they will be.
        change_set: ready to be executed; None where nothing changes, or before a failed creation is cleaned up.
        joined: how an operation ended that was in progress before, or nothing.
        base: of its image.
        earlier_setup: the stacks of ``condor_annex -setup`` that are there.
    """

    stack_name: str
    step: Step
    stack: Stack | None
    parameters: Sequence[ParameterValue]
    change_set: ChangeSet | None
    joined: str
    base: Base = field(default_factory=Base)
    earlier_setup: Sequence[str] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """What the change set does."""
        return self.change_set.changes if self.change_set is not None else ()

    @property
    def values(self) -> dict[str, str]:
        """What the parameters will be, by name."""
        return {parameter.name: parameter.value for parameter in self.parameters}

    @property
    def changes_nothing(self) -> bool:
        """Whether the stack is up to date."""
        return self.change_set is None and self.step is not Step.REPLACE_FAILED


def preview(account: Account, request: DeployRequest, watcher: Watcher) -> Preview:
    """Find out what has to be done, and make a change set for it. Follows an operation in progress to its end first.

    Args:
        account: where.
        request: what was asked for.
        watcher: takes the events of an operation that was in progress.

    Raises:
        UserError: the stack's status forbids a deployment, or AWS refused; nothing was changed.
    """
    stack, joined = settle(account, request.stack_name, watcher)
    step = plan.choose_step(stack, request.stack_name)
    plan.check_version(stack, __version__, request.stack_name, request.allow_downgrade)
    fallback = default_image(account.partition, request.given) if step is Step.CREATE else {}
    given = {**fallback, **request.given}
    ahead = Preview(request.stack_name, step, stack, plan_parameters(request.template, stack, given), None, joined)
    check_network(ahead.values)
    check_roles(account, request.stack_name, ahead)
    check_images(account, request.given, ahead.values[Parameter.IMAGE_ARCHITECTURE])
    if Parameter.BASE_IMAGE not in request.given:
        ahead = replace(ahead, base=choose_base(account, ahead.values))
    if step is Step.REPLACE_FAILED:
        return ahead
    earlier_setup = find_earlier_setup(account)
    return replace(ahead, earlier_setup=earlier_setup, change_set=_make_change_set(account, request, ahead))


def check_roles(account: Account, stack_name: str, ahead: Preview) -> None:
    """Refuse roles of an administrator that are not this stack's, or that it would take only now.

    Raises:
        UserError: why it cannot have them; nothing was changed.
    """
    roles, own = ahead.values[Parameter.GIVEN_ROLES], given_roles_id(account.account_id, account.region, stack_name)
    if roles not in ("", own):
        raise UserError(
            f"the roles {roles} are not for a stack {stack_name} in {account.region} of the account "
            f"{account.account_id}: an administrator makes those of annex-bootstrap policy roles --stack-name "
            f"{stack_name} --region {account.region}, and they are {own}"
        )
    if ahead.stack is not None and ahead.step is Step.UPDATE:
        before = ahead.stack.parameters.get(Parameter.GIVEN_ROLES, "")
        if before != roles:
            raise UserError(
                f"{Parameter.GIVEN_ROLES} is only for a new stack, because all names depend on it: delete the stack "
                f"{stack_name} first, or leave {Parameter.GIVEN_ROLES} as it is"
            )


def execute(account: Account, request: DeployRequest, ahead: Preview, watcher: Watcher) -> Stack:
    """Do what was previewed, and follow the stack to its end.

    Args:
        account: where.
        request: what was asked for.
        ahead: from ``preview``; it changes something.
        watcher: takes every event.

    Returns:
        The stack afterwards, with its outputs.

    Raises:
        UserError: it failed, with its first cause.
    """
    change_set = ahead.change_set
    if change_set is None and ahead.stack is not None:
        delete_stack(account, ahead.stack, watcher)
        change_set = _make_change_set(account, request, ahead)
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
    if not read_status(end.status).succeeded:
        raise UserError(f"{end.explain()}{_of_roles(ahead, end.explain())}")
    return check_deployed(end.stack, request.stack_name, account.region)


def _of_roles(ahead: Preview, why: str) -> str:
    """Return what to do after a failure, with whom to ask where a role of an administrator seems to lack something."""
    again = "run annex-bootstrap deploy again"
    if ahead.values.get(Parameter.GIVEN_ROLES) and LACKING.search(why):
        return (
            "\n  next: have the administrator update the roles with what annex-bootstrap policy roles of this version "
            f"prints for these parameters, then {again}"
        )
    return f"\n  next: fix that, then {again}"


def _make_change_set(account: Account, request: DeployRequest, ahead: Preview) -> ChangeSet | None:
    base = ahead.base.image_id
    parameters = [
        replace(parameter, value=base, source=Source.GIVEN)
        if base and parameter.name == Parameter.BASE_IMAGE
        else parameter
        for parameter in ahead.parameters
    ]
    # The staging bucket stays for the next deployment, also after a dry run: S3 does not give a name that was just
    # deleted again for a while.
    url = staging.stage(account, request.stack_name, request.template_text)
    kind: ChangeSetTypeType = "UPDATE" if ahead.step is Step.UPDATE else "CREATE"
    tags = stack_tags(ahead.stack, ahead.parameters)
    return make_change_set(
        account, request.stack_name, request.change_set, kind, request.template_text, url, parameters, tags
    )


def stack_tags(stack: Stack | None, parameters: Sequence[ParameterValue]) -> dict[str, str] | None:
    """Return the tags that CloudFormation is to give what it makes, or None where they stay as they are.

    Those that somebody else gave the stack stay.

    Args:
        stack: as it is, or None.
        parameters: what they will be.
    """
    wanted = tags_of_stack({parameter.name: parameter.value for parameter in parameters})
    before = dict(stack.tags) if stack is not None else {}
    earlier = tags_of_stack(stack.parameters) if stack is not None else {}
    others = {key: value for key, value in before.items() if earlier.get(key) != value}
    tags = {**others, **wanted}
    return None if tags == before else tags
