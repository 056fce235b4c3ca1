"""The workflows of GitHub run what CI runs, with no more rights than they need."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it has no types

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def read(path: Path) -> dict[str, Any]:
    workflow: dict[str, Any] = yaml.safe_load(path.read_text())
    return workflow


def test_every_tier_of_ci_is_a_job_and_no_other() -> None:
    makes = re.findall(r"^(?:\w+=\w+ )*make (?:--\S+ )*(.+)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    opinions, *tiers = " ".join(makes).split()
    assert opinions == "opinions"
    tier = read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["tier"]
    assert tier["strategy"]["matrix"]["tier"] == tiers
    assert [step["run"] for step in tier["steps"] if "run" in step][1:] == [
        "make opinions",
        'make "$TIER" | tee output.md',
    ]


@each_workflow
def test_no_right_is_given_but_to_the_job_that_needs_it(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {}
    writing = {
        (name, right)
        for name, job in workflow["jobs"].items()
        for right, level in job["permissions"].items()
        if level == "write"
    }
    needed: dict[str, set[tuple[str, str]]] = {
        "ci": set(),
        "release": {
            ("release", "attestations"),
            ("release", "contents"),
            ("release", "id-token"),
            ("publish", "id-token"),
        },
    }
    assert writing == needed[path.stem]


@each_workflow
def test_every_action_is_pinned_by_its_commit_and_names_its_version(path: Path) -> None:
    for line in path.read_text().splitlines():
        if "uses:" in line:
            assert re.search(r"uses: [\w./-]+@[0-9a-f]{40} # v[0-9.]+$", line), line
