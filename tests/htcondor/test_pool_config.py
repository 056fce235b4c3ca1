"""The lines of ``annex-bootstrap pool-config`` in a real pool."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from annex_bootstrap import pool as pool_config
from tests.htcondor.pool import USER_PASSWORD_FILE, Pool

# As an annex's machine does: over the network, with nothing but the password.
AS_A_MACHINE = {"_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS": "PASSWORD", "_CONDOR_SEC_PASSWORD_FILE": USER_PASSWORD_FILE}


@pytest.fixture(scope="module")
def pool(htcondor_root: Path) -> Iterator[Pool]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    wanted = pool_config.Pool(Path("/etc/condor/annex/pool_password"), port=port)
    with Pool(htcondor_root, config_lines=pool_config.render(wanted).splitlines()) as running:
        yield running


def test_a_pool_starts_with_these_lines_and_keeps_its_password_private(pool: Pool) -> None:
    listed = pool.run(["condor_status", "-any", "-af", "MyType"])
    assert {"Collector", "DaemonMaster", "Negotiator", "Scheduler"} <= set(listed.stdout.split())
    mode = pool.run(["stat", "-c", "%a %U", "/etc/condor/annex/pool_password"], user="root")
    assert mode.stdout == "600 root\n"


def test_who_has_the_password_may_join_as_the_pool(pool: Pool) -> None:
    pinged = pool.run(["condor_ping", "-verbose", "ADVERTISE_STARTD"], env=AS_A_MACHINE)
    facts = dict(line.split(":", 1) for line in pinged.stdout.splitlines() if ":" in line)
    assert facts["Authentication method"].strip() == "PASSWORD", pinged.stdout + pinged.stderr
    assert facts["Remote Mapping"].strip().startswith("condor_pool@")
    assert facts["Authorized"].strip() == "TRUE"


def test_who_has_another_password_may_not_join(pool: Pool) -> None:
    wrong = str(PurePosixPath(USER_PASSWORD_FILE).with_name("wrong"))
    assert pool.run(["condor_store_cred", "add", "-c", "-i", "-", "-f", wrong], stdin="made-up-other").returncode == 0
    pinged = pool.run(
        ["condor_ping", "-verbose", "ADVERTISE_STARTD"], env=AS_A_MACHINE | {"_CONDOR_SEC_PASSWORD_FILE": wrong}
    )
    assert "Authorized:                  TRUE" not in pinged.stdout
    assert pinged.returncode != 0


def test_who_has_no_password_may_not_join(pool: Pool) -> None:
    pinged = pool.run(["condor_ping", "-verbose", "ADVERTISE_STARTD"])
    assert "Authorized:                  TRUE" not in pinged.stdout
    assert pinged.returncode != 0
