"""What every unit test needs."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def _no_settings_of_aws() -> Iterator[None]:
    """Take away the AWS settings of who runs the tests, or of the local AWS that other tests of the process use."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [variable for variable in os.environ if variable.startswith("AWS_")]:
            patch.delenv(name)
        yield
