"""The commands of the documentation, run in their order against the local AWS, as a reader of the page would."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from local_aws.launcher import local_aws
from tests.local_aws.examples import ROOT, make_shell

pytestmark = pytest.mark.slow


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
@pytest.mark.usefixtures("template")
def test_the_commands_of_a_page_do_what_it_shows(page: str, tmp_path: Path) -> None:
    steps = _steps((ROOT / "docs" / f"{page}.md").read_text())
    assert steps
    with local_aws() as local:
        shell = make_shell(local, tmp_path)
        for command, expected in steps:
            printed = shell("root", f"cd {ROOT} && {command} && echo done")
            assert printed.endswith("done\n"), printed
            assert _shows(printed, expected), f"{command} printed:\n{printed}"
