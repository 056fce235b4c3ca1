"""Every row of the table of pools is a test with a real HTCondor."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_every_row_names_a_test_that_exists() -> None:
    rows = re.findall(r"^\| .* \| `(test_\w+)` \|$", (ROOT / "docs" / "pools.md").read_text(), re.MULTILINE)
    written = "".join(path.read_text() for path in (ROOT / "tests" / "htcondor").glob("test_*.py"))
    tests = set(re.findall(r"^def (test_\w+)", written, re.MULTILINE))
    assert len(rows) >= 14
    assert set(rows) <= tests
    of_several_hosts = set(re.findall(r"^def (test_\w+)", (ROOT / "tests/htcondor/test_pools.py").read_text(), re.M))
    assert of_several_hosts <= set(rows)
