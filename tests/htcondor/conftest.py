from __future__ import annotations

from pathlib import Path

import pytest

from tests.htcondor.root import RootUnavailableError, ensure_roots


@pytest.fixture(scope="session")
def htcondor_root() -> Path:
    """A root directory with HTCondor. Who runs these tests wants them run, so without one they fail."""
    try:
        return ensure_roots()[0]
    except RootUnavailableError as error:
        pytest.fail(str(error), pytrace=False)


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """No dots between the lines of the story."""
    return (report.outcome if report.when == "call" else "", "", "") if report.passed else None
