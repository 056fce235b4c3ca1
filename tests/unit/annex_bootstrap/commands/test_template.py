"""``template verify``: what it prints of a template, and whether it is what this version builds."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from annex_bootstrap.commands.template import verify
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.launch.verify import list_functions
from annex_bootstrap.stack.template import built_template, template_path
from annex_contract import __version__

BUILT = built_template()
SHA256 = hashlib.sha256(BUILT.encode()).hexdigest()


def test_the_template_that_this_version_builds_is_the_same_byte_for_byte(
    screen: Screen, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "copy.json"
    file.write_text(BUILT)
    found = verify(screen, str(file))
    assert (found.ok, found.sha256, found.differences) == (True, SHA256, ())
    assert found.functions == tuple(list_functions(BUILT))
    lines = capsys.readouterr().out.splitlines()
    expected = []
    for function in found.functions:
        expected += [function.name, f"  {function.loader_sha256}  (the code around the archive)"]
        expected += [f"  {module.sha256}  {module.path}" for module in function.modules]
    assert lines == [
        *expected,
        f"The whole template: {SHA256}",
        f"Byte for byte what annex-bootstrap {__version__} builds.",
    ]


def test_a_template_that_is_compared_with_itself_proves_nothing(
    screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    path = template_path()
    assert verify(screen, str(path)).ok
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"{path} is the file that this version compares with, so it was compared with itself.",
        "Compare its SHA-256 with the one that python build.py prints for the sources that you trust.",
    ]


def test_a_template_that_differs_is_named_with_each_difference(
    screen: Screen, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "other.json"
    file.write_text(BUILT.replace('"LeaseFunction"', '"Lease\\u001b[31mFunction"', 1) + " ")
    found = verify(screen, str(file))
    assert found.ok is False
    assert found.differences
    said = capsys.readouterr()
    assert said.err == (
        f"annex-bootstrap: {file} is not what annex-bootstrap {__version__} builds: the differences are above\n"
    )
    assert "\x1b" not in said.out
    assert "Byte for byte" not in said.out
    lines = said.out.splitlines()
    assert lines[-len(found.differences) - 1] == f"The whole template: {found.sha256}"
