"""Debian root directories with a real HTCondor in them, built once and kept in the user's cache.

Debian packages HTCondor's daemons, ``condor_annex`` and its boot script. Most machines that run these tests have
another system, so the packages live in root directories of their own: ``python -m tests.htcondor.root`` builds them and
prints where they are and which HTCondor each one has.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SUITES = ("trixie", "forky")
"""The Debian releases whose HTCondor is tested: Debian 13 with 23.9, in which people start annexes with
``condor_annex``; and the next Debian, which moves, with 25."""

PACKAGES = ("condor", "condor-annex-ec2", "awscli", "ca-certificates", "curl", "iproute2", "nftables", "openssl")

OVERRIDE = "ANNEX_BOOTSTRAP_HTCONDOR_ROOT"
"""The environment variable that names a root directory made by other means; nothing is built then."""

_APT_HELPER = "/usr/lib/apt/apt-helper"

# In a mount and PID namespace: no mount and no process is left behind, whatever happens.
_BUILD = """
set -eu
root=$1 suite=$2 mirror=$3
shift 3
# All of Debian since 2023 is built by sid's script, and a debootstrap may know no younger suite than its own.
debootstrap --variant=minbase "$suite" "$root" "$mirror" sid
mount -t proc proc "$root/proc"
chroot "$root" apt-get install --yes --no-install-recommends "$@"
chroot "$root" apt-get clean
"""


class RootUnavailableError(Exception):
    """No root directory is available here; the text says why and what to do."""


def ensure_roots() -> list[Path]:
    """Return the root directories to test with: the one that the environment names, else one of every suite.

    Raises:
        RootUnavailableError: without root rights, apt, a Debian mirror or the packages.
    """
    override = os.environ.get(OVERRIDE)
    if not override:
        return [ensure_root(suite) for suite in SUITES]
    if not Path(override, "usr/sbin/condor_master").exists():
        raise RootUnavailableError(f"{OVERRIDE} names {override}, which has no HTCondor in it.")
    return [Path(override)]


def ensure_root(suite: str, packages: Sequence[str] = PACKAGES, kind: str = "htcondor") -> Path:
    """Return a suite's root directory, with HTCondor, building it first where that has not been done.

    Building takes about a minute, 600 MB of disk and a Debian mirror, found in the machine's apt sources.

    Args:
        suite: of Debian.
        packages: what is installed in it; without HTCondor for a root directory of another kind.
        kind: how its name begins.

    Raises:
        RootUnavailableError: without root rights, apt, a Debian mirror or the packages.
    """
    if os.geteuid() != 0:
        raise RootUnavailableError(
            "HTCondor for tests needs root rights, to build and to enter its root directory: run as root."
        )
    recipe = hashlib.sha256("\n".join((suite, *packages, _BUILD)).encode()).hexdigest()[:12]
    return cached(f"{kind}-{suite}-{recipe}", lambda root: _build(root, suite, packages))


def cached(name: str, build: Callable[[Path], None]) -> Path:
    """Return a directory of the user's cache, building it first where that has not been done.

    Args:
        name: of the directory.
        build: fills an empty directory; what it leaves when it fails is deleted.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "annex-bootstrap"
    cache.mkdir(parents=True, exist_ok=True)
    directory = cache / name
    with _lock(cache / f"{name}.lock"):
        if directory.exists():
            return directory
        # Beside its final place, because a rename is only atomic inside one file system.
        building = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=cache))
        try:
            build(building)
            building.chmod(0o755)
            building.rename(directory)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return directory


def version(root: Path) -> tuple[int, ...]:
    """Return the version of the HTCondor in a root directory, such as (23, 9, 6)."""
    printed = _run("asking HTCondor's version", ["chroot", str(root), "condor_version"])
    return tuple(int(part) for part in printed.split()[1].split("."))


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(root: Path, suite: str, packages: Sequence[str]) -> None:
    _install_debootstrap()
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    _run(
        "building the root directory",
        [*unshare, "sh", "-c", _BUILD, "sh", str(root), suite, _debian_mirror(suite), *packages],
    )


def _install_debootstrap() -> None:
    if shutil.which("debootstrap"):
        return
    if not shutil.which("apt-get"):
        raise RootUnavailableError(
            "Building a root directory for HTCondor needs apt and debootstrap: use a Debian machine, or let"
            f" {OVERRIDE} name a root directory that has HTCondor."
        )
    _run("refreshing apt's lists", ["apt-get", "update"])
    _run("installing debootstrap", ["apt-get", "install", "--yes", "--no-install-recommends", "debootstrap"])


def _debian_mirror(suite: str) -> str:
    """Return the first of apt's sources that has the suite; apt itself reads every format of its sources."""
    listed = _run(
        "reading apt's sources",
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"],
    )
    with tempfile.TemporaryDirectory() as directory:
        release = Path(directory, "InRelease")
        for mirror in dict.fromkeys(listed.split()):
            address = f"{mirror.rstrip('/')}/dists/{suite}/InRelease"
            found = subprocess.run(
                [_APT_HELPER, "download-file", address, str(release)], capture_output=True, check=False
            )
            if found.returncode == 0 and "\nOrigin: Debian\n" in release.read_text():
                return mirror
    raise RootUnavailableError(f"None of apt's sources has Debian's {suite}: add a Debian mirror to them.")


def _run(what: str, argv: list[str]) -> str:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        ended = subprocess.run(
            argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise RootUnavailableError(f"No HTCondor for tests, because {what} failed: {error}") from error
    if ended.returncode:
        last_line = (ended.stderr or ended.stdout).strip().rpartition("\n")[2]
        raise RootUnavailableError(f"No HTCondor for tests, because {what} failed: {last_line}")
    return ended.stdout


if __name__ == "__main__":
    try:
        for root in ensure_roots():
            sys.stdout.write(f"{'.'.join(map(str, version(root)))} {root}\n")
    except RootUnavailableError as error:
        sys.exit(str(error))
