"""What a computer needs to run machines; without it, one sentence says what is missing."""

from __future__ import annotations

import os
import platform
import re
import shutil
from pathlib import Path

from local_aws.machines import base_disk, cable
from local_aws.machines.debian import UnavailableError, cache_directory, install
from local_aws.machines.qemu import MEMORY_MIB

PROGRAMS = ("qemu-system-x86_64", "qemu-img", *base_disk.PROGRAMS, *cable.PROGRAMS)
PACKAGES = (
    *("qemu-system-x86", "qemu-utils", "seabios", "ipxe-qemu"),
    *base_disk.HOST_PACKAGES,
    *cable.HOST_PACKAGES,
)

OWN_MIB = 1024
"""MiB of memory that everything beside the machines takes."""

DISK_MIB = 12 * 1024
"""MiB of disk for Debian's, an image, and what machines write."""


def check(machines: int) -> None:
    """Install what is missing.

    Args:
        machines: how many run at once.

    Raises:
        UnavailableError: this computer cannot run them.
    """
    if os.geteuid() != 0:
        raise UnavailableError("Virtual machines need root rights, for their disks and networks: run as root.")
    if platform.machine() != "x86_64":
        raise UnavailableError(
            f"Virtual machines have amd64 processors, whose programs this computer ({platform.machine()}) cannot run to"
            " make their disk: use one with such a processor."
        )
    free = shutil.disk_usage(cache_directory()).free >> 20
    if free < DISK_MIB:
        raise UnavailableError(
            f"Virtual machines need {DISK_MIB:,} MiB of free disk, and {free:,} are free in {cache_directory()}: delete"
            " something there, or let XDG_CACHE_HOME name another directory."
        )
    available = int(re.findall(r"MemAvailable: +(\d+)", Path("/proc/meminfo").read_text())[0]) // 1024
    needed = machines * MEMORY_MIB + OWN_MIB
    if available < needed:
        raise UnavailableError(
            f"Virtual machines need {needed:,} MiB of free memory, and {available:,} are free: use a larger computer."
        )
    install(PROGRAMS, PACKAGES)
