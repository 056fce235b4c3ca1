"""A request under way has a file with everything needed to finish it; one that still runs counts as running."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from annex_bootstrap.annexes import requests
from annex_bootstrap.annexes.requests import Annex, Request, find_requests
from annex_bootstrap.errors import UserError
from annex_bootstrap.machines.capacity import Capacity

ACCOUNT, REGION = "123456789012", "us-east-1"


def request(number: int = 0, annex: str = "first") -> Request:
    request_id = f"{number:032x}"
    return Request(
        request_id,
        Annex(annex, "alice", 900, 2_000_000_000),
        Capacity(count=2, types=("c7i.large", "m7i.large"), spot=True),
        1,
        ACCOUNT,
        REGION,
        "arn:stack",
        {"ClientToken": request_id, "Overrides": [{"SubnetId": "subnet-a"}]},
    )


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(requests, "DIRECTORY", tmp_path / "requests")
    monkeypatch.setattr(requests, "BEAT", 0.01)
    return tmp_path / "requests"


def test_a_request_is_read_back_as_it_was_until_it_is_forgotten() -> None:
    assert find_requests(ACCOUNT, REGION, "first") == []
    with request().under_way():
        assert request().path.stat().st_mode & 0o777 == 0o600
    assert find_requests(ACCOUNT, REGION, "first") == [request()]
    assert find_requests(ACCOUNT, "eu-west-1", "first") == []
    request().forget()
    request().forget()
    assert find_requests(ACCOUNT, REGION, "first") == []


def test_nothing_touches_the_file_after_its_request_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    touching, touched = threading.Event(), threading.Event()

    def touch(_: Path) -> None:
        touching.set()
        time.sleep(0.2)
        touched.set()

    monkeypatch.setattr(os, "utime", touch)
    with request().under_way():
        assert touching.wait(10)
    assert touched.is_set()


def test_two_requests_of_one_annex_do_not_replace_each_other_and_the_first_comes_first() -> None:
    for number, touched in ((1, 2000), (2, 1000)):
        with request(number).under_way():
            pass
        os.utime(request(number).path, (touched, touched))
    assert find_requests(ACCOUNT, REGION, "first") == [request(2), request(1)]


def test_an_annex_is_not_taken_for_one_whose_name_goes_on() -> None:
    with request(1, "first").under_way(), request(2, "first-more").under_way():
        assert find_requests(ACCOUNT, REGION, "first") == [request(1, "first")]


def test_a_request_is_alive_while_somebody_touches_its_file() -> None:
    with request().under_way():
        assert request().is_alive()
    assert not request().is_alive()


def test_a_request_that_ends_while_it_is_watched_was_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    with request().under_way():
        pass
    monkeypatch.setattr("time.sleep", lambda _: request().forget())
    assert request().is_alive()


def test_a_home_without_locks_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_arguments: object) -> None:
        raise OSError("no locks here")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with request().under_way():
        assert find_requests(ACCOUNT, REGION, "first") == [request()]


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(requests, "DIRECTORY", tmp_path / "file" / "requests")
    with (
        pytest.raises(UserError, match="cannot be written: Not a directory; check who owns its directory"),
        request().under_way(),
    ):
        raise AssertionError


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"annex": {}, "capacity": {"types": []}}'])
def test_a_damaged_file_is_named_and_kept(content: str) -> None:
    with request().under_way():
        pass
    request().path.write_text(content)
    with pytest.raises(UserError, match="is damaged or of another version"):
        find_requests(ACCOUNT, REGION, "first")
    assert request().path.exists()
