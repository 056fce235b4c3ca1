"""``python -m tests.machines``: run these tests with virtual machines, in Linux namespaces as ``tests.htcondor`` has.

What needs a way out happens before: Debian's disk and a root directory with HTCondor for the pool are built where they
are not cached. Afterwards the machines reach Debian's packages by a socket of this process, and nothing else.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from local_aws.machines import packages
from local_aws.machines.base_disk import ensure_base
from local_aws.machines.debian import UnavailableError, cache_directory
from local_aws.machines.requirements import check
from tests.htcondor.namespaces import enter
from tests.htcondor.root import OVERRIDE, ensure_root
from tests.machines.given import Given

MACHINES = 3
"""How many run at once, at most."""

MEASURE = "--measure"
"""The option that measures machines instead of testing them."""

ALL = "--all"
"""The option with which the slow tests run as well."""


def main() -> int:
    """Run pytest on this folder, or with the arguments given, or measure machines.

    Returns:
        The first exit code that is not 0, if any.
    """
    # So that its directory is deleted then as well.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    pytest = ["pytest", "--capture=no", "--quiet", "--exitfirst"]
    everything = ALL in sys.argv
    given_arguments = [argument for argument in sys.argv[1:] if argument != ALL]
    if given_arguments == [MEASURE]:
        runs = [["tests.machines.measurement"]]
    else:
        runs = [[*pytest, *run] for run in ([given_arguments] if given_arguments else runs_of(everything=everything))]
    try:
        check(MACHINES)
        with ThreadPoolExecutor() as workers:
            building = workers.submit(ensure_base)
            root, origins, base = ensure_root("trixie"), packages.sources(), building.result()
        command = enter(root)
    except UnavailableError as error:
        sys.exit(str(error))
    # The disks of machines belong on a disk: the namespaces' own temporary directory is in memory.
    with tempfile.TemporaryDirectory(dir=cache_directory(), prefix="machines.") as name:
        socket = Path(name, "packages.sock")
        given = Given(name, str(base), str(socket), everything)
        with packages.offered(socket, origins):
            environment = {**os.environ, **given.environ(), OVERRIDE: str(root)}
            for module in runs:
                code = subprocess.run(
                    [*command, sys.executable, "-m", *module], env=environment, check=False
                ).returncode
                if code:
                    return code
    return 0


def runs_of(*, everything: bool) -> list[list[str]]:
    """Return the arguments of each pytest; each has a network of its own, because each has a local AWS."""
    story, local = "tests/machines/test_machines.py", "tests/machines/test_local.py"
    return [[story], [local]] if everything else [["-m", "not slow", story]]


if __name__ == "__main__":
    sys.exit(main())
