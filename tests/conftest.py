"""What every test needs."""

from __future__ import annotations

import os
import signal

# A background job of a shell ignores Ctrl-C, and what it starts inherits that; the commands under test must not.
signal.signal(signal.SIGINT, signal.default_int_handler)

# crhelper makes its clients when a function's module is imported, which Lambda never does without a region.
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
