from __future__ import annotations

from pathlib import Path

import pytest

from tests.htcondor.root import RootUnavailableError, ensure_roots


@pytest.fixture(scope="session")
def htcondor_root() -> Path:
    """Return a root directory with HTCondor; fail without one, because whoever runs these tests wants them run."""
    try:
        return ensure_roots()[0]
    except RootUnavailableError as error:
        pytest.fail(str(error), pytrace=False)


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Print no dots between the lines of the transcript."""
    return (report.outcome if report.when == "call" else "", "", "") if report.passed else None
