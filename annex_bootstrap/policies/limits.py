"""The limits of every printed policy: the size of a managed policy, and boundaries that its holder cannot change."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from annex_bootstrap.errors import UserError
from annex_contract.iam import Statement, deny, document

if TYPE_CHECKING:
    from annex_bootstrap.aws import Account

MANAGED_POLICY_LIMIT = 6144
"""Characters of a managed policy without white space:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""

INLINE_POLICY_LIMIT = 2048
"""Characters of all inline policies of a user without white space; from the same page."""


BOUNDARY = re.compile(r"arn:(aws[a-z-]*):iam::(\d{12}|aws):policy/[\w+=,.@/-]+", re.ASCII)
"""The ARN of a managed policy, with its partition and account: AWS's own, or one of the account's.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html"""


def check_boundary(account: Account, boundary: str) -> None:
    """Refuse a permissions boundary that IAM would not take: it is of the account itself, or AWS's own.

    Args:
        account: where.
        boundary: the ARN; empty for none.

    Raises:
        UserError: it is no ARN of a managed policy, or of one elsewhere.
    """
    found = BOUNDARY.fullmatch(boundary)
    if boundary and (not found or found[1] != account.partition or found[2] not in ("aws", account.account_id)):
        raise UserError(
            f"{boundary!r} cannot be a permissions boundary in this account: give the ARN of a managed policy, such as "
            f"arn:{account.partition}:iam::{account.account_id}:policy/NAME"
        )


def size(policy: dict[str, Any]) -> int:
    """Return how many characters of a policy IAM counts."""
    return len("".join(json.dumps(policy, separators=(",", ":")).split()))


def split(policy: dict[str, Any]) -> list[dict[str, Any]]:
    """Return documents with a policy's statements in their order that each fit into a managed policy."""
    parts: list[list[Statement]] = [[]]
    for statement in policy["Statement"]:
        if size(document([*parts[-1], statement])) > MANAGED_POLICY_LIMIT:
            parts.append([])
        parts[-1].append(statement)
    return [document(part) for part in parts]


def keep_boundaries(boundary: str) -> list[Statement]:
    """Return the statement that keeps a policy's holder from changing the boundary of what they make."""
    return [
        deny(
            "KeepBoundaryAsItIs",
            "iam: CreatePolicyVersion DeletePolicy DeletePolicyVersion SetDefaultPolicyVersion",
            boundary,
        )
    ]
