"""Deciding, from a stack's state, what a deployment has to do. Pure: data in, data out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from annex_bootstrap.errors import UserError
from annex_bootstrap.stack.read import check_ours
from annex_contract.resources import BY_TYPE, IMAGE, IMAGE_BUILDER
from annex_contract.statuses import DELETE_COMPLETE, State, read_status

if TYPE_CHECKING:
    from annex_bootstrap.stack.read import Stack


class Step(Enum):
    """What a deployment does next with the stack of that name."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    JOIN = "JOIN"
    """Follow what CloudFormation is doing already, then decide again."""
    REPLACE_FAILED = "REPLACE_FAILED"
    """Delete what a failed first creation left, then create."""


STEPS = {
    State.ABSENT: Step.CREATE,
    State.IN_PROGRESS: Step.JOIN,
    State.CREATION_FAILED: Step.REPLACE_FAILED,
    State.DEPLOYED: Step.UPDATE,
}
"""What a deployment does with a stack in each state; with one that is stuck it does nothing."""


@dataclass(frozen=True)
class Change:
    """What a change set does to one resource.

    Attributes:
        action: ``Add``, ``Modify`` or ``Remove``.
        resource: its name in the template.
        type: such as ``AWS::IAM::Role``.
        replaces: of a Modify: whether a new one is made and the old one deleted; None where that shows only then.
        properties: of a Modify: the properties that change.
    """

    action: str
    resource: str
    type: str
    replaces: bool | None = False
    properties: tuple[str, ...] = ()

    @property
    def makes_new(self) -> bool:
        """Whether there is a new one afterwards."""
        return self.action == "Add" or (self.action == "Modify" and self.replaces is True)

    @property
    def replacing(self) -> tuple[str, ...]:
        """The properties for which one of our custom resources makes a new one."""
        custom = BY_TYPE.get(self.type)
        return tuple(name for name in self.properties if custom is not None and name in custom.replacing)


def judge(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Return the changes with what we know, and CloudFormation does not, of what replaces our custom resources.

    CloudFormation cannot know what a builder that it updates will be called, and so lists the image's name as changing;
    a builder that is not replaced keeps its image.
    """
    judged = [
        replace(change, replaces=change.replaces is True or bool(change.replacing))
        if change.type in BY_TYPE
        else change
        for change in changes
    ]
    if any(change.type == IMAGE_BUILDER.resource_type and change.replaces for change in judged):
        return tuple(judged)
    return tuple(
        replace(
            change,
            replaces=False,
            properties=tuple(name for name in change.properties if name != IMAGE.name_property),
        )
        if change.type == IMAGE.resource_type and change.replacing == (IMAGE.name_property,)
        else change
        for change in judged
    )


def choose_step(stack: Stack | None, name: str) -> Step:
    """Choose by the stack's status.

    Raises:
        UserError: the stack is not ours, or nothing can be done in that status; with what to do about it.
    """
    check_ours(stack, name)
    status = read_status(stack.status if stack is not None else DELETE_COMPLETE)
    step = STEPS.get(status.state)
    if step is None:
        raise UserError(f"the stack {name} is in {status.name}: {status.advice}, then try again")
    return step


def check_version(stack: Stack | None, ours: str, name: str, allow_downgrade: bool = False) -> None:
    """Refuse to replace what a newer version made.

    Raises:
        UserError: the stack is newer than this client, and a downgrade is not allowed.
    """
    if stack is None or allow_downgrade or _version_key(stack.version) <= _version_key(ours):
        return
    raise UserError(
        f"the stack {name} was made by annex-bootstrap {stack.version}, which is newer than this {ours}: "
        "update annex-bootstrap, or give --allow-downgrade"
    )


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))
