"""What is kept in the user's cache."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from local_aws.machines import debian


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_what_a_killed_build_left_is_deleted_and_others_stay() -> None:
    cache = debian.cache_directory()
    left, other = cache / "disk-1.abcdef", cache / "disk-2.abcdef"
    for directory in (left, other):
        (directory / "root").mkdir(parents=True)
    built = debian.cached("disk-1", lambda target: (target / "disk").touch())
    assert (built / "disk").exists()
    assert [path.name for path in sorted(cache.iterdir())] == ["disk-1", "disk-1.lock", "disk-2.abcdef"]


def test_packages_wait_for_another_program_that_installs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``apt-get`` here writes down its options."""
    said, programs = tmp_path / "said", tmp_path / "bin"
    programs.mkdir()
    (programs / "apt-get").write_text(f'#!/bin/sh\necho "$*" >> {said}\n')
    (programs / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    debian.install(["made-up-program"], ["made-up"])
    assert said.read_text().splitlines() == [
        "-o DPkg::Lock::Timeout=300 update",
        "-o DPkg::Lock::Timeout=300 install --yes --no-install-recommends made-up",
    ]
