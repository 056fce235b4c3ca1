from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.htcondor.testbed import Testbed
from tests.machines.given import Given, read
from tests.machines.laboratory import Laboratory, opened


@pytest.fixture(scope="session")
def prepared() -> Given:
    """Return what was prepared outside; fail where nothing was, because those who run these tests want them run."""
    found = read()
    if found is None:
        pytest.fail("The tests with virtual machines need a network of their own: run make vm.", pytrace=False)
    return found


@pytest.fixture(scope="session")
def laboratory(prepared: Given) -> Iterator[Laboratory]:
    """Return a pool, a local AWS whose instances are virtual machines, and a stack with its image."""
    with opened(prepared) as laboratory:
        yield laboratory


@pytest.fixture(autouse=True)
def _print_step(request: pytest.FixtureRequest) -> None:
    """Let the transcript begin a step for each test."""
    if "laboratory" in request.fixturenames:
        testbed: Testbed = request.getfixturevalue("laboratory").testbed
        testbed.transcript.step(request.function.__name__, request.function.__doc__)


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Print no dots between the lines of the transcript."""
    return (report.outcome if report.when == "call" else "", "", "") if report.passed else None
