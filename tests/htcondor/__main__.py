"""``python -m tests.htcondor``: these tests in a world of their own, which ends with them.

The world is a set of namespaces: a network with nothing in it but loopback, in which every address leads back to
this machine, a tree of processes, and a view of the file system in which only the hosts file differs. So a local AWS
can stand where AWS stands, ports 443 and 9618 are free, and no process or mount outlives the first process, which
itself ends with whoever started it.
"""

from __future__ import annotations

import subprocess
import sys

from tests.htcondor.root import RootUnavailableError, ensure_root
from tests.htcondor.world import enter


def main() -> int:
    """Run pytest on this folder, with the arguments given.

    Returns:
        Its exit code.
    """
    try:
        start = enter(ensure_root())
    except RootUnavailableError as error:
        sys.exit(str(error))
    pytest = [sys.executable, "-m", "pytest", "--capture=no", "--quiet", "--exitfirst", "tests/htcondor"]
    return subprocess.run([*start, *pytest, *sys.argv[1:]], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
