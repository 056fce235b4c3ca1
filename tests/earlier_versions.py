"""Earlier versions of annex-bootstrap, each built by its own ``build.py`` from the repository's history."""

from __future__ import annotations

import functools
import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest

from annex_contract.resources import IMAGE, IMAGE_BUILDER
from annex_contract.stack import TEMPLATE_NAME

ROOT = Path(__file__).parent.parent

PINNED = {
    "0.1.0": "a60161fe2c60aa12cd9710ec5a9c773c24c96619",
    "before-0.2.0": "c82caffd7e7f740b5333fe455da1a109bea66136",
    "before-paths": "6edfdbc5867c754dc0aea490cb857f7722b00449",
}
"""Commits that count as versions, although no tag names them."""

REPLACEABLE = {
    *("AWS::Events::Rule", "AWS::IAM::Role", "AWS::IAM::RolePolicy", "AWS::Lambda::Permission"),
    *(IMAGE_BUILDER.resource_type, IMAGE.resource_type),
}
"""Types that an update may replace: wiring inside the stack, which nobody outside it knows and which holds nothing, as
the roles of functions; and the image, which a version that puts other things into it makes again."""


def versions() -> list[str]:
    """Return the names of all earlier versions: every tag before this commit that begins with ``v``, and ``PINNED``."""
    try:
        command = ["git", "tag", "--list", "v*", "--no-contains", "HEAD"]
        tags = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        # Building the pinned ones will say what is missing.
        return list(PINNED)
    return [*tags.stdout.split(), *PINNED]


@functools.cache
def template_of(version: str, repository: Path = ROOT) -> str:
    """Return the text of an earlier version's template, as its own ``build.py`` builds it.

    Args:
        version: one of ``versions()``.
        repository: the checkout whose history has it.
    """
    revision = PINNED.get(version, version)
    try:
        archive = subprocess.run(
            ["git", "archive", "--format=tar", revision], cwd=repository, capture_output=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", b"").decode().strip() or str(error)
        raise pytest.fail.Exception(
            f"{revision} is not in this checkout's history ({said}): install git and run this test in a full clone, "
            "for example after git fetch --unshallow --tags",
            pytrace=False,
        ) from None
    with tempfile.TemporaryDirectory() as directory:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(directory, filter="data")
        built = subprocess.run([sys.executable, "build.py"], cwd=directory, capture_output=True, text=True, check=False)
        if built.returncode:
            pytest.fail(f"build.py of {revision} failed: {built.stderr.strip()}", pytrace=False)
        return Path(directory, "dist", TEMPLATE_NAME).read_text()
