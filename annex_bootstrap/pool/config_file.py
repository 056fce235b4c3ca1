"""The pool's configuration file: finding it, and changing the block in it so that nothing can be lost."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from annex_bootstrap.errors import CommandLineError, UserError
from annex_bootstrap.local_user import expand_home
from annex_bootstrap.pool.blocks import Block, Section, read_block, render_block, replace_block
from annex_bootstrap.pool.files import locked, replace_file
from annex_bootstrap.pool.htcondor import IN_FORCE
from annex_contract.knobs import Macro

NAME = "user_config"
DEFAULT_FILE = Path("~/.condor") / NAME
BACKUPS = ".annex-bootstrap"
"""The directory, beside a file, of its last version: HTCondor reads every file of a configuration directory whose name
it does not exclude, in the order of names, and no file of a directory in it."""

OLD_BACKUP_SUFFIX = ".annex-bootstrap-backup"
"""The end of the names that such versions had earlier, so that HTCondor read them after the file itself."""

NEW_FILE_MODE = 0o644


@dataclass(frozen=True)
class Edit:
    """What a change makes of the file.

    Attributes:
        old: its content before; nothing where it does not exist.
        new: its content after.
    """

    old: bytes
    new: bytes

    @property
    def changes(self) -> bool:
        """Whether the two differ."""
        return self.old != self.new


def find_file(given: Path | None) -> Path:
    """Return the file to write: the one given, else what HTCondor names, else ``~/.condor/user_config``."""
    if given is not None:
        return given
    named = IN_FORCE.ask(Macro.USER_CONFIG_FILE)
    if named:
        path = expand_home(Path(named))
        # HTCondor takes a bare name to be below ~/.condor.
        return path if path.is_absolute() else expand_home(DEFAULT_FILE).parent / path
    return expand_home(DEFAULT_FILE)


def preview_file(path: Path, change: Callable[[bytes], bytes]) -> Edit:
    """Return what ``rewrite_file`` would make of the file, without writing anything.

    Raises:
        UserError: the file cannot be read, or ``change`` refused it.
    """
    try:
        old = path.read_bytes()
    except FileNotFoundError:
        old = b""
    except IsADirectoryError as error:
        raise CommandLineError(f"{path} is a directory: give --config a file in it, such as {path / NAME}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}; check who owns it") from error
    try:
        return Edit(old, change(old))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def preview(path: Path, change: Callable[[Block], Block]) -> Edit:
    """Return what ``update`` would make of the file, without writing anything.

    Raises:
        UserError: the file cannot be read, or its block is damaged.
    """
    return preview_file(path, _on_block(change))


def check(path: Path) -> None:
    """Find out before a long job whether the file can be written after it.

    Raises:
        UserError: it cannot, or its block is damaged.
    """
    preview(path, lambda block: block)
    there = next(parent for parent in path.resolve().parents if parent.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"{there} cannot be written to: check who owns it, or give --config another file")


def update(path: Path, change: Callable[[Block], Block]) -> bool:
    """Change the stacks' block in a file, as ``rewrite_file`` does.

    Args:
        path: the file.
        change: from the block as it is to the block as it should be.

    Returns:
        Whether anything changed.

    Raises:
        UserError: the file cannot be read or written, or its block is damaged; nothing was changed.
    """
    return rewrite_file(path, _on_block(change))


def rewrite_file(path: Path, change: Callable[[bytes], bytes], *, unlink_empty: bool = False) -> bool:
    """Change a file so that a reader sees the old file or the new one, never a part.

    Keeps the file's mode and owner, and the last version in a directory beside it.

    Args:
        path: the file; made, with its directory, where it is missing and gets content.
        change: from the old content, empty where there is no file, to the new.
        unlink_empty: whether to delete a file that becomes empty.

    Returns:
        Whether anything changed.

    Raises:
        UserError: the file cannot be read or written, or ``change`` refused it; nothing was changed.
    """
    # A link stays a link: what it points at is replaced.
    target = path.resolve()
    try:
        old_backup = target.with_name(target.name + OLD_BACKUP_SUFFIX)
        if not preview_file(path, change).changes and not old_backup.exists():
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target):
            # Once more: another process may have written since.
            edit = preview_file(path, change)
            moved = _move_away(old_backup)
            if not edit.changes:
                return moved
            if not target.exists():
                replace_file(target, edit.new, NEW_FILE_MODE)
                return True
            known = target.stat()
            mode, owner = known.st_mode & 0o7777, (known.st_uid, known.st_gid)
            backup = backup_of(target)
            backup.parent.mkdir(exist_ok=True)
            replace_file(backup, edit.old, mode, owner)
            if edit.new or not unlink_empty:
                replace_file(target, edit.new, mode, owner)
            else:
                target.unlink()
    except OSError as error:
        with contextlib.suppress(OSError):
            backup_of(target).parent.rmdir()
        raise UserError(
            f"{path} cannot be written: {error.strerror or error}; check who owns it, or give --config another file"
        ) from error
    return True


def backup_of(path: Path) -> Path:
    """Return where the last version of a file is kept."""
    return path.parent / BACKUPS / path.name


def forget_backup(path: Path) -> None:
    """Delete what is kept of a file, and the directory of such files if it is empty then."""
    backup = backup_of(path.resolve())
    with contextlib.suppress(OSError):
        backup.unlink(missing_ok=True)
        backup.parent.rmdir()


def _move_away(old_backup: Path) -> bool:
    """Move a backup of an earlier version of this program to where HTCondor does not read it."""
    if not old_backup.exists():
        return False
    place = backup_of(old_backup.with_name(old_backup.name.removesuffix(OLD_BACKUP_SUFFIX)))
    place.parent.mkdir(exist_ok=True)
    old_backup.replace(place)
    return True


def _on_block(change: Callable[[Block], Block]) -> Callable[[bytes], bytes]:
    return lambda content: replace_block(content, render_block(change(read_block(content))))


def known_sections() -> Sequence[Section]:
    """Return what the user's configuration says of stacks, the default region's first.

    Raises:
        UserError: the configuration cannot be read.
    """
    return read_block(preview(find_file(None), lambda block: block).old).sections
