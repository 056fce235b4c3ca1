"""The configuration block: the stack's outputs as HTCondor knobs, in a file that belongs to somebody else.

Deciding on the text is pure; ``write`` puts it in place. Everything outside the block is kept to the byte.

How HTCondor reads knobs by region: a tool that is started for a region reads ``<local name>.<KNOB>`` before
``<KNOB>``, and the local name is the region with every character outside ``[A-Za-z0-9_./]`` replaced by ``_``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from annex_bootstrap.contract import KNOBS, Knob, Output
from annex_bootstrap.errors import UserError

BEGIN = "# BEGIN annex-bootstrap: written by `annex-bootstrap pull-config`; do not edit between BEGIN and END."
END = "# END annex-bootstrap"
STACK_BLOCK = "annex-bootstrap"
"""The name of the stack's block; other blocks in the same file have other names."""
_REGION_LINE = re.compile(rb"^# Stack (\S+), version (\S+), region (\S+)$", re.MULTILINE)

REGION_KNOB = "ANNEX_DEFAULT_AWS_REGION"
DEFAULT_FILE = Path("~/.condor/user_config")
BACKUP_SUFFIX = ".annex-bootstrap-backup"


def local_name(region: str) -> str:
    """The prefix under which HTCondor looks up a region's knobs."""
    return re.sub(r"[^A-Za-z0-9_./]", "_", region)


def render(stack_name: str, region: str, outputs: Mapping[str, str]) -> str:
    """The block for one stack: today's knobs and those of the 8.7.0 guide.

    Args:
        stack_name: for the reader.
        region: where the stack is; it becomes the default region.
        outputs: of the stack, by name.

    Returns:
        Lines from BEGIN to END, each with its newline.

    Raises:
        UserError: the stack lacks an output that a knob needs.
    """
    knobs = [knob for knob in KNOBS if knob.output in outputs or knob.output is not Output.KEY_PAIR_NAME]
    lines = [
        BEGIN,
        f"# Stack {stack_name}, version {outputs.get(Output.VERSION, 'unknown')}, region {region}",
        f"{REGION_KNOB} = {region}",
        *(_line(knob, outputs, stack_name) for knob in knobs if not knob.guide),
        "# The same by the names that condor_annex 8.7.0 read",
        *(_line(knob, outputs, stack_name) for knob in knobs if knob.guide),
        END,
    ]
    return "".join(line + "\n" for line in lines)


def _line(knob: Knob, outputs: Mapping[str, str], stack_name: str) -> str:
    try:
        return f"{knob.name} = {outputs[knob.output]}"
    except KeyError as error:
        raise UserError(
            f"the stack {stack_name} has no output {knob.output}: run annex-bootstrap deploy to update it"
        ) from error


def replace_block(content: bytes, block: str, name: str = STACK_BLOCK) -> bytes:
    """Put the block into a file's content: in place of the old one, else at the end.

    Args:
        content: the file as it is.
        block: all its lines; empty to take the block out.
        name: stands in its BEGIN and END lines. No name may begin with another.

    Returns:
        The new content; all bytes outside the block are those of ``content``.

    Raises:
        UserError: the markers of an old block do not pair.
    """
    span = find_block(content, name)
    if span is not None:
        return content[: span[0]] + block.encode() + content[span[1] :]
    if not block:
        return content
    # A last line that is unfinished or continued would swallow the first line of the block.
    ended = content if not content or content.endswith(b"\n") else content + b"\n"
    if ended.removesuffix(b"\n").endswith(b"\\"):
        ended += b"\n"
    return ended + block.encode()


def find_block(content: bytes, name: str = STACK_BLOCK) -> tuple[int, int] | None:
    """Where the block of that name begins and ends, or None.

    Raises:
        UserError: its markers do not pair.
    """
    begins, ends, position = [], [], 0
    for line in content.splitlines(keepends=True):
        if line.startswith(f"# BEGIN {name}".encode()):
            begins.append(position)
        position += len(line)
        if line.startswith(f"# END {name}".encode()):
            ends.append(position)
    if not begins and not ends:
        return None
    if len(begins) != 1 or len(ends) != 1 or begins[0] > ends[0]:
        raise UserError(
            f"its {name} block is damaged ({len(begins)} BEGIN and {len(ends)} END lines): "
            "repair or delete those lines, then try again"
        )
    return begins[0], ends[0]


def block_region(content: bytes) -> tuple[str, str] | None:
    """The stack's name and region that a file's block is for, or None where it has no block.

    Raises:
        UserError: the markers of the block do not pair.
    """
    span = find_block(content)
    found = _REGION_LINE.search(content, *span) if span is not None else None
    return (found[1].decode(), found[3].decode()) if found else None


def find_file(given: Path | None) -> Path:
    """The file to write: the one given, else what HTCondor names, else ``~/.condor/user_config``."""
    if given is not None:
        return given
    named = ask_condor("USER_CONFIG_FILE")
    if named:
        path = Path(named).expanduser()
        # HTCondor takes a bare name to be below ~/.condor.
        return path if path.is_absolute() else DEFAULT_FILE.expanduser().parent / path
    return DEFAULT_FILE.expanduser()


def ask_condor(knob: str) -> str:
    """The value that HTCondor on this machine has for a knob; nothing where there is no HTCondor or no value."""
    tool = shutil.which("condor_config_val")
    if tool is None:
        return ""
    answer = subprocess.run([tool, knob], capture_output=True, text=True, timeout=30, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else ""


def update_file(path: Path, block: str) -> bool:
    """Put the stack's block into a file, or take it out.

    Args:
        path: the file; made, with its directory, where it is missing.
        block: from ``render``; empty to take the block out.

    Returns:
        Whether anything changed.

    Raises:
        UserError: the file cannot be read or written, or its block is damaged; nothing was changed.
    """
    return rewrite_file(path, lambda content: replace_block(content, block))


def rewrite_file(path: Path, change: Callable[[bytes], bytes]) -> bool:
    """Change a file so that a reader sees the old file or the new one, never a part.

    Keeps the file's mode and owner, and the last version beside it.

    Args:
        path: the file; made, with its directory, where it is missing and gets content.
        change: from the old content, empty where there is no file, to the new.

    Returns:
        Whether anything changed.

    Raises:
        UserError: the file cannot be read or written, or ``change`` refused it; nothing was changed.
    """
    # A link stays a link: what it points at is replaced.
    target = path.resolve()
    try:
        if not target.exists() and not change(b""):
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target):
            old = target.read_bytes() if target.exists() else None
            try:
                new = change(old or b"")
            except UserError as error:
                raise UserError(f"{path}: {error}") from error
            if new == old:
                return False
            if old is not None:
                _replace(target.with_name(target.name + BACKUP_SUFFIX), old, target)
            _replace(target, new, target)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror or error}; check who owns it, or give --config another file"
        ) from error
    return True


def read_file(path: Path) -> bytes:
    """The file's content; nothing where it does not exist.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    # The directory is locked, not the file, because the file is replaced, and no lock file is left behind.
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _replace(path: Path, content: bytes, model: Path) -> None:
    """Write a file beside the old one and rename it over, with the mode and owner of ``model`` if that exists."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if model.exists():
                known = model.stat()
                os.fchmod(file.fileno(), known.st_mode & 0o7777)
                if (known.st_uid, known.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(file.fileno(), known.st_uid, known.st_gid)
            else:
                os.fchmod(file.fileno(), 0o644)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
