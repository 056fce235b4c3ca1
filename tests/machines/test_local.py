"""``annex-bootstrap local --machines``: an annex on one's own computer, beside a pool on it."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from annex_contract.knobs import DEFAULT_PORT
from annex_contract.stack import ANNEX_TAG
from local_aws.machines.debian import cache_directory
from local_aws.machines.here import LINK
from local_aws.machines.running import Shell
from local_aws.server_settings import HARDWARE
from tests.htcondor.namespaces import POOL, POOL_ADDRESS
from tests.htcondor.pool import USER, Pool
from tests.htcondor.root import ensure_roots
from tests.htcondor.testbed import CLIENT_DIRECTORIES, HOME, install_client, submit
from tests.machines.given import Given
from tests.machines.laboratory import (
    BOOT_COMMANDS,
    GO_WHEN_IDLE,
    LASTING,
    LEAN,
    PATIENCE,
    packages,
    wait_until,
    wait_until_ended,
)

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

USEFUL = """\
#!/bin/sh
echo "the answer is $(echo 42 | jq .)"
"""


def test_an_annex_starts_runs_a_job_and_goes(prepared: Given) -> None:
    (root,) = ensure_roots()
    with _local() as exports, _pool(root, exports) as pool:
        _client(pool, exports, "pool-config", "--collector", POOL, "--user", USER, user="root")
        pool.must(["condor_restart"])
        image = f"ImagePackages={','.join(packages(prepared))}"
        _client(pool, exports, "deploy", "--yes", "--param", image, "--param", f"BootCommands={BOOT_COMMANDS}")
        ssm = boto3.client("ssm", **_place(exports))
        ssm.put_parameter(Name=HARDWARE, Value=LEAN.to_json(), Type="String")
        _client(pool, exports, "start", "own", "--cores", "2", *LASTING, "--yes")
        submit(pool, "own", USEFUL)
        wait_until_ended(pool, "own")
        assert pool.read(f"{HOME}/own.out") == "the answer is 42\n"
        watched = _run(pool, exports, ["timeout", "--signal=INT", "20", "annex-bootstrap", "watch", "own"])
        assert "annex=own  pending=0  running=1  joined=1 " in watched
        (shell,) = cache_directory().glob(f"machines.*/{_instances(exports)[0]['InstanceId']}/shell.sock")
        Shell(shell).run(GO_WHEN_IDLE, PATIENCE)
        wait_until(lambda: _states(exports) == {"terminated"}, "the machine has gone", lambda: str(_states(exports)))
        wait_until(lambda: not pool.run(["condor_status"]).stdout, "the slot has gone")
    left = subprocess.run(["ip", "link", "show", LINK], check=False, capture_output=True)
    assert left.returncode


@contextmanager
def _local() -> Iterator[Mapping[str, str]]:
    """Run the command as a user does, and yield what it says to export; Ctrl-C ends it."""
    command = [sys.executable, "-m", "tests.machines.local_command"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as local:
        assert local.stdout is not None
        try:
            exports = {}
            for line in local.stdout:
                if line.startswith("export "):
                    name, _, value = shlex.split(line)[1].partition("=")
                    exports[name] = value
                if line.startswith("# Running."):
                    break
            yield exports
            local.send_signal(signal.SIGINT)
            assert local.wait(60) == 0
            assert "# Ended." in local.stdout.read()
        finally:
            # It deletes its disks.
            local.send_signal(signal.SIGINT)


@contextmanager
def _pool(root: Path, exports: Mapping[str, str]) -> Iterator[Pool]:
    ca_pem = Path(exports["AWS_CA_BUNDLE"]).read_text()
    with Pool(
        root,
        hosts={POOL: POOL_ADDRESS},
        ca_pem=ca_pem,
        directories=CLIENT_DIRECTORIES,
        port=DEFAULT_PORT,
        shared_port=False,
    ) as pool:
        install_client(pool)
        yield pool


def _client(pool: Pool, exports: Mapping[str, str], *arguments: str, user: str = USER) -> str:
    return _run(pool, exports, ["annex-bootstrap", *arguments], user, code=0)


def _run(pool: Pool, exports: Mapping[str, str], argv: list[str], user: str = USER, code: int | None = None) -> str:
    """Run a command with what was exported; the pool has the certificate authority among its own."""
    env = {**exports, "AWS_CA_BUNDLE": "/etc/ssl/certs/ca-certificates.crt"}
    ended = pool.run(argv, user=user, env=env, seconds=PATIENCE)
    said = ended.stdout + ended.stderr
    sys.stdout.write(f"$ {shlex.join(argv)}\n{said}\n")
    assert code in (None, ended.returncode), said
    return said


def _place(exports: Mapping[str, str]) -> Mapping[str, Any]:
    """Return what boto3's clients need to ask the local AWS."""
    return {
        "region_name": exports["AWS_REGION"],
        "endpoint_url": exports["AWS_ENDPOINT_URL"],
        "verify": exports["AWS_CA_BUNDLE"],
        "aws_access_key_id": exports["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": exports["AWS_SECRET_ACCESS_KEY"],
    }


def _instances(exports: Mapping[str, str]) -> list[InstanceTypeDef]:
    """Return the annex's machines."""
    ec2 = boto3.client("ec2", **_place(exports))
    found = ec2.describe_instances(Filters=[{"Name": f"tag:{ANNEX_TAG}", "Values": ["own"]}])["Reservations"]
    return [instance for reservation in found for instance in reservation["Instances"]]


def _states(exports: Mapping[str, str]) -> set[str]:
    """Return their states."""
    return {instance["State"]["Name"] for instance in _instances(exports)}
