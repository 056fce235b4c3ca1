"""The lines of ``annex-bootstrap pool-config`` in a real pool."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from annex_bootstrap.pool import pool_config
from tests.htcondor.pool import USER_PASSWORD_FILE, Pool

# As an annex's machine does: over the network, with nothing but the password.
AS_A_MACHINE = {
    "_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS": "PASSWORD",
    "_CONDOR_SEC_PASSWORD_FILE": USER_PASSWORD_FILE,
}

PING = ["condor_ping", "-type", "COLLECTOR", "-verbose", "ADVERTISE_STARTD"]


def facts(printed: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in printed.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


@pytest.fixture(scope="module")
def pool(htcondor_root: Path) -> Iterator[Pool]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    wanted = pool_config.Pool(Path("/etc/condor/annex/pool_password"), port=port)
    # Debian's own settings would hide what our lines lack.
    lines = ["ALLOW_DAEMON =", *pool_config.render(wanted).splitlines()]
    with Pool(htcondor_root, config_lines=lines) as running:
        yield running


def test_a_pool_starts_with_these_lines_and_keeps_its_password_private(pool: Pool) -> None:
    listed = pool.run(["condor_status", "-any", "-af", "MyType"])
    # The collector lists itself some seconds later; that it answers is enough.
    assert {"Negotiator", "Scheduler"} <= set(listed.stdout.split())
    mode = pool.run(["stat", "-c", "%a %U", "/etc/condor/annex/pool_password"], user="root")
    assert mode.stdout == "600 root\n"


def test_a_machine_with_the_password_may_join_as_the_pool(pool: Pool) -> None:
    pinged = pool.run(PING, env=AS_A_MACHINE)
    seen = facts(pinged.stdout)
    assert seen.get("Authenticated using") == "PASSWORD", pinged.stdout + pinged.stderr
    assert seen["Remote Mapping"] == "condor@password"
    assert seen["Authorized"] == "TRUE"


def test_a_machine_with_another_password_may_not_join(pool: Pool) -> None:
    wrong = str(PurePosixPath(USER_PASSWORD_FILE).with_name("wrong"))
    assert pool.run(["condor_store_cred", "add", "-c", "-i", "-", "-f", wrong], stdin="made-up-other").returncode == 0
    pinged = pool.run(PING, env=AS_A_MACHINE | {"_CONDOR_SEC_PASSWORD_FILE": wrong})
    assert facts(pinged.stdout).get("Authorized") != "TRUE"
    assert pinged.returncode != 0


def test_a_machine_without_a_password_may_not_join(pool: Pool) -> None:
    pinged = pool.run(PING)
    assert facts(pinged.stdout).get("Authorized") != "TRUE"
    assert pinged.returncode != 0
