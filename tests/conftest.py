"""What every test needs."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

LONGEST = ("test_worst_case.py", "test_model.py")
"""Modules whose tests take longest."""

# A background job of a shell ignores Ctrl-C, and what it starts inherits that; the commands under test must not.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: how long an example takes says more about the machine than about the code.
settings.register_profile("normal", max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("normal"), max_examples=20_000)
# For `make mutants`, which runs tests hundreds of times.
settings.register_profile("few", settings.get_profile("normal"), max_examples=30)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "normal"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no worker ends long after the others."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
