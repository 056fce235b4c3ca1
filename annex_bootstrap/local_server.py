"""What the local AWS's process serves: MiniStack with our extension of its EC2. Loaded by hypercorn."""

from __future__ import annotations

import os
import signal
import sys
import threading

from annex_bootstrap.local_ec2 import app

__all__ = ["app"]


def _end_with_parent() -> None:
    """End this process and its functions when the starter closes our standard input, or dies."""
    sys.stdin.buffer.read()
    os.killpg(os.getpgrp(), signal.SIGKILL)


threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
