"""What every test needs."""

from __future__ import annotations

import signal

# A background job of a shell ignores Ctrl-C, and what it starts inherits that; the commands under test must not.
signal.signal(signal.SIGINT, signal.default_int_handler)
