"""The page for institutions: each claim has a test that exists, or says that only AWS can show it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split(" | "))
    for line in (ROOT / "docs" / "institutions.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith(("| Claim", "| ---"))
]


def test_the_page_has_claims_for_both() -> None:
    assert len(ROWS) > 20


@pytest.mark.parametrize(("claim", "held"), ROWS)
def test_each_claim_is_held_by_a_test_or_by_aws_alone(claim: str, held: str) -> None:
    assert claim.endswith(".")
    if held == "the same" or held.startswith("only AWS can show it"):
        return
    tests = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", held)
    assert tests, held
    for file, name in tests:
        functions = [
            node for node in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(node, ast.FunctionDef)
        ]
        assert name in [function.name for function in functions]
