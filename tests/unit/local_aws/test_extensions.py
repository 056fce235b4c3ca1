"""The extensions of MiniStack: each replaces something, and no two the same."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import pytest


@pytest.fixture(scope="module")
def replaced() -> dict[str, list[str]]:
    """What each extension replaces in MiniStack, by the extension's module."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.local_aws.replacements"], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_nothing_of_ministack_is_replaced_by_two_extensions(replaced: dict[str, list[str]]) -> None:
    counts = Counter(name for names in replaced.values() for name in names)
    assert [name for name, count in counts.items() if count > 1] == []


def test_what_every_extension_replaces_is_seen(replaced: dict[str, list[str]]) -> None:
    assert all(replaced.values())
    assert "ministack.core.iam_actions.extract_resource_arn" in replaced["local_aws.server.iam.authorization"]
    assert any("['TerminateInstances']" in name for name in replaced["local_aws.server.ec2.instances"])
