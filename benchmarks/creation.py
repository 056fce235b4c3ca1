"""Find the longest chain of creations in the built template, and how far it is from the shortest one possible.

Run from a checkout: ``python -m benchmarks.creation``. Nothing is deployed: CloudFormation creates a resource when all
that it refers to or depends on is complete, so the time of a creation is that of the longest chain of references. The
parameters have their defaults.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from annex_contract.resources import (
    BUCKET,
    FLEET_ROLE,
    INSTANCE_ROLE,
    SECURITY_GROUP,
)
from docs_gen.resolve import references
from template_gen.parameters import holding
from template_gen.template import build

SECONDS = {
    "AWS::IAM::Role": 17,
    "AWS::IAM::RolePolicy": 16,
    "AWS::IAM::ManagedPolicy": 17,
    "AWS::Lambda::Function": 7,
    "AWS::Lambda::Permission": 2,
    "AWS::Lambda::EventInvokeConfig": 3,
    "AWS::Events::Rule": 60,
    BUCKET.resource_type: 8,
    INSTANCE_ROLE.resource_type: 8,
    FLEET_ROLE.resource_type: 6,
    SECURITY_GROUP.resource_type: 6,
    "Custom::AnnexImage": 0,
}
"""Assumed seconds to create a resource of a type; not measured, since nothing here has met AWS. An image takes minutes,
which no order of ours changes, so it has a row of its own and counts nothing here."""

OTHERS = 3
"""Assumed seconds for every other type."""

SHORTEST = ("AWS::IAM::Role", "AWS::Lambda::Function", "AWS::Events::Rule")
"""No template with a scheduled function can do with less: a role, its function, its rule."""


@dataclass(frozen=True)
class Chain:
    """Resources that wait for one another.

    Attributes:
        titles: their logical IDs, the first to be created first.
        seconds: what they take one after another.
    """

    titles: tuple[str, ...]
    seconds: int


def longest_chain(resources: Mapping[str, Any], seconds: Mapping[str, int] = SECONDS) -> Chain:
    """Return the chain of creations that takes longest.

    Args:
        resources: the ``Resources`` of a template.
        seconds: a resource type's time to create.
    """
    chains: dict[str, Chain] = {}

    def chain_to(title: str) -> Chain:
        if title not in chains:
            before = [chain_to(needed) for needed in sorted(set(references(resources[title])) & resources.keys())]
            longest = max(before, key=lambda chain: chain.seconds, default=Chain((), 0))
            own = seconds.get(resources[title]["Type"], OTHERS)
            chains[title] = Chain((*longest.titles, title), longest.seconds + own)
        return chains[title]

    return max((chain_to(title) for title in sorted(resources)), key=lambda chain: chain.seconds)


def chosen(node: Any, conditions: Mapping[str, bool]) -> Any:
    """Return a part of a template with the branch of each ``Fn::If`` that these conditions choose."""
    if isinstance(node, list):
        return [chosen(part, conditions) for part in node]
    if not isinstance(node, dict):
        return node
    if "Fn::If" in node:
        condition, yes, no = node["Fn::If"]
        return chosen(yes if conditions[condition] else no, conditions)
    return {name: chosen(part, conditions) for name, part in node.items()}


def table() -> str:
    """Return the chain as Markdown, a line a resource, with its ratio to the shortest one possible."""
    conditions = holding({})
    resources = {
        title: chosen(part, conditions)
        for title, part in build().to_dict()["Resources"].items()
        if "Condition" not in part or conditions[part["Condition"]]
    }
    chain = longest_chain(resources)
    floor = sum(SECONDS[kind] for kind in SHORTEST)
    lines = ["| resource | type | assumed seconds |", "| --- | --- | ---: |"]
    for title in chain.titles:
        kind = resources[title]["Type"]
        lines.append(f"| {title} | {kind} | {SECONDS.get(kind, OTHERS)} |")
    ratio = chain.seconds / floor
    return "\n".join([*lines, "", f"{chain.seconds} s; {ratio:.2f} of the shortest possible, {floor} s."]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
