"""Debian root directories with a real HTCondor in them, built once and kept in the user's cache.

Debian packages HTCondor's daemons, ``condor_annex`` and its boot script. Most machines that run these tests have
another system, so the packages live in root directories of their own: ``python -m tests.htcondor.root`` builds them and
prints where they are and which HTCondor each one has.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from local_aws.machines.debian import UNSHARE, UnavailableError, cached, install, mirror_of, run

SUITES = ("trixie", "forky")
"""The Debian releases whose HTCondor is tested: Debian 13 with 23.9, in which people start annexes with
``condor_annex``; and the next Debian, which moves, with 25."""

PACKAGES = ("condor", "condor-annex-ec2", "awscli", "ca-certificates", "curl", "iproute2", "nftables", "openssl")

OVERRIDE = "ANNEX_BOOTSTRAP_HTCONDOR_ROOT"
"""The environment variable that names a root directory made by other means; nothing is built then."""

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


def ensure_roots() -> list[Path]:
    """Return the root directories to test with: the one that the environment names, else one of every suite.

    Raises:
        UnavailableError: without root rights, apt, a Debian mirror or the packages.
    """
    override = os.environ.get(OVERRIDE)
    if not override:
        return [ensure_root(suite) for suite in SUITES]
    if not Path(override, "usr/sbin/condor_master").exists():
        raise UnavailableError(f"{OVERRIDE} names {override}, which has no HTCondor in it.")
    return [Path(override)]


def ensure_root(suite: str, packages: Sequence[str] = PACKAGES, kind: str = "htcondor") -> Path:
    """Return a suite's root directory, with HTCondor, building it first where that has not been done.

    Building takes about a minute, 600 MB of disk and a Debian mirror, found in the machine's apt sources.

    Args:
        suite: of Debian.
        packages: what is installed in it; without HTCondor for a root directory of another kind.
        kind: how its name begins.

    Raises:
        UnavailableError: without root rights, apt, a Debian mirror or the packages.
    """
    if os.geteuid() != 0:
        raise UnavailableError(
            "HTCondor for tests needs root rights, to build and to enter its root directory: run as root."
        )
    recipe = hashlib.sha256("\n".join((suite, *packages, _BUILD)).encode()).hexdigest()[:12]
    return cached(f"{kind}-{suite}-{recipe}", lambda root: _build(root, suite, packages))


def version(root: Path) -> tuple[int, ...]:
    """Return the version of the HTCondor in a root directory, such as (23, 9, 6)."""
    printed = run("asking HTCondor's version", ["chroot", str(root), "condor_version"])
    return tuple(int(part) for part in printed.split()[1].split("."))


def _build(root: Path, suite: str, packages: Sequence[str]) -> None:
    install(["debootstrap"], ["debootstrap"])
    run(
        "building the root directory",
        [*UNSHARE, "sh", "-c", _BUILD, "sh", str(root), suite, mirror_of(suite), *packages],
    )


if __name__ == "__main__":
    try:
        for root in ensure_roots():
            sys.stdout.write(f"{'.'.join(map(str, version(root)))} {root}\n")
    except UnavailableError as error:
        sys.exit(str(error))
