"""``python -m benchmarks``: run every benchmark and write its table into docs/performance.md; takes a minute or two."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import client, creation, lease, size

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"

TABLES: Mapping[str, Callable[[], str]] = {
    "client": client.table,
    "creation": creation.table,
    "lease": lease.table,
    "size": size.table,
}
"""What writes each table of the page."""


def main() -> None:
    """Write the page."""
    PAGE.write_text(
        re.sub(
            r"(<!-- measured: ([a-z]+) -->\n).*?(<!-- end -->)",
            lambda found: found[1] + TABLES[found[2]]() + found[3],
            PAGE.read_text(),
            flags=re.DOTALL,
        )
    )


if __name__ == "__main__":
    main()
