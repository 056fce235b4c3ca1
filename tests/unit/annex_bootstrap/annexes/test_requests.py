"""A request that is under way survives in a file, with everything that finishing it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from annex_bootstrap.annexes import requests
from annex_bootstrap.annexes.requests import Annex, Request, find_request
from annex_bootstrap.errors import UserError
from annex_bootstrap.machines.capacity import Capacity

REQUEST = Request(
    "0" * 32,
    Annex("first", "alice", 900, 2_000_000_000),
    Capacity(count=2, types=("c7i.large", "m7i.large"), spot=True),
    "123456789012",
    "us-east-1",
    "arn:stack",
    {"ClientToken": "0" * 32, "Overrides": [{"SubnetId": "subnet-a"}]},
)


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(requests, "DIRECTORY", tmp_path / "requests")
    return tmp_path / "requests"


def test_a_saved_request_is_read_back_as_it_was_until_it_is_forgotten() -> None:
    assert find_request("123456789012", "us-east-1", "first") is None
    REQUEST.save()
    assert find_request("123456789012", "us-east-1", "first") == REQUEST
    assert find_request("123456789012", "eu-west-1", "first") is None
    assert REQUEST.path.stat().st_mode & 0o777 == 0o600
    REQUEST.forget()
    REQUEST.forget()
    assert find_request("123456789012", "us-east-1", "first") is None


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"annex": {}, "capacity": {"types": []}}'])
def test_a_damaged_file_is_named_and_kept(content: str) -> None:
    REQUEST.save()
    REQUEST.path.write_text(content)
    with pytest.raises(UserError, match="is damaged or of another version"):
        find_request("123456789012", "us-east-1", "first")
    assert REQUEST.path.exists()
