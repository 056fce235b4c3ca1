"""Variables in policies, such as ``${aws:userid}``; MiniStack takes them for plain text.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from ministack.core import iam_evaluator

VARIABLE = re.compile(r"\$\{\s*([^},\s]+)\s*(?:,\s*'([^']*)'\s*)?\}")

LITERAL = {"*": "*", "?": "?", "$": "$"}

NOTHING = "\0"
"""Stands where there is no value, and for a wildcard within one: no request has it, so nothing matches."""


def filled(policies: Any, ctx: Any) -> Any:
    """Return parsed policies with the values of a request in place of their variables."""
    return [[_statement(statement, ctx) for statement in statements] for statements in policies]


def _statement(statement: Any, ctx: Any) -> Any:
    texts = [*statement.resources, *statement.not_resources, *map(str, statement.conditions.values())]
    if not any("${" in text for text in texts):
        return statement
    return dataclasses.replace(
        statement,
        resources=[_text(text, ctx) for text in statement.resources],
        not_resources=[_text(text, ctx) for text in statement.not_resources],
        conditions={
            operator: {key: _values(values, ctx) for key, values in block.items()}
            for operator, block in statement.conditions.items()
        },
    )


def _values(values: Any, ctx: Any) -> Any:
    return [_text(str(value), ctx) for value in (values if isinstance(values, list) else [values])]


def _text(text: str, ctx: Any) -> str:
    def value(match: re.Match[str]) -> str:
        name, default = match.groups()
        if name in LITERAL:
            # MiniStack's patterns have no way to write a wildcard that is none.
            return NOTHING if name != "$" else "$"
        found = iam_evaluator._resolve_condition_key(name, ctx)
        plain = default if found is None or isinstance(found, list) else str(found)
        return NOTHING if plain is None else re.sub(r"[*?]", NOTHING, plain)

    return VARIABLE.sub(value, text)
