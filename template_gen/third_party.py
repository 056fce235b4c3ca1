"""The files of libraries that functions embed, each held to the SHA-256 that was committed when it was reviewed.

``third_party.sha256`` lists them, as ``sha256sum`` would. ``python -m template_gen.review`` writes the list again from
what is installed: do so for a new release of a library, and look at what has changed.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

LIST = Path(__file__).with_name("third_party.sha256")


class AlteredError(Exception):
    """A library's file that is not the one that was reviewed."""


def read(distribution: str, path: str) -> bytes:
    """Return the bytes of a library's file.

    Args:
        distribution: the name under which the library is installed.
        path: of the file, below where libraries are installed.

    Raises:
        AlteredError: the file differs from the reviewed one, or was not reviewed.
    """
    body = read_unchecked(distribution, path)
    if hashlib.sha256(body).hexdigest() != _reviewed().get(path):
        raise AlteredError(
            f"{path} of {distribution} {metadata.version(distribution)} is not the file that was reviewed: install "
            "the version that pyproject.toml names again, or see template_gen/third_party.py"
        )
    return body


def read_unchecked(distribution: str, path: str) -> bytes:
    """Return the bytes of a library's file, whatever they are."""
    return Path(str(metadata.distribution(distribution).locate_file(path))).read_bytes()


@functools.cache
def _reviewed() -> Mapping[str, str]:
    pairs = [line.split("  ", 1) for line in LIST.read_text().splitlines()]
    return {path: digest for digest, path in pairs}
