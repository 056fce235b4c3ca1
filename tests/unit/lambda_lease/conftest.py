"""The account that these tests share, and what its functions tell."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from lambda_lease import handler
from tests.unit.lambda_lease.fake_aws import FakeAws

Told = Callable[[], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _metrics_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    # Powertools read its environment when the handler was imported.
    monkeypatch.setattr(handler.metrics.provider, "namespace", "annex-bootstrap")


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Told:
    """Return a function that reads what was told: log lines, and then metrics."""
    # The logger took hold of stdout when the handler was imported, before pytest captured it.
    log = io.StringIO()
    monkeypatch.setattr(handler.logger.registered_handler, "stream", log)
    return lambda: [
        json.loads(line) for text in (log.getvalue(), capsys.readouterr().out) for line in text.splitlines()
    ]


@pytest.fixture
def aws() -> FakeAws:
    """Return an empty account."""
    return FakeAws()
