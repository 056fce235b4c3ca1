"""Processor time, which other work on the machine does not stretch: what each test takes, and a limit for a child.

A plugin of pytest: ``-p tests.mutants.processor_time`` adds to each test what it took, the children that it waited for
included.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator

import pytest

NAME = "processor_seconds"
"""The property of a test in pytest's report."""

_BEGAN = pytest.StashKey[float]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Begin to measure, before the fixtures."""
    item.stash[_BEGAN] = _used()
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Say what the test took, its fixtures included."""
    try:
        return (yield)
    finally:
        item.user_properties.append((NAME, _used() - item.stash[_BEGAN]))


def _used() -> float:
    return sum(os.times()[:4])


def exit_code(act: Callable[[], int], processor_seconds: float, seconds: float) -> int | None:
    """Do something in a child process, and return the exit code that it gives.

    Args:
        act: called in the child, which leads a process group.
        processor_seconds: what the child may use, and each process that it starts; more ends it by a signal.
        seconds: how long it may take by the clock. Then it ends, with whatever it started.

    Returns:
        A negative number where a signal ended it; None where the clock did.
    """

    def limited() -> None:
        os.setsid()
        limit = math.ceil(processor_seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        os._exit(act())

    child = multiprocessing.get_context("fork").Process(target=limited)
    child.start()
    child.join(seconds)
    if not child.is_alive():
        return child.exitcode
    while child.is_alive():
        try:
            os.killpg(child.pid or 0, signal.SIGKILL)
        except ProcessLookupError:
            # It leads no group yet, or has just ended.
            time.sleep(0.01)
    return None
