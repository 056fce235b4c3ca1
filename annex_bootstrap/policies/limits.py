"""The limits of every printed policy: the size of a managed policy, and boundaries that its holder cannot change."""

from __future__ import annotations

import json
from typing import Any

from annex_contract.iam import Statement, deny, document

MANAGED_POLICY_LIMIT = 6144
"""Characters of a managed policy without white space:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""

INLINE_POLICY_LIMIT = 2048
"""Characters of all inline policies of a user without white space; from the same page."""


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
