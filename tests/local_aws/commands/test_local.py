"""``annex-bootstrap local``: what it prints works, and nothing is left when it ends."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest


@contextlib.contextmanager
def running(directory: Path) -> Iterator[tuple[subprocess.Popen[str], Mapping[str, str]]]:
    """Run the command; yield it and the variables that it tells the user to export."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "annex_bootstrap", "local"],
        stdout=subprocess.PIPE,
        text=True,
        env=environ | {"TMPDIR": str(directory), "PYTHONUNBUFFERED": "1"},
    )
    exports: dict[str, str] = {}
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("# Running"):
                break
            if line.startswith("export "):
                name, _, value = shlex.split(line)[1].partition("=")
                exports[name] = value
        yield process, exports
    finally:
        process.kill()
        process.wait()


def listens(exports: Mapping[str, str]) -> bool:
    url = urlsplit(exports["AWS_ENDPOINT_URL"])
    with contextlib.suppress(OSError), socket.create_connection((url.hostname, url.port), timeout=1):
        return True
    return False


def has_ended(exports: Mapping[str, str]) -> bool:
    for _ in range(100):
        if not listens(exports):
            return True
        time.sleep(0.1)
    return False


def test_the_exports_point_a_tool_at_the_local_aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path) as (_, exports):
        for name, value in exports.items():
            monkeypatch.setenv(name, value)
        identity = boto3.Session().client("sts").get_caller_identity()
    assert identity["Account"] == "123456789012"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_after_ctrl_c_or_sigterm(tmp_path: Path, how: signal.Signals) -> None:
    with running(tmp_path) as (process, exports):
        assert listens(exports)
        process.send_signal(how)
        process.wait(timeout=20)
        assert has_ended(exports)
    assert list(tmp_path.iterdir()) == []


def test_the_server_ends_even_when_its_starter_is_killed(tmp_path: Path) -> None:
    with running(tmp_path) as (process, exports):
        process.kill()
        assert has_ended(exports)
