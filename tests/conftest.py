"""What every test needs."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

# A background job of a shell ignores Ctrl-C, and what it starts inherits that; the commands under test must not.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: how long an example takes says more about the machine than about the code.
settings.register_profile("normal", max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("normal"), max_examples=20_000)
# For `make mutants`, which runs tests hundreds of times.
settings.register_profile("few", settings.get_profile("normal"), max_examples=30)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "normal"))
