from __future__ import annotations

from pathlib import Path

import pytest

from tests.htcondor.root import RootUnavailableError, ensure_root


@pytest.fixture(scope="session")
def htcondor_root() -> Path:
    """A root directory with HTCondor. Who runs these tests wants them run, so without one they fail."""
    try:
        return ensure_root()
    except RootUnavailableError as error:
        pytest.fail(str(error), pytrace=False)
