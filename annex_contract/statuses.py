"""What each status of a CloudFormation stack means: one table for all that reads a status.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

DELETE_COMPLETE = "DELETE_COMPLETE"
DELETE_FAILED = "DELETE_FAILED"
REVIEW_IN_PROGRESS = "REVIEW_IN_PROGRESS"


class State(Enum):
    """What can be done with a stack."""

    ABSENT = "ABSENT"
    """There is no stack, or one that has a change set and nothing else."""
    IN_PROGRESS = "IN_PROGRESS"
    """CloudFormation is at work on it."""
    DEPLOYED = "DEPLOYED"
    """It is complete, and can be updated."""
    CREATION_FAILED = "CREATION_FAILED"
    """It has never been complete, and can only be deleted."""
    STUCK = "STUCK"
    """A person has to bring it out of this status first."""


@dataclass(frozen=True)
class Status:
    """A status of a stack.

    Attributes:
        name: as CloudFormation has it.
        state: what the stack is then.
        begins: whether an operation begins with it.
        succeeded: whether a creation or an update that ends with it has succeeded.
        advice: what to do about a stack that is stuck.
    """

    name: str
    state: State
    begins: bool = False
    succeeded: bool = False
    advice: str = ""


STATUSES: Mapping[str, Status] = {
    status.name: status
    for status in (
        Status(REVIEW_IN_PROGRESS, State.ABSENT),
        Status(DELETE_COMPLETE, State.ABSENT),
        Status("CREATE_IN_PROGRESS", State.IN_PROGRESS, begins=True),
        Status("UPDATE_IN_PROGRESS", State.IN_PROGRESS, begins=True),
        Status("DELETE_IN_PROGRESS", State.IN_PROGRESS, begins=True),
        Status("IMPORT_IN_PROGRESS", State.IN_PROGRESS, begins=True),
        Status("ROLLBACK_IN_PROGRESS", State.IN_PROGRESS),
        Status("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", State.IN_PROGRESS),
        Status("UPDATE_ROLLBACK_IN_PROGRESS", State.IN_PROGRESS),
        Status("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", State.IN_PROGRESS),
        Status("IMPORT_ROLLBACK_IN_PROGRESS", State.IN_PROGRESS),
        Status("CREATE_COMPLETE", State.DEPLOYED, succeeded=True),
        Status("UPDATE_COMPLETE", State.DEPLOYED, succeeded=True),
        Status("UPDATE_ROLLBACK_COMPLETE", State.DEPLOYED),
        Status("IMPORT_COMPLETE", State.DEPLOYED),
        Status("IMPORT_ROLLBACK_COMPLETE", State.DEPLOYED),
        Status("CREATE_FAILED", State.CREATION_FAILED),
        Status("ROLLBACK_COMPLETE", State.CREATION_FAILED),
        Status("ROLLBACK_FAILED", State.CREATION_FAILED),
        Status("UPDATE_FAILED", State.STUCK, advice="choose 'Roll back' in the CloudFormation console"),
        Status(
            "UPDATE_ROLLBACK_FAILED",
            State.STUCK,
            advice="choose 'Continue update rollback' in the CloudFormation console",
        ),
        Status("IMPORT_ROLLBACK_FAILED", State.STUCK, advice="end the import in the CloudFormation console"),
        Status(DELETE_FAILED, State.STUCK, advice="run annex-bootstrap delete, which reports what blocks the deletion"),
    )
}


def read_status(name: str) -> Status:
    """Return what a status means; one that is newer than this table is left to a person.

    Args:
        name: as CloudFormation has it.
    """
    unknown = Status(name, State.STUCK, advice="check it in the CloudFormation console")
    return STATUSES.get(name, unknown)
