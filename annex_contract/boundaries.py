"""The names of permissions boundaries, by which a stack knows that its roles have a boundary of its own.

The roles that such a stack makes have its name in theirs, so that its boundary can name them, and no others. IAM gives
no other hold on a role that is passed: "This approach does not have reliable results" is what it says of tags.
https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
"""

from __future__ import annotations

from enum import StrEnum


class Holder(StrEnum):
    """Whom a boundary is for."""

    ROLES = "roles"
    USERS = "users"


def boundary_name(holder: Holder, stack_name: str) -> str:
    """Return the name of the managed policy. It has no path: what deployers may change is under ours.

    Args:
        holder: whom it is for.
        stack_name: of the stack; empty for the beginning of every stack's.
    """
    return f"annex-bootstrap-{holder}-boundary-{stack_name}"
