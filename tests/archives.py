"""The code of the functions, as the template embeds it."""

from __future__ import annotations

from annex_bootstrap.launch.verify import read_code
from template_gen.template import build_text


def loader_of(function: str) -> str:
    """Return the part of a function's inline code that makes its archive's modules importable, and runs none of them.

    Args:
        function: its logical ID.
    """
    head, found, _ = read_code(build_text())[function].partition('"\n\n')
    if not found:
        raise ValueError(f"the code of {function} has no archive")
    return f'{head}"\nsys.meta_path.insert(0, Archive())\n'
