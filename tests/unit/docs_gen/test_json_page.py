"""The page that describes the JSON documents, and what holds commands to it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from annex_bootstrap.console.result import Result, as_json
from docs_gen import facts, json_page
from tests import json_documents


@dataclass(frozen=True)
class Part:
    """One of several.

    Attributes:
        annex: its ID, which is
            long.
        dollars_per_hour: None where a price is
            unknown.
    """

    annex: str
    dollars_per_hour: Decimal | None


@dataclass(frozen=True)
class Whole(Result):
    """What was done."""

    at: datetime
    parts: tuple[Part, ...]
    counts: dict[str, int]


WHOLE = Whole(datetime(2026, 1, 1, tzinfo=UTC), (Part("first", Decimal("0.1")), Part("second", None)), {"a": 1})


def test_the_page_is_as_the_code_has_it() -> None:
    assert (facts.DOCS / "json.md").read_text() == json_page.page(), "run python -m docs_gen.json_page"


def test_every_key_of_every_command_has_a_type_and_one_spelling() -> None:
    lines = json_page.page().splitlines()
    keys = {line.split("`")[1].rpartition(".")[2] for line in lines if line.startswith("| `")}
    assert {"command", "annex", "lease_expiration", "dollars_per_hour", "region", "stack"} <= keys
    other_spellings = {"annex_id", "dollars_an_hour", "name_of_stack", "stack_name", "expires", "expiration"}
    assert keys & other_spellings == set()
    assert [key for key in keys if key != key.lower()] == []
    assert [line for line in lines if line.endswith("|  |")] == []


def test_a_key_has_one_type_in_all_documents() -> None:
    types: dict[str, set[str]] = {}
    for row in json_page.page().splitlines():
        if row.startswith("| `"):
            _, key, kind, *_ = row.split("|")
            name = key.strip(" `").rpartition(".")[2]
            types.setdefault(name, set()).add(kind.strip().removesuffix(" or null"))
    assert {name: kinds for name, kinds in types.items() if len(kinds) > 1} == {}


def test_rows_have_keys_types_and_meanings_at_every_depth() -> None:
    assert list(json_page._rows(Whole)) == [
        "| `at` | time |  |",
        "| `parts` | list of objects |  |",
        "| `parts[].annex` | string | its ID, which is long |",
        "| `parts[].dollars_per_hour` | number or null | null where a price is unknown |",
        "| `counts` | object of numbers |  |",
    ]


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes ``whole`` a command that returns a `Whole`."""
    monkeypatch.setattr(json_documents, "results", lambda: {"whole": Whole})


@pytest.mark.usefixtures("known")
def test_a_document_as_described_is_accepted() -> None:
    document = as_json("whole", WHOLE, None)
    assert json_documents.parse(json.dumps(document), 0) == document
    failed = as_json("whole", None, "there is no stack")
    assert json_documents.parse(json.dumps(failed), 1) == failed


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("at", "2026-01-01 00:00:00"),
        ("at", 1767225600),
        ("parts", None),
        ("parts", [{"annex": "first"}]),
        ("parts", [{"annex": "first", "dollars_per_hour": "0.1"}]),
        ("parts", [{"annex": "first", "dollars_per_hour": True}]),
        ("counts", {"a": "1"}),
        ("more", 1),
    ],
)
def test_a_document_with_other_keys_or_types_is_refused(key: str, value: Any) -> None:
    document = as_json("whole", WHOLE, None)
    document["result"][key] = value
    with pytest.raises(AssertionError):
        json_documents.parse(json.dumps(document), 0)


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("document", "returncode"),
    [
        (as_json("whole", WHOLE, None), 1),
        (as_json("whole", None, None), 1),
        (as_json("other", WHOLE, None), 0),
        (as_json("whole", WHOLE, None) | {"more": 1}, 0),
    ],
)
def test_an_envelope_that_disagrees_with_the_exit_code_is_refused(document: dict[str, Any], returncode: int) -> None:
    with pytest.raises(AssertionError):
        json_documents.parse(json.dumps(document), returncode)
