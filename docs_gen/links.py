"""Every link of the documentation that leads elsewhere, for people to check: ``python -m docs_gen.links``.

One line each: the address, and the pages that have it. It asks nobody.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from template_gen.archive import ROOT

LINK = re.compile(r"\]\((https?://(?:[^()\s]|\([^()\s]*\))+)\)|<(https?://[^>\s]+)>")
"""A link in Markdown; an address may have brackets of its own."""

CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
"""What is no link: a block of code, or words in backticks."""


def find_links(pages: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the pages that have each address, both in order.

    Args:
        pages: the text of each page, by its path.
    """
    found: dict[str, set[str]] = {}
    for path, text in pages.items():
        for match in LINK.finditer(CODE.sub("", text)):
            found.setdefault(match[1] or match[2], set()).add(path)
    return {address: sorted(paths) for address, paths in sorted(found.items())}


def read_pages(root: Path = ROOT) -> dict[str, str]:
    """Return every page of the documentation, by its path in the repository."""
    paths: Iterable[Path] = sorted([*root.glob("*.md"), *root.glob("docs/*.md")])
    return {path.relative_to(root).as_posix(): path.read_text() for path in paths}


def main() -> None:
    """Print the links."""
    for address, paths in find_links(read_pages()).items():
        sys.stdout.write(f"{address}  {', '.join(paths)}\n")


if __name__ == "__main__":
    main()
