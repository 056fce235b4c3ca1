"""LocalStack's open edition, running on the Python of the functions, without a container, a token or the network.

Its version is in ``requirements.in``. It imports what came with Python 3.13.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import trustme

from template_gen.functions import RUNTIME
from tests.engines.root import PACKAGES, ensure_packages, entered

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
HOST = Path(__file__).with_name("host.py")

ACCOUNT, REGION = "000000000000", "us-east-1"
"""The account that LocalStack takes the keys below for, and where."""

STARTS = 180
"""Seconds until it must answer."""


@dataclass(frozen=True)
class LocalStack:
    """A running LocalStack.

    Attributes:
        endpoint: its URL.
        log_file: what it and the functions print.
    """

    endpoint: str
    log_file: Path

    def environ(self) -> dict[str, str]:
        """Return the variables that point any AWS tool at it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextlib.contextmanager
def running(directory: Path) -> Iterator[LocalStack]:
    """Run LocalStack for as long as the context lasts.

    Args:
        directory: an empty one, which is its /tmp.
    """
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")
    shutil.copy(HOST, directory)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    environ = {
        "HOME": "/tmp",
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "PYTHONPATH": PACKAGES,
        "FILESYSTEM_ROOT": "/tmp/files",
        "GATEWAY_LISTEN": address,
        "LOCALSTACK_HOST": address,
        # No word to its makers, no certificate and no catalogue from the network, no DNS server.
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DNS_ADDRESS": "0",
        # What nobody provides must fail.
        "CFN_IGNORE_UNSUPPORTED_RESOURCE_TYPES": "0",
        "JUDGE_CA_FILE": "/tmp/ca.pem",
        "JUDGE_CERTIFICATE": "/tmp/server.pem",
    }
    log_file = directory / "localstack.log"
    with log_file.open("wb") as log:
        server = subprocess.Popen(
            entered(
                [ensure_packages("localstack", REQUIREMENTS)], [RUNTIME, f"/tmp/{HOST.name}"], tmp=f"--bind {directory}"
            ),
            env=environ,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait(f"http://{address}/_localstack/health", server, log_file)
        yield LocalStack(f"http://{address}", log_file)
    finally:
        # Its functions are in its process group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _wait(url: str, server: subprocess.Popen[bytes], log_file: Path) -> None:
    give_up = time.monotonic() + STARTS
    while time.monotonic() < give_up and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise AssertionError(f"LocalStack did not start:\n{log_file.read_text(errors='replace')[-3000:]}")
