"""The Python of the functions' runtime, Debian 13's in a root directory of its own, with packages from PyPI."""

from __future__ import annotations

import functools
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

from local_aws.machines.debian import cached
from template_gen.functions import RUNTIME
from tests.htcondor.root import ensure_root

PACKAGES = "/var/runtime"
"""Where the packages are on its disk."""

_ENTER = """
set -eu
layers=$1 tmp=$2
shift 2
# A directory that is only read, and so a disk that is: an overlay without an upper directory.
mount -t overlay overlay -o "lowerdir=$layers" /mnt
mount $tmp /mnt/tmp
mount -t proc proc /mnt/proc
exec chroot /mnt "$@"
"""

TMPFS = "-t tmpfs -o nodev,mode=1777 tmpfs"
"""What is mounted as /tmp where nobody else reads it: arguments of mount(8)."""


def ensure_packages(kind: str, requirements: Path) -> Path:
    """Return a directory with a list of packages in `PACKAGES`, installing them first where that is not done.

    Args:
        kind: how the directory's name begins.
        requirements: the complete list, with hashes.
    """
    name = f"{kind}-{uuid.uuid5(uuid.NAMESPACE_OID, requirements.read_text())}"
    return cached(name, functools.partial(_install, requirements))


def _install(requirements: Path, directory: Path) -> None:
    version = RUNTIME.removeprefix("python")
    # The list is complete, and pip takes minutes to find that out by itself.
    chosen = ["--python-version", version, "--require-hashes", "--no-deps"]
    places = ["--target", str(directory / PACKAGES.lstrip("/")), "--requirement", str(requirements)]
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, *chosen, *places], check=True)


def entered(layers: Sequence[Path], command: Sequence[str], tmp: str = TMPFS) -> list[str]:
    """Return the command line that runs a command on a disk that is only read, and ends all of it when it is killed.

    Args:
        layers: directories on top of the Python's, the topmost first.
        command: what runs there.
        tmp: what is mounted as /tmp: arguments of mount(8).
    """
    root = ensure_root("trixie", (RUNTIME, "ca-certificates"), "python")
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    return [*unshare, "sh", "-c", _ENTER, "sh", ":".join(map(str, (*layers, root))), tmp, *command]
