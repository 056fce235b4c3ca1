"""``python -m tests.htcondor``: run these tests in Linux namespaces of their own.

The namespaces hold a network with loopback only, to which every address is routed, their own processes, and a view of
the file system in which only the hosts file differs. So the local AWS can be reached under AWS's own host names, ports
443 and 9618 are free, and no process or mount outlives the first process, which ends with its parent.
"""

from __future__ import annotations

import subprocess
import sys

from tests.htcondor.namespaces import enter
from tests.htcondor.root import RootUnavailableError, ensure_root


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
