"""What a computer needs to run machines; without it, one sentence says what is missing."""

from __future__ import annotations

import os
import re
from pathlib import Path

from local_aws.machines import base_disk, cable
from local_aws.machines.debian import UnavailableError, install
from local_aws.machines.qemu import MEMORY_MIB

PROGRAMS = ("qemu-system-x86_64", "qemu-img", *base_disk.PROGRAMS, *cable.PROGRAMS)
PACKAGES = (
    *("qemu-system-x86", "qemu-utils", "seabios", "ipxe-qemu"),
    *base_disk.HOST_PACKAGES,
    *cable.HOST_PACKAGES,
)

OWN_MIB = 1024
"""MiB that everything beside the machines takes."""


def check(machines: int) -> None:
    """Install what is missing.

    Args:
        machines: how many run at once.

    Raises:
        UnavailableError: this computer cannot run them.
    """
    if os.geteuid() != 0:
        raise UnavailableError("Virtual machines need root rights, for their disks and networks: run as root.")
    available = int(re.findall(r"MemAvailable: +(\d+)", Path("/proc/meminfo").read_text())[0]) // 1024
    needed = machines * MEMORY_MIB + OWN_MIB
    if available < needed:
        raise UnavailableError(
            f"Virtual machines need {needed:,} MiB of free memory, and {available:,} are free: use a larger computer."
        )
    install(PROGRAMS, PACKAGES)
