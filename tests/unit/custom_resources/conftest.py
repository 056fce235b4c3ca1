"""What the tests of custom resources share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import boto3
import pytest

from custom_resources import lifecycle
from custom_resources.lifecycle import Request
from tests.unit.recorded import Recorded

STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/s/12345678-1234-1234-1234-123456789012"
OWN = {"Key": "annex-bootstrap:stack", "Value": STACK}
"""The tag of what the stack made."""
SECRET = "0123456789abcdef" * 2
"""What nobody but CloudFormation and the function knows of the request."""


def request(name: str, properties: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> Request:
    """Return a request of the stack for a resource of that name."""
    return Request(STACK, "Thing", "r", name, properties, math.inf, before or {}, secret=SECRET)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Recorded]:
    """Return what makes the account that the functions talk to; pauses take no time there."""

    def make(**answers: Any) -> Recorded:
        made = Recorded(**answers)
        now = [0.0]
        monkeypatch.setattr(boto3, "client", made.client)
        monkeypatch.setattr(lifecycle, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
        monkeypatch.setattr(lifecycle, "monotonic", lambda: now[0])
        return made

    return make
