"""The pool password: making one, reading one, and having HTCondor keep it."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from pathlib import Path

from annex_bootstrap.errors import UserError
from annex_bootstrap.pool.files import make_private_directory, read_private, why_not_private, write_private

PASSWORD_BYTES = 32
LONGEST_PASSWORD = 255
"""Bytes that HTCondor takes of a pool password. Source: MAX_PASSWORD_LENGTH in its store_cred.h."""


def new_password() -> str:
    """Return a random password: 43 characters, letters, digits, ``-`` and ``_``."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def read_password(path: Path) -> str:
    """Return the password in a text file: its first line.

    Raises:
        UserError: the file cannot be read, is open to others, or holds no password that HTCondor takes.
    """
    reason = why_not_private(path)
    if reason:
        raise UserError(f"{reason}: run chmod 600 on it, then try again")
    first, _, _ = (read_private(path) or b"").partition(b"\n")
    try:
        password = first.decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise UserError(f"{path} holds other bytes than ASCII text: give a file with one line of text") from error
    if not password or len(password) > LONGEST_PASSWORD:
        raise UserError(f"the first line of {path} must have 1 to {LONGEST_PASSWORD} characters")
    return password


def store_password(password: str, path: Path) -> None:
    """Have condor_store_cred keep the pool password, in a file with mode 0600.

    Args:
        password: never an argument of a command, where others could see it.
        path: the file that SEC_PASSWORD_FILE names.

    Raises:
        UserError: the directory cannot be made, or condor_store_cred refused.
    """
    try:
        make_private_directory(path.parent)
    except OSError as error:
        raise UserError(f"{path.parent} cannot be made: {error.strerror or error}") from error
    stored = subprocess.run(
        ["condor_store_cred", "add", "-c", "-i", "-", "-f", str(path)],
        input=password,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    reason = why_not_private(path)
    if stored.returncode != 0 or reason:
        said = (stored.stderr or stored.stdout).strip() or reason
        raise UserError(f"condor_store_cred did not store the pool password in {path}: {said}")


def can_store() -> bool:
    """Return whether this machine has HTCondor's condor_store_cred."""
    return shutil.which("condor_store_cred") is not None


def plain_file(stored: Path) -> Path:
    """Return the file that holds the password as text, on a machine without HTCondor."""
    return stored.with_name(stored.name + ".txt")


def write_password(password: str, path: Path) -> None:
    """Write the password as text into a file with mode 0600.

    Raises:
        UserError: it cannot be written.
    """
    write_private(path, f"{password}\n".encode())
