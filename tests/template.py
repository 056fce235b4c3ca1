"""The template, built once for all tests of a process: building it takes longer than most of them."""

from __future__ import annotations

from functools import cache
from typing import Any

from template_gen.template import build


@cache
def template() -> dict[str, Any]:
    """Return the template as it is deployed. Nobody changes it: a test that does takes a copy."""
    built: dict[str, Any] = build().to_dict()
    return built
