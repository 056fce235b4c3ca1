"""Whether what a command prints under ``--output json`` is the document that ``docs/json.md`` describes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, get_type_hints

from docs_gen.json_page import element_of, results, split_optional

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

PLAIN = {bool: bool, int: int, float: float | int, Decimal: float | int, str: str, Path: str}


def parse(printed: str, returncode: int) -> Any:
    """Return the one document on a command's stdout, which must be as it is described.

    Args:
        printed: on stdout.
        returncode: of the command.
    """
    document = json.loads(printed)
    assert list(document) == ["command", "ok", "error", "result"]
    assert document["ok"] is (returncode == 0)
    assert document["command"] in results()
    if document["result"] is None:
        assert isinstance(document["error"], str), document
    else:
        problems = list(_problems(results()[document["command"]], document["result"], "result"))
        assert problems == [], printed
    return document


def _problems(hint: Any, value: Any, where: str) -> Iterator[str]:
    hint, optional = split_optional(hint)
    if value is None and optional:
        return
    element = element_of(hint)
    if element is not None:
        if not isinstance(value, list if element[0] == "[]" else dict):
            yield f"{where} is {value!r}"
            return
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _problems(element[1], item, f"{where}[{key!r}]")
    elif is_dataclass(hint):
        if list(value) != [field.name for field in fields(hint)]:
            yield f"{where} has the keys {list(value)}"
            return
        for name, kind in get_type_hints(hint).items():
            yield from _problems(kind, value[name], f"{where}.{name}")
    elif hint is datetime:
        if not (isinstance(value, str) and TIME.fullmatch(value)):
            yield f"{where} is {value!r}"
    elif issubclass(hint, Enum):
        if value not in [member.value for member in hint]:
            yield f"{where} is {value!r}"
    elif not isinstance(value, PLAIN[hint]) or (isinstance(value, bool) and hint is not bool):
        yield f"{where} is {value!r}"
