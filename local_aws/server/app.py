"""MiniStack's ASGI ``app`` with what condor_annex, the lease and our policies need and MiniStack lacks.

Serve ``local_aws.server.app:app`` where one would serve ``ministack.app:app``. Importing this module changes
MiniStack's modules, so import it in the server's process only. ``AUTH=true`` decides whether IAM is enforced, as it
does for MiniStack itself.

``ANNEX_BOOTSTRAP_SCHEDULE_SPEED`` (a number above 0, default 1) makes ``rate()`` rules fire that many times
faster: with 60, ``rate(5 minutes)`` fires every 5 seconds.
"""

from __future__ import annotations

import importlib.metadata
import os
import signal
import sys
import threading

MINISTACK_VERSION = "1.5.33"

_installed = importlib.metadata.version("ministack")
if _installed != MINISTACK_VERSION:
    raise ImportError(
        f"local_aws.server needs exactly MiniStack {MINISTACK_VERSION}, not {_installed}: "
        f"pip install ministack=={MINISTACK_VERSION}"
    )

# After the check, because the extensions reach into MiniStack as soon as they are imported.
from ministack.app import app as ministack_app  # noqa: E402

from local_aws.server import recording  # noqa: E402
from local_aws.server.ec2 import machines  # noqa: E402
from local_aws.server.extensions import EXTENSIONS  # noqa: E402
from local_aws.server.gate import gated  # noqa: E402
from local_aws.server.lambda_functions import patience  # noqa: E402
from local_aws.server.strict.chance import is_strict  # noqa: E402

for install in EXTENSIONS:
    install()
for install in (machines.install, patience.install):
    install()

if is_strict():
    # On top of the extensions.
    from local_aws.server.strict.all import STRICT

    for install in STRICT:
        install()

app = recording.recorded(gated(ministack_app)) if recording.directory() else gated(ministack_app)


def _end_with_starter() -> None:
    """End this process and its functions when the starter closes our standard input, or dies."""
    sys.stdin.buffer.read()
    # The group holds the functions; a starter that gave the server no group of its own would go with it.
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(0)


threading.Thread(target=_end_with_starter, name="end-with-starter", daemon=True).start()
