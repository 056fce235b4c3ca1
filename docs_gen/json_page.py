"""The keys of every command's JSON document: ``docs/json.md``, from the commands' results and their docstrings.

Run as ``python -m docs_gen.json_page > docs/json.md``.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import click

from annex_bootstrap.console.command import Command, Group
from annex_bootstrap.console.result import Result
from annex_bootstrap.main import commands

INTRODUCTION = """\
# JSON output

With `--output json` a command prints one JSON document on stdout and nothing else. Errors and warnings go to stderr.
Nothing is asked: a command that would ask needs `--yes`. The exit code is the same as without it. Every document has
the same four keys:

```json
{
  "command": "leases extend",
  "ok": true,
  "error": null,
  "result": {"annex": "my-first-annex", "lease_expiration": "2026-11-22T20:34:00Z"}
}
```

| Key | Type | Meaning |
| --- | --- | --- |
| `command` | string | the words of the command |
| `ok` | boolean | whether all of it succeeded; the exit code is 0 then |
| `error` | string or null | what is wrong, where, and what to do next |
| `result` | object or null | what the command did; null where it failed before it knew |

A result always has all its keys; what is unknown or does not apply is null. Numbers are JSON numbers, also those of
dollars. Times are ISO 8601 in UTC. Keys may be added in a new version; they change their meaning only where the
changelog says so.

This page is generated from the code by `python -m docs_gen.json_page`, and a test keeps it up to date. `[]` stands for
every element of a list, `*` for every key of an object.
"""

NAMES: Mapping[type, str] = {
    bool: "boolean",
    int: "number",
    float: "number",
    Decimal: "number",
    str: "string",
    Path: "string",
    datetime: "time",
}
"""The types of JSON, by ours."""


@cache
def results() -> dict[str, type[Result]]:
    """Return what each command with ``--output`` did, by the command's words."""
    return dict(_results(commands, ()))


def _results(group: click.Group, words: tuple[str, ...]) -> Iterator[tuple[str, type[Result]]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        own = command.own if isinstance(command, Group) else command
        if isinstance(own, Command) and any(option.name == "output" for option in own.params):
            yield " ".join((*words, name)), split_optional(get_type_hints(own.action)["return"])[0]
        if isinstance(command, click.Group):
            yield from _results(command, (*words, name))


def split_optional(hint: Any) -> tuple[Any, bool]:
    """Return a type without None, and whether None was part of it."""
    if get_origin(hint) not in (Union, UnionType):
        return hint, False
    (rest,) = set(get_args(hint)) - {NoneType}
    return rest, True


def element_of(hint: Any) -> tuple[str, Any] | None:
    """Return what stands in a list (``[]``) or in an object with any keys (``.*``); None where it is neither."""
    origin = get_origin(hint) or hint
    if not isinstance(origin, type) or issubclass(origin, str):
        return None
    if issubclass(origin, Mapping):
        return ".*", get_args(hint)[1]
    return ("[]", get_args(hint)[0]) if issubclass(origin, Sequence | Set) else None


def _type_name(hint: Any) -> str:
    hint, optional = split_optional(hint)
    element = element_of(hint)
    if element is not None:
        inner = _type_name(element[1])
        several = f"lists{inner.removeprefix('list')}" if inner.startswith("list of ") else f"{inner}s"
        name = f"{'list' if element[0] == '[]' else 'object'} of {several}"
    elif is_dataclass(hint):
        name = "object"
    elif issubclass(hint, Enum):
        name = "string"
    else:
        name = NAMES[hint]
    return f"{name} or null" if optional else name


def _rows(kind: type, path: str = "") -> Iterator[str]:
    meanings, hints = _meanings(kind), get_type_hints(kind)
    for field in fields(kind):
        key, hint = path + field.name, hints[field.name]
        rest, _ = split_optional(hint)
        while element := element_of(rest):
            key, (rest, _) = key + element[0], split_optional(element[1])
        # What is another command's result is described there.
        whole = [f"; its keys are those of {_link(words)}" for words, result in results().items() if result is rest]
        yield f"| `{path + field.name}` | {_type_name(hint)} | {meanings.get(field.name, '')}{''.join(whole[:1])} |"
        if is_dataclass(rest) and isinstance(rest, type) and not whole:
            yield from _rows(rest, f"{key}.")


def _link(words: str) -> str:
    return f"[{words}](#{words.replace(' ', '-')})"


def _meanings(kind: type) -> dict[str, str]:
    _, _, attributes = (inspect.getdoc(kind) or "").partition("\nAttributes:\n")
    found = re.findall(r"^    (\w+): (.*(?:\n     +.*)*)", attributes, re.MULTILINE)
    return {name: _for_readers(text).rstrip(".") for name, text in found}


def _for_readers(text: str) -> str:
    text = re.sub(r"\s+", " ", text).replace("``", "`").replace("|", "\\|")
    return text.replace("None", "null").replace("True", "true").replace("False", "false")


def page() -> str:
    """Return the document as Markdown."""
    lines, described = [INTRODUCTION], dict[type[Result], str]()
    for words, result in results().items():
        lines += [f"## {words}", ""]
        if first := described.get(result):
            lines += [f"The keys are those of {_link(first)}.", ""]
            continue
        described[result] = words
        summary = (inspect.getdoc(result) or "").partition("\n")[0]
        lines += [_for_readers(summary), "", "| Key | Type | Meaning |", "| --- | --- | --- |", *_rows(result), ""]
    return "\n".join(lines[:-1]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
