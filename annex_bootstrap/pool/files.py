"""Files that are replaced whole, so that two writers lose nothing; and those that only their owner may read.

A reader sees the old file or the new one, never a part. Keys and passwords are private.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from annex_bootstrap.errors import UserError

PRIVATE = 0o600
OTHERS = 0o077
"""The permission bits of the group and of others. HTCondor refuses a secret that has any of them."""

NEW_SUFFIX = ".annex-bootstrap-new"
LOCK_SUFFIX = ".annex-bootstrap-lock"

LOCK_TIMEOUT = 20.0
"""Seconds to wait for another annex-bootstrap that is writing; that takes milliseconds."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes from writing a file until the context ends.

    Args:
        path: the file; its directory exists.

    Raises:
        UserError: another one is writing it for too long.
        OSError: the lock cannot be made.
    """
    # A file beside the target, which itself is replaced; the directory cannot be locked where it is on NFS.
    lock_path = path.with_name(f".{path.name}{LOCK_SUFFIX}")
    lock = FileLock(lock_path, timeout=LOCK_TIMEOUT, mode=0o600, fallback_to_soft=False)
    try:
        lock.acquire(poll_interval=0.05)
    except Timeout as error:
        raise UserError(f"another annex-bootstrap is writing {path}: wait until it is done, then try again") from error
    try:
        yield
    finally:
        # Only the holder removes the file; FileLock notices a removed one when it gets the lock, and opens it again.
        try:
            lock_path.unlink(missing_ok=True)
        finally:
            lock.release()


def replace_file(path: Path, content: bytes, mode: int, owner: tuple[int, int] | None = None) -> None:
    """Write a file beside the old one and rename it over. Only under the file's lock.

    Args:
        path: the file.
        content: the whole of it.
        mode: its permission bits.
        owner: the IDs of its user and group; None for those of this process.

    Raises:
        OSError: it cannot be written; the old file is still there.
    """
    # Always the same name, so that what a killed process left is used up.
    new = path.with_name(f".{path.name}{NEW_SUFFIX}")
    new.unlink(missing_ok=True)
    try:
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if owner not in (None, (os.geteuid(), os.getegid())):
                os.fchown(file.fileno(), *owner)
            # After the owner, whose change clears some bits.
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


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
