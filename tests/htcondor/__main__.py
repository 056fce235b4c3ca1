"""``python -m tests.htcondor``: run these tests with every HTCondor, side by side, each in Linux namespaces of its own.

The namespaces hold a network with loopback only, to which every address is routed, their own processes, and a view of
the file system in which only the hosts file differs. So the local AWS can be reached under AWS's own host names, ports
443 and 9618 are free, and no process or mount outlives the first process, which ends with its parent.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from tempfile import TemporaryFile
from typing import IO

from local_aws.machines.debian import UnavailableError
from tests.htcondor.image import ensure_image
from tests.htcondor.namespaces import enter
from tests.htcondor.root import OVERRIDE, ensure_roots


def main() -> int:
    """Run pytest with every root directory: on this folder, or with the arguments given.

    Most of the time is waiting, so all run at once. The first one prints as it goes, each other one when those before
    it have ended.

    Returns:
        The first exit code that is not 0, if any.
    """
    pytest = [sys.executable, "-m", "pytest", "--capture=no", "--quiet", "--exitfirst"]
    arguments = sys.argv[1:] or ["tests/htcondor"]
    try:
        # Within the namespaces nothing can be built.
        ensure_image()
        roots = list(ensure_roots())
    except UnavailableError as error:
        sys.exit(str(error))
    codes = []
    with ExitStack() as stack:
        runs: list[tuple[subprocess.Popen[bytes], IO[bytes] | None]] = []
        for root in roots:
            prints_later = stack.enter_context(TemporaryFile()) if runs else None
            command, environment = [*enter(root), *pytest, *arguments], {**os.environ, OVERRIDE: str(root)}
            run = subprocess.Popen(command, env=environment, stdout=prints_later, stderr=subprocess.STDOUT)
            runs.append((stack.enter_context(run), prints_later))
        for run, printed in runs:
            codes.append(run.wait())
            if printed:
                printed.seek(0)
                shutil.copyfileobj(printed, sys.stdout.buffer)
    return next(filter(None, codes), 0)


if __name__ == "__main__":
    sys.exit(main())
