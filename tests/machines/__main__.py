"""``python -m tests.machines``: run these tests with virtual machines, in Linux namespaces as ``tests.htcondor`` has.

What needs a way out happens before: Debian's disk and a root directory with HTCondor for the pool are built where they
are not cached. Afterwards the machines reach Debian's packages by a socket of this process, and nothing else.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from local_aws.machines import packages
from local_aws.machines.base_disk import ensure_base
from local_aws.machines.debian import UnavailableError, cache_directory
from local_aws.machines.requirements import check
from tests.htcondor.namespaces import enter
from tests.htcondor.root import OVERRIDE, ensure_root
from tests.machines.given import Given

MACHINES = 2
"""How many run at once, at most."""


def main() -> int:
    """Run pytest on this folder, or with the arguments given.

    Returns:
        Its exit code.
    """
    pytest = [sys.executable, "-m", "pytest", "--capture=no", "--quiet", "--exitfirst"]
    arguments = sys.argv[1:] or ["tests/machines"]
    try:
        check(MACHINES)
        root, base, origins = ensure_root("trixie"), ensure_base(), packages.sources()
        command = enter(root)
    except UnavailableError as error:
        sys.exit(str(error))
    # The disks of machines belong on a disk: the namespaces' own temporary directory is in memory.
    with tempfile.TemporaryDirectory(dir=cache_directory(), prefix="machines.") as name:
        socket = Path(name, "packages.sock")
        given = Given(name, str(base), str(socket))
        with packages.offered(socket, origins):
            environment = {**os.environ, **given.environ(), OVERRIDE: str(root)}
            return subprocess.run([*command, *pytest, *arguments], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
