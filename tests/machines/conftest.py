from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.htcondor.root import ensure_roots
from tests.htcondor.testbed import Testbed, start_testbed
from tests.machines.given import Given, read
from tests.machines.laboratory import Laboratory, base_settings


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
    directory = Path(prepared.directory, "machines")
    settings = base_settings(prepared, directory)
    (root,) = ensure_roots()
    with start_testbed(root, settings) as testbed:
        yield Laboratory(testbed, prepared, directory)


@pytest.fixture(autouse=True)
def _print_step(request: pytest.FixtureRequest) -> None:
    """Let the transcript begin a step for each test."""
    if "laboratory" in request.fixturenames:
        testbed: Testbed = request.getfixturevalue("laboratory").testbed
        testbed.transcript.step(request.function.__name__, request.function.__doc__)


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Print no dots between the lines of the transcript."""
    return (report.outcome if report.when == "call" else "", "", "") if report.passed else None
