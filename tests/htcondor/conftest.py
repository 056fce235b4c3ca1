from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from local_aws.machines.debian import UnavailableError
from tests.htcondor.image import ensure_image
from tests.htcondor.namespaces import inside
from tests.htcondor.root import ensure_roots
from tests.htcondor.testbed import Testbed, start_testbed


@pytest.fixture(scope="session")
def htcondor_root() -> Path:
    """Return a root directory with HTCondor; fail without one, because those who run these tests want them run."""
    try:
        return ensure_roots()[0]
    except UnavailableError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="module")
def testbed(htcondor_root: Path) -> Iterator[Testbed]:
    """Return a pool and a local AWS, the same for all tests of a module."""
    if not inside():
        pytest.fail("The end-to-end tests need a network of their own: run make e2e.", pytrace=False)
    with start_testbed(htcondor_root) as testbed:
        yield testbed


@pytest.fixture(autouse=True)
def _print_step(request: pytest.FixtureRequest) -> None:
    """Let the transcript begin a step for each test that has a testbed."""
    if "testbed" in request.fixturenames:
        testbed: Testbed = request.getfixturevalue("testbed")
        testbed.transcript.step(request.function.__name__, request.function.__doc__)


@pytest.fixture(scope="module")
def image() -> Path:
    """Return the root directory of the image that machines boot from."""
    return ensure_image()


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Print no dots between the lines of the transcript."""
    return (report.outcome if report.when == "call" else "", "", "") if report.passed else None
