"""What is built of Debian's packages: kept in the user's cache, by the hash of what it is made of."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# Mounts and processes end with the build, and the build with the process that started it.
UNSHARE = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child")

_APT_HELPER = "/usr/lib/apt/apt-helper"
_APT_PATIENCE = 300
"""Seconds to wait while another program has dpkg's lock."""


class UnavailableError(Exception):
    """Something is not available on this computer; the text says what, why and what to do."""


def cached(name: str, build: Callable[[Path], None]) -> Path:
    """Return a directory of the user's cache, building it first where that has not been done.

    Args:
        name: of the directory.
        build: fills an empty directory; what it leaves when it fails or is killed is deleted.
    """
    cache = cache_directory()
    directory = cache / name
    with _lock(cache / f"{name}.lock"):
        if directory.exists():
            return directory
        for left in cache.glob(f"{name}.*/"):
            shutil.rmtree(left)
        # Beside its final place, because a rename is only atomic inside one file system.
        building = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=cache))
        try:
            build(building)
            building.chmod(0o755)
            building.rename(directory)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return directory


def cache_directory() -> Path:
    """Return where such directories are, making it first."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "annex-bootstrap"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def install(programs: Iterable[str], packages: Sequence[str]) -> None:
    """Install Debian packages, unless all of their programs are there.

    Args:
        programs: what the packages are needed for.
        packages: of Debian.

    Raises:
        UnavailableError: this is not Debian, or apt refused.
    """
    missing = [program for program in programs if not shutil.which(program)]
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise UnavailableError(f"{', '.join(missing)} cannot be found: use a Debian machine with {' '.join(packages)}.")
    # Another program on this computer may be installing, and so may another run of this.
    wait = ["-o", f"DPkg::Lock::Timeout={_APT_PATIENCE}"]
    with _lock(cache_directory() / "apt.lock"):
        run("refreshing apt's lists", ["apt-get", *wait, "update"])
        install_them = ["apt-get", *wait, "install", "--yes", "--no-install-recommends"]
        run(f"installing {' '.join(packages)}", [*install_them, *packages])


def mirror_of(suite: str) -> str:
    """Return the first of apt's sources that has a suite; apt itself reads every format of its sources.

    Raises:
        UnavailableError: none has it.
    """
    listed = run(
        "reading apt's sources", ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    )
    with tempfile.TemporaryDirectory() as directory:
        release = Path(directory, "InRelease")
        for mirror in dict.fromkeys(listed.split()):
            address = f"{mirror.rstrip('/')}/dists/{suite}/InRelease"
            found = subprocess.run(
                [_APT_HELPER, "download-file", address, str(release)], capture_output=True, check=False
            )
            if found.returncode == 0 and "\nOrigin: Debian\n" in release.read_text():
                return mirror.rstrip("/")
    raise UnavailableError(f"None of apt's sources has Debian's {suite}: add a Debian mirror to them.")


def run(what: str, argv: Sequence[str]) -> str:
    """Return what a program printed.

    Args:
        what: it does, for the error.
        argv: the command.

    Raises:
        UnavailableError: it failed.
    """
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        ended = subprocess.run(
            argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise UnavailableError(f"{what} failed: {error}") from error
    if ended.returncode:
        last_line = (ended.stderr or ended.stdout).strip().rpartition("\n")[2]
        raise UnavailableError(f"{what} failed: {last_line}")
    return ended.stdout


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
