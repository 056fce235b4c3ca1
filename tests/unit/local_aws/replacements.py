"""``python -m tests.unit.local_aws.replacements``: what each extension of the local AWS replaces in MiniStack, as JSON.

A process of its own, because the extensions change MiniStack's modules for good.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from local_aws.server.extensions import EXTENSIONS

DEPTH = 3
"""How deep tables are searched: MiniStack keeps its handlers in tables of tables."""


def snapshot() -> dict[str, object]:
    """Return every attribute of MiniStack's modules and every entry of their tables, by a name for it."""
    tables: set[int] = set()
    found: dict[str, object] = {}
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] == "ministack":
            for attribute, value in list(vars(module).items()):
                found[f"{name}.{attribute}"] = value
                found.update(_entries(f"{name}.{attribute}", value, tables, DEPTH))
    return found


def _entries(name: str, table: Any, tables: set[int], depth: int) -> Iterator[tuple[str, object]]:
    # Modules import each other's tables, so the same table may have been seen under another name.
    if type(table) is not dict or id(table) in tables or not depth:
        return
    tables.add(id(table))
    for key, value in table.items():
        yield f"{name}[{key!r}]", value
        yield from _entries(f"{name}[{key!r}]", value, tables, depth - 1)


def main() -> None:
    """Install the extensions one by one, and print what each has replaced or added."""
    replaced: dict[str, list[str]] = {}
    before = snapshot()
    for install in EXTENSIONS:
        install()
        after = snapshot()
        replaced[install.__module__] = [name for name in after if after[name] is not before.get(name)]
        before = after
    sys.stdout.write(json.dumps(replaced))


if __name__ == "__main__":
    main()
