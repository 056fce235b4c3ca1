"""What stops the server from starting."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    pass


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"ANNEX_BOOTSTRAP_SCHEDULE_SPEED": "0"}, "the schedule's speed must be above 0, not 0.0"),
        ({}, "local_aws.server needs exactly MiniStack 1.5.33, not 2.0: pip install"),
    ],
)
def test_settings_and_versions_that_do_not_work_are_reported_in_one_sentence(
    variables: dict[str, str], sentence: str
) -> None:
    another_version = "import importlib.metadata as m; m.version = lambda name: '2.0'; "
    code = ("" if variables else another_version) + "import local_aws.server.app"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | variables, capture_output=True, text=True, check=False
    )
    assert sentence in done.stderr.splitlines()[-1]
