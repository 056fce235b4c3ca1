"""What a command did, and the one shape of JSON in which every command tells it.

docs/json.md describes the shape for those who read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Result:
    """What a command did. Each command adds its fields; they are the keys of its JSON document."""

    @property
    def ok(self) -> bool:
        """Whether all of it succeeded; the exit code is 1 otherwise."""
        return True


def as_json(command: str, result: Result | None, error: str | None) -> dict[str, Any]:
    """Return the JSON document of a command.

    Args:
        command: its words, such as ``leases end``.
        result: what it did; None where it failed before it knew.
        error: why it failed, in one sentence; None where it did not.
    """
    return {
        "command": command,
        "ok": error is None and result is not None and result.ok,
        "error": error,
        "result": None if result is None else _value(result),
    }


def _value(value: object) -> Any:
    """Return a value as JSON has it: numbers as numbers, times in ISO 8601 and UTC, and every key always there."""
    match value:
        case None | bool() | int() | float():
            return value
        case Enum():
            return _value(value.value)
        case str() | Path():
            return str(value)
        case Decimal():
            return float(value)
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        case Mapping():
            return {str(key): _value(item) for key, item in value.items()}
        case Set():
            return sorted(_value(item) for item in value)
        case Sequence():
            return [_value(item) for item in value]
        case _ if is_dataclass(value):
            return {field.name: _value(getattr(value, field.name)) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} has no place in a JSON document")
