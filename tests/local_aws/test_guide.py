"""The commands of the documentation, run in their order against the local AWS, as a reader of the page would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from annex_bootstrap.local_aws import LocalAws
from tests.local_aws.conftest import ROOT


def _steps(page: str) -> list[tuple[str, list[str]]]:
    """The commands of a page's ``console`` blocks, each with the lines of output shown after it."""
    steps: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line.removeprefix("$ "), []))
            else:
                steps[-1][1].append(line)
    return steps


def _shows(said: str, expected: list[str]) -> bool:
    """Whether the lines come in that order; ``...`` stands for anything, alone on a line for any lines."""
    lines = iter(said.splitlines())
    wanted = [line.replace("[", "[[]").replace("...", "*") for line in expected if line != "..."]
    return all(any(fnmatchcase(line, pattern) for line in lines) for pattern in wanted)


@pytest.mark.parametrize("page", ["guide", "security"])
def test_the_commands_of_a_page_do_what_it_shows(page: str, local: LocalAws, template: str, tmp_path: Path) -> None:
    assert template
    client = tmp_path / "bin" / "annex-bootstrap"
    client.parent.mkdir()
    client.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m annex_bootstrap "$@"\n')
    client.chmod(0o755)
    environ = os.environ | local.environ(local.root)
    environ |= {"HOME": str(tmp_path), "PATH": f"{client.parent}:{os.environ['PATH']}"}
    steps = _steps((ROOT / "docs" / f"{page}.md").read_text())
    assert steps
    for command, expected in steps:
        done = subprocess.run(["sh", "-c", command], env=environ, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        assert _shows(done.stdout, expected), f"{command} printed:\n{done.stdout}"
