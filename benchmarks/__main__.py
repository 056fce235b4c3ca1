"""``python -m benchmarks [NAME...]``: run benchmarks and write their tables into docs/performance.md.

Without a name all of them, which takes a few minutes.
"""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import client, creation, custom_resources, growth, lease, machine, scale, size, ticks, week

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"

TABLES: Mapping[str, Callable[[], str]] = {
    "client": client.table,
    "creation": creation.table,
    "custom_resources": custom_resources.table,
    "growth": growth.table,
    "lease": lease.table,
    "machine": machine.table,
    "scale": scale.table,
    "size": size.table,
    "ticks": ticks.table,
    "week": week.table,
}
"""What writes each table of the page."""


def main() -> None:
    """Write the tables that the command line names, or all."""
    # A background job of a shell ignores Ctrl-C, and what it starts inherits that; `watch` must not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    chosen = sys.argv[1:] or list(TABLES)
    PAGE.write_text(
        re.sub(
            r"(<!-- measured: ([a-z_]+) -->\n).*?(<!-- end -->)",
            lambda found: found[1] + TABLES[found[2]]() + found[3] if found[2] in chosen else found[0],
            PAGE.read_text(),
            flags=re.DOTALL,
        )
    )


if __name__ == "__main__":
    main()
