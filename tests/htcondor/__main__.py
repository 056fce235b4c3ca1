"""``python -m tests.htcondor``: run these tests with every HTCondor, each time in Linux namespaces of their own.

The namespaces hold a network with loopback only, to which every address is routed, their own processes, and a view of
the file system in which only the hosts file differs. So the local AWS can be reached under AWS's own host names, ports
443 and 9618 are free, and no process or mount outlives the first process, which ends with its parent.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.htcondor.image import ensure_image
from tests.htcondor.namespaces import enter
from tests.htcondor.root import OVERRIDE, RootUnavailableError, ensure_roots


def main() -> int:
    """Run pytest with every root directory: on this folder, or with the arguments given.

    Returns:
        The first exit code that is not 0, if any.
    """
    pytest = [sys.executable, "-m", "pytest", "--capture=no", "--quiet", "--exitfirst"]
    arguments = sys.argv[1:] or ["tests/htcondor"]
    codes = []
    try:
        # Within the namespaces nothing can be built.
        ensure_image()
        for root in ensure_roots():
            environment = {**os.environ, OVERRIDE: str(root)}
            codes.append(subprocess.run([*enter(root), *pytest, *arguments], env=environment, check=False).returncode)
    except RootUnavailableError as error:
        sys.exit(str(error))
    return next(filter(None, codes), 0)


if __name__ == "__main__":
    sys.exit(main())
