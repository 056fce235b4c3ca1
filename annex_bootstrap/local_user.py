"""The user who runs the client, as this machine knows them; a container may know neither a name nor a home."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

from annex_bootstrap.errors import UserError


def user_name() -> str:
    """Return the user's name.

    Raises:
        UserError: the machine knows none.
    """
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise UserError(
            f"the user with the ID {os.getuid()} has no name on this machine: set LOGNAME, or have the user added to "
            "/etc/passwd"
        ) from error


def expand_home(path: Path) -> Path:
    """Return a path with the user's home directory in place of ``~``.

    Raises:
        UserError: the machine knows no home directory.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise UserError(
            f"the user with the ID {os.getuid()} has no home directory on this machine, for {path}: set HOME"
        ) from error


def owners_of(given: tuple[str, ...]) -> tuple[str, ...]:
    """Return whose jobs are served: of those who are named, else of the user of this process, for root everybody's."""
    return given if given or os.geteuid() == 0 else (user_name(),)
