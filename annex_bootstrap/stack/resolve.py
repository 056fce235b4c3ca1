"""What the template's intrinsic functions give for chosen values."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Mapping
from typing import Any

_NO_VALUE = object()


def resolve(node: Any, values: Mapping[str, Any], conditions: Mapping[str, bool]) -> Any:
    """Replace the intrinsic functions in a part of a template.

    Args:
        node: as ``Template.to_dict`` gives it.
        values: what ``Ref`` gives, by name, and what ``Fn::GetAtt`` gives, by ``Name.Attribute``.
        conditions: which hold, by name.

    Returns:
        Plain data.

    Raises:
        KeyError: a value or a condition is missing.
    """

    def get(inner: Any) -> Any:
        return resolve(inner, values, conditions)

    if isinstance(node, list):
        return [found for found in map(get, node) if found is not _NO_VALUE]
    if not isinstance(node, dict):
        return node
    match [*node.items()]:
        case [("Ref", "AWS::NoValue")]:
            return _NO_VALUE
        case [("Ref", name)]:
            return values[name]
        case [("Fn::GetAtt", [name, attribute])]:
            return values[f"{name}.{attribute}"]
        case [("Fn::If", [condition, yes, no])]:
            return get(yes if conditions[condition] else no)
        case [("Fn::Equals", [left, right])]:
            return get(left) == get(right)
        case [("Fn::Not", [inner])]:
            return not get(inner)
        case [("Condition", str(name))]:
            return conditions[name]
        case [("Fn::And", parts)]:
            return all(map(get, parts))
        case [("Fn::Join", [separator, parts])]:
            return separator.join(get(parts))
        case [("Fn::Select", [index, items])]:
            return get(items)[int(index)]
        case [("Fn::Split", [separator, text])]:
            return get(text).split(separator)
        case [("Fn::Sub", [text, own])]:
            return _substitute(text, ChainMap(get(own), values))  # type: ignore[arg-type]  # only read
        case [("Fn::Sub", text)]:
            return _substitute(text, values)
    found = {key: get(value) for key, value in node.items()}
    return {key: value for key, value in found.items() if value is not _NO_VALUE}


class _Conditions(dict[str, bool]):
    """Conditions, each found out when it is asked for: one may name others."""

    def __init__(self, nodes: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        super().__init__()
        self.nodes, self.values_of_parameters = nodes, values

    def __missing__(self, name: str) -> bool:
        self[name] = bool(resolve(self.nodes[name], self.values_of_parameters, self))
        return self[name]


def resolve_conditions(nodes: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, bool]:
    """Return which conditions of a template hold.

    Args:
        nodes: its conditions, by name.
        values: as for ``resolve``.
    """
    found = _Conditions(nodes, values)
    return {name: found[name] for name in nodes}


def _substitute(text: str, values: Mapping[str, Any]) -> str:
    return re.sub(r"\$\{([^}]+)\}", lambda match: str(values[match[1]]), text)
