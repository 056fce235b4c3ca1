"""Files that nobody but their owner may read: keys and passwords."""

from __future__ import annotations

import os
from pathlib import Path

from annex_bootstrap.errors import UserError
from annex_bootstrap.pool.atomic import locked, replace_file

PRIVATE = 0o600
OTHERS = 0o077
"""The permission bits of the group and of others. HTCondor refuses a secret that has any of them."""


def write_private(path: Path, content: bytes) -> None:
    """Write a file with mode 0600 so that a reader sees the old file or the new one; its new directory gets 0700.

    Args:
        path: the file; it belongs to the user who writes it.
        content: the whole of it.

    Raises:
        UserError: it cannot be written.
    """
    try:
        make_private_directory(path.parent)
        with locked(path):
            replace_file(path, content, PRIVATE)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}; check who owns its directory") from error


def make_private_directory(directory: Path) -> None:
    """Make a directory that only its owner may enter; one that exists stays as it is."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def close_to_others(path: Path) -> None:
    """Remove the permissions of the group and of others from a file of the user's own."""
    status = path.stat()
    if status.st_uid == os.geteuid() and status.st_mode & OTHERS:
        path.chmod(PRIVATE)


def read_private(path: Path) -> bytes | None:
    """Return the content of a file; None where there is none.

    Raises:
        UserError: it is there and cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}; check who owns it") from error


def why_not_private(path: Path) -> str:
    """Return what HTCondor would refuse about a secret's file, as a short sentence; nothing if it is private."""
    try:
        status = path.stat()
    except OSError as error:
        return f"{path} cannot be read: {error.strerror or error}"
    if status.st_uid != os.geteuid():
        return f"{path} belongs to another user (ID {status.st_uid})"
    if status.st_mode & OTHERS:
        return f"{path} has mode {status.st_mode & 0o777:04o}, so others may read it"
    return ""
