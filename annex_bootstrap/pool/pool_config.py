"""The pool's side of an annex: a pool password, and the configuration by which rented machines may join with it.

The lines follow HTCondor's guide for a first annex, in a form for HTCondor 9 and later: methods and identities that
the pool already uses go on working beside the password.
"""

from __future__ import annotations

import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from annex_bootstrap.errors import UserError
from annex_bootstrap.pool.blocks import replace_block
from annex_bootstrap.pool.config_file import ask_condor, rewrite_file
from annex_bootstrap.pool.private_files import make_private_directory, read_private, why_not_private, write_private

BLOCK = "annex-pool"
DEFAULT_PORT = 9618
"""HTCondor's shared port."""

OWN_FILE = "90-annex-pool.config"
"""Our file in a configuration directory, which HTCondor reads in the order of names."""

PASSWORD_BYTES = 32
LONGEST_PASSWORD = 255
"""Bytes that HTCondor takes of a pool password. Source: MAX_PASSWORD_LENGTH in its store_cred.h."""

_BEGIN = f"# BEGIN {BLOCK}: written by `annex-bootstrap pool-config`; do not edit between BEGIN and END."
_END = f"# END {BLOCK}"


@dataclass(frozen=True)
class Pool:
    """What the block says.

    Attributes:
        password_file: where HTCondor keeps the pool password.
        signing_key_file: the key that the pool's tokens are signed with; by default HTCondor takes the pool password
            for it, and tokens that exist would end with a new password. Empty: HTCondor's own default file.
        port: the one TCP port through which all daemons are reached.
        collector: the name under which machines on AWS reach the collector; empty leaves that as it is.
    """

    password_file: Path
    signing_key_file: str = ""
    port: int = DEFAULT_PORT
    collector: str = ""


def render(pool: Pool) -> str:
    """Return the block, from BEGIN to END, each line with its newline."""
    at_port = [f"COLLECTOR_HOST = $(CONDOR_HOST):{pool.port}"] if pool.collector or pool.port != DEFAULT_PORT else []
    lines = [
        _BEGIN,
        "# Machines of an annex authenticate with the pool password.",
        f"SEC_PASSWORD_FILE = {pool.password_file}",
        "# Tokens stay signed with the key that they are signed with.",
        f"SEC_TOKEN_POOL_SIGNING_KEY_FILE = {pool.signing_key_file or '$(SEC_PASSWORD_DIRECTORY)/POOL'}",
        "SEC_DAEMON_INTEGRITY = REQUIRED",
        "SEC_DAEMON_AUTHENTICATION = REQUIRED",
        "SEC_DAEMON_AUTHENTICATION_METHODS = PASSWORD, FS, IDTOKENS",
        "SEC_NEGOTIATOR_INTEGRITY = REQUIRED",
        "SEC_NEGOTIATOR_AUTHENTICATION = REQUIRED",
        "SEC_NEGOTIATOR_AUTHENTICATION_METHODS = PASSWORD, FS, IDTOKENS",
        "SEC_CLIENT_AUTHENTICATION_METHODS = FS, PASSWORD, IDTOKENS",
        "# Owners of the password are condor@password in HTCondor 9 and later, condor_pool@... in older versions.",
        "ALLOW_DAEMON = $(ALLOW_DAEMON) condor_pool@* condor@password",
        "# All daemons behind one port: the one that must be open to AWS.",
        "USE_SHARED_PORT = True",
        f"SHARED_PORT_PORT = {pool.port}",
        *([f"CONDOR_HOST = {pool.collector}"] if pool.collector else []),
        *at_port,
        _END,
    ]
    return "".join(line + "\n" for line in lines)


def write_block(path: Path, block: str) -> bool:
    """Put the block into the pool's configuration.

    Returns:
        Whether anything changed.

    Raises:
        UserError: the file cannot be read or written, or its block is damaged; nothing was changed.
    """
    return rewrite_file(path, lambda content: replace_block(content, block, BLOCK))


def find_pool_file(given: Path | None) -> Path:
    """Return the file that the block goes into: the one given, else ours in the pool's last configuration directory.

    Raises:
        UserError: none was given, and no HTCondor on this machine names one.
    """
    if given is not None:
        return given
    directories = [Path(name.strip()) for name in ask_condor("LOCAL_CONFIG_DIR").split(",") if name.strip()]
    for directory in reversed(directories):
        if directory.is_dir():
            return directory / OWN_FILE
    files = [name.strip() for name in ask_condor("LOCAL_CONFIG_FILE").split(",") if name.strip()]
    if files:
        return Path(files[-1])
    raise UserError(
        "no HTCondor on this machine says where its configuration is: give --config the pool's local configuration "
        "file, or run this where condor_config_val is in the PATH"
    )


def signing_key_file(password_file: Path) -> str:
    """Return the key that the pool's tokens are signed with now, as HTCondor names it; nothing where it names none."""
    named = ask_condor("SEC_TOKEN_POOL_SIGNING_KEY_FILE")
    return "" if named == str(password_file) else named


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
