"""Deciding, from a stack's state, what a deployment has to do. Pure: data in, data out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from annex_bootstrap.errors import UserError
from annex_bootstrap.stack.read import check_ours
from annex_bootstrap.words import TYPES
from annex_contract.resources import BY_TYPE, IMAGE, IMAGE_BUILDER, CustomResource
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
        resource_type: such as ``AWS::IAM::Role``.
        replacement: of a Modify: ``True`` where a new one is made and the old deleted, ``Conditional`` or ``False``.
        properties: of a Modify: the properties that change.
    """

    action: str
    resource: str
    resource_type: str
    replacement: str = "False"
    properties: tuple[str, ...] = ()

    @property
    def may_replace(self) -> bool:
        """Whether CloudFormation will see only then. Of our custom resources we know."""
        return self.replacement == "Conditional" and self._custom is None

    @property
    def replaces(self) -> bool:
        """Whether a new one is made and the old one deleted."""
        return self.replacement == "True" or bool(self._replacing)

    @property
    def makes_new(self) -> bool:
        """Whether there is a new one afterwards."""
        return self.action == "Add" or (self.action == "Modify" and self.replaces)

    @property
    def reasons(self) -> tuple[str, ...]:
        """The properties for which it is done; where it is replaced for some of them, those."""
        return self._replacing or self.properties

    @property
    def _replacing(self) -> tuple[str, ...]:
        replacing = self._custom.replacing if self._custom is not None else ()
        return tuple(name for name in self.properties if name in replacing)

    @property
    def _custom(self) -> CustomResource | None:
        return BY_TYPE.get(self.resource_type)


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


def describe(changes: Iterable[Change]) -> list[str]:
    """Describe a change set in words, one line for each kind of change."""
    changes = _without_idle_image(list(changes))
    added = [change for change in changes if change.action == "Add"]
    removed = [change for change in changes if change.action == "Remove"]
    modified = [change for change in changes if change.action == "Modify"]
    lines = [f"creates {_count(added)}"] if added else []
    lines += [f"replaces {_name(change)}{_why(change)}" for change in modified if change.replaces]
    rest = [change for change in modified if not change.replaces]
    for verb, some in (
        ("changes", [change for change in rest if not change.may_replace]),
        ("changes, possibly by replacing,", [change for change in rest if change.may_replace]),
        ("removes", removed),
    ):
        if some:
            lines.append(f"{verb} {_count(some)}: {', '.join(change.resource for change in some)}")
    if any(change.resource_type == IMAGE_BUILDER.resource_type and change.makes_new for change in changes):
        lines.append("makes the image anew: 5 to 15 minutes, about a cent (estimates)")
    return lines


def _without_idle_image(changes: list[Change]) -> list[Change]:
    """Return changes without a new name of the image where its builder keeps its own.

    CloudFormation cannot know what a builder that it updates will be called, and so lists the image's name as changing.
    """
    if any(change.resource_type == IMAGE_BUILDER.resource_type and change.replaces for change in changes):
        return changes
    return [
        replace(change, properties=tuple(name for name in change.properties if name != IMAGE.name_property))
        if change.resource_type == IMAGE.resource_type
        else change
        for change in changes
    ]


def _name(change: Change) -> str:
    words = TYPES.get(change.resource_type)
    return (words.name if words is not None else "") or change.resource


def _why(change: Change) -> str:
    verb = "changes" if len(change.reasons) == 1 else "change"
    return f": {' and '.join(change.reasons)} {verb}" if change.reasons else ""


def _count(changes: list[Change]) -> str:
    return "1 resource" if len(changes) == 1 else f"{len(changes)} resources"
