"""Machines in the network of this computer, for ``annex-bootstrap local --machines``.

An interface of its own has the addresses by which machines know AWS. They reach the local AWS, what listens on this
computer, such as a pool, and Debian's packages; nothing else.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local_aws.launcher import METADATA_ADDRESS
from local_aws.machines import names, packages
from local_aws.machines.base_disk import ensure_base
from local_aws.machines.debian import UnavailableError, cache_directory, run
from local_aws.machines.requirements import check
from local_aws.machines.settings import MachineSettings
from local_aws.server_settings import BASES

LINK = "annex-local"
AWS_ADDRESS = "198.51.100.1"
"""Of those that documentation may use (RFC 5737), so nobody misses it."""


@contextmanager
def machines_here() -> Iterator[MachineSettings]:
    """Let this computer run machines for as long as the context lasts.

    Yields:
        What the local AWS needs for it.

    Raises:
        UnavailableError: this computer cannot; the text says why.
    """
    check(1)
    check_metadata()
    base, origins = ensure_base(), packages.sources()
    with tempfile.TemporaryDirectory(dir=cache_directory(), prefix="machines.") as name, _addresses():
        path = Path(name, "packages.sock")
        with packages.offered(path, origins):
            yield MachineSettings(name, AWS_ADDRESS, {BASES["amd64"][0]: str(base)}, packages=str(path))


@contextmanager
def _addresses() -> Iterator[None]:
    # Left by a run that was killed.
    subprocess.run(["ip", "link", "delete", LINK], capture_output=True, check=False)
    # Of the two ends that it gets only this one is used: not every kernel has interfaces without another end.
    run("making an interface for machines", ["ip", "link", "add", LINK, "type", "veth"])
    try:
        for address in (AWS_ADDRESS, METADATA_ADDRESS, names.ADDRESS, packages.ADDRESS):
            run("giving it an address", ["ip", "address", "add", f"{address}/32", "dev", LINK])
        run("connecting machines", ["ip", "link", "set", LINK, "up"])
        yield
    finally:
        run("removing the interface of machines", ["ip", "link", "delete", LINK])


def check_metadata() -> None:
    """Make sure that nobody here asks a metadata service whose address machines need.

    Raises:
        UnavailableError: there is one.
    """
    try:
        socket.create_connection((METADATA_ADDRESS, 80), 1).close()
    except OSError:
        return
    raise UnavailableError(
        f"This computer has a metadata service of its own at {METADATA_ADDRESS}, as machines of a cloud do, and would"
        " lose it: use another computer."
    )
