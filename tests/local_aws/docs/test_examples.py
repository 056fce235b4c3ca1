"""docs/cli.md shows what the commands really print."""

from __future__ import annotations

import pytest

from annex_bootstrap.main import GROUPS
from tests.local_aws import examples

pytestmark = pytest.mark.slow


def test_every_example_prints_what_the_document_says(template: str) -> None:
    assert template
    assert examples.run_examples() == examples.DOCUMENT.read_text()


def test_every_command_has_a_section() -> None:
    text = examples.DOCUMENT.read_text()
    names = [name for group in GROUPS.values() for name in group]
    assert [name for name in names if f"## {name}\n" not in text] == []
