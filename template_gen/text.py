"""The template's text: JSON in which whatever fits on a line is on one line."""

from __future__ import annotations

import json
from typing import Any

WIDTH = 140
"""Characters of a line, where a single string is not longer."""


def render(node: Any, indent: int = 0, room: int = WIDTH) -> str:
    """Return a JSON document, its keys sorted.

    Args:
        node: what ``json.loads`` can return.
        indent: how deep it stands; one space a level.
        room: characters that it may take on one line.
    """
    line = json.dumps(node, sort_keys=True)
    if not node or not isinstance(node, dict | list) or len(line) <= room:
        return line
    if isinstance(node, dict) and len(node) == 1:
        key, value = next(iter(node.items()))
        start = f"{{{json.dumps(key)}: "
        return f"{start}{render(value, indent, room - len(start) - 1)}}}"
    if isinstance(node, list) and len(node) == 1:
        return f"[{render(node[0], indent, room - 2)}]"
    inner, room = " " * (indent + 1), WIDTH - indent - 2
    if isinstance(node, list):
        parts, (opening, closing) = [render(part, indent + 1, room) for part in node], "[]"
    else:
        keys = {key: f"{json.dumps(key)}: " for key in sorted(node)}
        parts = [start + render(node[key], indent + 1, room - len(start)) for key, start in keys.items()]
        opening, closing = "{}"
    lines = ",\n".join(f"{inner}{part}" for part in parts)
    return f"{opening}\n{lines}\n{' ' * indent}{closing}"
