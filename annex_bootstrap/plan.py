"""Deciding, from a stack's state, what a deployment has to do. Pure: data in, data out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from annex_bootstrap.errors import UserError
from annex_bootstrap.stacks import Stack


class Step(Enum):
    """What a deployment does with the stack of that name."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    REPLACE_FAILED = "REPLACE_FAILED"
    """Delete what a failed first creation left, then create."""


CREATED_BADLY = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"}
UPDATABLE = {
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
}


@dataclass(frozen=True)
class Parameter:
    """A parameter's part in a change set: a value, or None for the stack's earlier one."""

    name: str
    value: str | None


@dataclass(frozen=True)
class Change:
    """What a change set does to one resource.

    Attributes:
        action: ``Add``, ``Modify`` or ``Remove``.
        resource: its name in the template.
        resource_type: such as ``AWS::IAM::Role``.
        replaces: whether a Modify makes a new one and deletes the old.
    """

    action: str
    resource: str
    resource_type: str
    replaces: bool


def choose_step(stack: Stack | None, name: str) -> Step:
    """Choose by the stack's status.

    Raises:
        UserError: nothing can be done in that status, with what to do about it.
    """
    if stack is None or stack.status in {"REVIEW_IN_PROGRESS", "DELETE_COMPLETE"}:
        return Step.CREATE
    if stack.in_progress:
        raise UserError(
            f"the stack {name} is in {stack.status}: somebody is changing it now; wait until that is over, "
            "then try again"
        )
    if stack.status in CREATED_BADLY:
        return Step.REPLACE_FAILED
    if stack.status in UPDATABLE:
        return Step.UPDATE
    if stack.status == "UPDATE_ROLLBACK_FAILED":
        raise UserError(
            f"the stack {name} is in UPDATE_ROLLBACK_FAILED: choose 'Continue update rollback' in the CloudFormation "
            "console, then try again"
        )
    raise UserError(f"the stack {name} is in {stack.status}: run annex-bootstrap delete, then try again")


def check_version(stack: Stack | None, ours: str, name: str) -> None:
    """Refuse to touch a stack that is not ours, or that a newer version made.

    Raises:
        UserError: that is so.
    """
    if stack is None or stack.status not in UPDATABLE:
        return
    if not stack.version:
        raise UserError(f"the stack {name} was not made by annex-bootstrap: choose another name with --stack-name")
    if _version_key(stack.version) > _version_key(ours):
        raise UserError(
            f"the stack {name} was made by annex-bootstrap {stack.version}, which is newer than this {ours}: "
            "update annex-bootstrap, then try again"
        )


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))


def choose_parameters(template: Mapping[str, Any], stack: Stack | None, given: Mapping[str, str]) -> list[Parameter]:
    """The parameters of a change set: what is given, else what the stack had, else the template's default.

    Raises:
        UserError: a given name is no parameter of the template.
    """
    known = template["Parameters"]
    for name in given:
        if name not in known:
            raise UserError(f"the template has no parameter {name}: choose from {', '.join(sorted(known))}")
    earlier = stack.parameters if stack is not None and stack.status in UPDATABLE else {}
    chosen = [Parameter(name, given[name]) for name in sorted(given)]
    return chosen + [Parameter(name, None) for name in sorted(earlier) if name in known and name not in given]


def describe(changes: list[Change]) -> list[str]:
    """Say in words what a change set does: one line a kind of change."""
    added = [change for change in changes if change.action == "Add"]
    removed = [change.resource for change in changes if change.action == "Remove"]
    replaced = [change.resource for change in changes if change.action == "Modify" and change.replaces]
    modified = [change.resource for change in changes if change.action == "Modify" and not change.replaces]
    lines = []
    if added:
        lines.append(f"creates {_count(len(added))}")
    for verb, names in (("changes", modified), ("replaces", replaced), ("removes", removed)):
        if names:
            lines.append(f"{verb} {_count(len(names))}: {', '.join(names)}")
    return lines


def _count(number: int) -> str:
    return f"{number} resource" if number == 1 else f"{number} resources"


def parse_template(text: str) -> Mapping[str, Any]:
    """The template as data."""
    template: Mapping[str, Any] = json.loads(text)
    return template
