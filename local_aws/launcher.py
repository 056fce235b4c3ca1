"""Starts the local AWS, MiniStack with TLS and with IAM enforced, for ``demo``, ``local`` and the tests.

It depends on nothing else on the machine: it has its own certificate authority, takes free ports on loopback, keeps
everything in a temporary directory, and ends every process that it started.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import trustme

from annex_bootstrap.errors import UserError
from local_aws.machines.packages import NAMES
from local_aws.machines.settings import MachineSettings

HOST = "127.0.0.1"
"""An address, not a name, so that S3 clients put the bucket into the path instead of the host name."""

ACCOUNT = "123456789012"
REGION = "us-east-1"

REGIONAL_SERVICES = (
    "api.pricing",
    "cloudformation",
    "ec2",
    "events",
    "lambda",
    "logs",
    "monitoring",
    "s3",
    "servicequotas",
    "ssm",
    "sts",
)
GLOBAL_SERVICES = ("budgets", "iam", "s3", "*.s3", "sts")
HTTPS_PORT = 443
METADATA_ADDRESS = "169.254.169.254"
"""The address of the instance metadata service, which speaks plain HTTP."""

STAND_IN_TAG = "annex-bootstrap:stand-in"
"""The tag, with any value, of the one machine that the metadata service describes."""

INTERRUPTION_TAG = "annex-bootstrap:interruption"
"""The tag with which the metadata service gives that machine notice; its value is the time of the interruption."""

PASSED_ON = ("HOME", "LANG", "LC_ALL", "PATH", "PYTHONPATH")
"""The variables of its caller that the server needs to find Python's packages. It gets no others."""

START_TIMEOUT = 60.0
"""Seconds to wait for the server; it takes about two."""


@dataclass(frozen=True)
class Credentials:
    """The keys of one principal of the local AWS."""

    access_key_id: str
    secret_access_key: str


@dataclass(frozen=True)
class Strictness:
    """AWS at its worst: see ``local_aws.server.strict``.

    Attributes:
        seed: of what goes wrong when.
        speed: how many times faster than AWS it is late.
    """

    seed: int
    speed: float


@dataclass(frozen=True)
class LocalAws:
    """A running local AWS.

    Attributes:
        endpoint: its URL.
        ca_file: the certificate authority that signed it, as PEM.
        root: the keys of the account's root, which no policy restricts.
        log_file: what the server writes.
    """

    endpoint: str
    ca_file: Path
    root: Credentials
    log_file: Path

    def environ(self, credentials: Credentials) -> dict[str, str]:
        """Return the variables that point any AWS tool at this server, as that principal."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_CA_BUNDLE": str(self.ca_file),
            "AWS_ACCESS_KEY_ID": credentials.access_key_id,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextlib.contextmanager
def local_aws(
    schedule_speed: int = 1,
    in_place_of: Sequence[str] = (),
    records: Path | None = None,
    strictness: Strictness | None = None,
    machines: MachineSettings | None = None,
) -> Iterator[LocalAws]:
    """Run a local AWS for as long as the context lasts.

    Args:
        schedule_speed: how many times faster than real time EventBridge's rate schedules run.
        in_place_of: regions that it stands in for: it then takes port 443 of every address, its certificate is valid
            for AWS's own host names there, and it is the metadata service of one machine (see
            ``local_aws.server.ec2.metadata``). Only for a network namespace of its own, in which those names and the
            metadata address lead here.
        strictness: AWS at its worst.
        records: a directory for what it exchanges and decides (see ``local_aws.server.recording``).
        machines: what it runs its instances with, as virtual machines; it fills in what only it knows.

    Yields:
        The running server.

    Raises:
        UserError: the server does not start.
    """
    with tempfile.TemporaryDirectory(prefix="annex-bootstrap-local-") as name:
        directory = Path(name)
        ca_file = _make_certificates(directory, in_place_of or ([REGION] if machines else []))
        if machines:
            machines = replace(
                machines,
                trusted=ca_file.read_text(),
                certificate=str(directory / "server.pem"),
                key=str(directory / "server.key"),
            )
        port = HTTPS_PORT if in_place_of else _free_port()
        addresses = [f"{HOST}:{port}"]
        if machines:
            # Not every address: machines find Debian's mirror at another one.
            addresses.append(f"{machines.aws_address}:{HTTPS_PORT}")
        elif in_place_of:
            addresses = [f"0.0.0.0:{port}"]
        local = LocalAws(
            endpoint=f"https://{HOST}:{port}",
            ca_file=ca_file,
            root=Credentials("LOCALROOT", secrets.token_hex(20)),
            log_file=directory / "server.log",
        )
        with local.log_file.open("wb") as log:
            server = subprocess.Popen(
                [
                    sys.executable,
                    # No worker processes: the server must be the process that holds the pipe.
                    *("-m", "hypercorn", "local_aws.server.app:app", "--workers", "0"),
                    *(part for address in addresses for part in ("--bind", address)),
                    *(("--insecure-bind", f"{METADATA_ADDRESS}:80") if in_place_of or machines else ()),
                    *("--certfile", str(directory / "server.pem")),
                    *("--keyfile", str(directory / "server.key")),
                ],
                env={
                    **_server_environ(local, directory, port, schedule_speed, records, strictness),
                    **(machines.environ() if machines else {}),
                },
                # The server ends itself when this pipe closes: also when this process is killed.
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # A group of its own: Ctrl-C must not end it before its starter, and its functions end with it.
                start_new_session=True,
            )
        try:
            _wait_until_ready(local, server)
            yield local
        finally:
            _end(server)


def _server_environ(
    local: LocalAws,
    directory: Path,
    port: int,
    schedule_speed: int,
    records: Path | None,
    strictness: Strictness | None,
) -> Mapping[str, str]:
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ} | {
        "AUTH": "true",
        "USE_SSL": "1",
        "MINISTACK_SSL_CERT": str(directory / "server.pem"),
        "MINISTACK_SSL_KEY": str(directory / "server.key"),
        "MINISTACK_HOST": HOST,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": REGION,
        "GATEWAY_PORT": str(port),
        "BIND_HOST": HOST,
        # Its MQTT listener would take a fixed port.
        "IOT_MTLS_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        "ANNEX_BOOTSTRAP_SCHEDULE_SPEED": str(schedule_speed),
        "ANNEX_BOOTSTRAP_RECORDS": str(records or ""),
        "ANNEX_BOOTSTRAP_STRICTNESS": f"{strictness.seed}:{strictness.speed}" if strictness else "",
        "TMPDIR": str(directory),
        # Functions inherit these: crhelper and boto3 then trust the server.
        "SSL_CERT_FILE": str(local.ca_file),
        "AWS_CA_BUNDLE": str(local.ca_file),
        "AWS_ACCESS_KEY_ID": local.root.access_key_id,
        "AWS_SECRET_ACCESS_KEY": local.root.secret_access_key,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _make_certificates(directory: Path, regions: Sequence[str]) -> Path:
    authority = trustme.CA(organization_name="annex-bootstrap local AWS")
    ca_file = directory / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    server = authority.issue_cert(HOST, "localhost", *NAMES, *aws_names(regions))
    server.private_key_pem.write_to_path(directory / "server.key")
    for certificate in server.cert_chain_pems:
        certificate.write_to_path(directory / "server.pem", append=True)
    return ca_file


def aws_names(regions: Sequence[str]) -> list[str]:
    """Return AWS's host names for the services that we, condor_annex and machines use, with wildcards for buckets."""
    if not regions:
        return []
    regional = [f"{service}.{region}.amazonaws.com" for region in regions for service in (*REGIONAL_SERVICES, "*.s3")]
    return [*regional, *(f"{service}.amazonaws.com" for service in GLOBAL_SERVICES)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(local: LocalAws, server: subprocess.Popen[bytes]) -> None:
    context = ssl.create_default_context(cafile=str(local.ca_file))
    give_up = time.monotonic() + START_TIMEOUT
    while time.monotonic() < give_up:
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{local.endpoint}/_ministack/health", context=context, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    lines = local.log_file.read_text(errors="replace").strip().splitlines()
    raise UserError(f"the local AWS did not start: {lines[-1] if lines else 'it printed nothing'}")


def _end(server: subprocess.Popen[bytes]) -> None:
    # Its functions are in its process group.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    if server.stdin is not None:
        server.stdin.close()
