"""What a part of the template refers to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_IN_SUB = re.compile(r"\$\{(\w+)(?:\.[\w.]+)?\}")


def references(node: Any) -> Iterator[str]:
    """Yield the names that a part of a template refers to or depends on, of resources and of parameters."""
    if isinstance(node, list):
        for part in node:
            yield from references(part)
    elif isinstance(node, dict):
        for name, part in node.items():
            if name in ("Ref", "DependsOn") and isinstance(part, str):
                yield part
            elif name == "DependsOn":
                yield from part
            elif name == "Fn::GetAtt":
                yield part[0]
            elif name == "Fn::Sub":
                text, values = (part, {}) if isinstance(part, str) else part
                yield from set(_IN_SUB.findall(text)) - values.keys()
                yield from references(values)
            else:
                yield from references(part)
