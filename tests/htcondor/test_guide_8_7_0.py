"""What the guide of HTCondor 8.7.0 does to a pool, with HTCondor's own tools; the account is in `tests/local_aws`.

`docs/from-the-8.7.0-guide.md` says what to adopt and what to replace.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from tests.htcondor.pool import PASSWORD, USER, USER_PASSWORD_FILE, Pool
from tests.htcondor.test_pool_config import AS_A_MACHINE, PING, facts
from tests.htcondor.testbed import CLIENT_DIRECTORIES, install_client

PASSWORD_FILE = "/etc/condor/condor_pool_password"

LINES = (
    f"SEC_PASSWORD_FILE = {PASSWORD_FILE}",
    *(f"SEC_{context}_INTEGRITY = REQUIRED" for context in ("DAEMON", "NEGOTIATOR")),
    *(f"SEC_{context}_AUTHENTICATION = REQUIRED" for context in ("DAEMON", "NEGOTIATOR")),
    *(f"SEC_{context}_AUTHENTICATION_METHODS = PASSWORD" for context in ("DAEMON", "NEGOTIATOR")),
    "SEC_CLIENT_AUTHENTICATION_METHODS = FS, PASSWORD",
    "ALLOW_DAEMON = condor_pool@*",
)
"""The settings of the guide's section about the pool password."""


@pytest.fixture
def pool(htcondor_root: Path) -> Iterator[Pool]:
    """A pool as the guide leaves it, behind the port that it opens; our commands are installed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Pool(htcondor_root, config_lines=LINES, port=port, directories=CLIENT_DIRECTORIES) as running:
        install_client(running)
        yield running


def known_as(pool: Pool) -> tuple[str | None, str | None, str | None]:
    """Return how a machine with the pool password is known to the collector, and whether it may join."""
    seen = facts(pool.run(PING, env=AS_A_MACHINE).stdout)
    return seen.get("Authenticated using"), seen.get("Remote Mapping"), seen.get("Authorized")


def test_the_guides_pool_starts_and_listens_at_the_port_that_its_line_names(pool: Pool) -> None:
    assert pool.must(["condor_config_val", "SHARED_PORT_PORT"]).strip() == str(pool.port)
    listed = pool.run(["condor_status", "-any", "-af", "MyType"], user="root")
    assert {"Negotiator", "Scheduler"} <= set(listed.stdout.split())


def test_machines_with_the_guides_password_may_join_before_pool_config_and_after_it(pool: Pool) -> None:
    joins = ("PASSWORD", "condor@password", "TRUE")
    assert known_as(pool) == joins
    before = pool.must(["sha256sum", PASSWORD_FILE])
    pool.must(["annex-bootstrap", "pool-config", "--port", str(pool.port), "--user", USER])
    pool.must(["condor_reconfig"])
    assert pool.must(["sha256sum", PASSWORD_FILE]) == before
    pool.wait_until_ready()
    assert known_as(pool) == joins


def test_a_machine_of_start_may_join_the_guides_pool_only_after_pool_config(pool: Pool) -> None:
    # It has a token of its user, and the guide's lines know passwords only.
    token = f"/home/{USER}/tokens/annex"
    scopes = [part for scope in ("ADVERTISE_STARTD", "READ") for part in ("-authz", scope)]
    made = pool.must(["condor_token_create", "-identity", f"{USER}@pool.example.org", *scopes])
    pool.write(token, made)
    with_token = {
        "_CONDOR_SEC_CLIENT_AUTHENTICATION": "REQUIRED",
        "_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS": "IDTOKENS",
        "_CONDOR_SEC_TOKEN_DIRECTORY": str(PurePosixPath(token).parent),
    }

    def joins() -> bool:
        return facts(pool.run(PING, env=with_token).stdout).get("Authorized") == "TRUE"

    assert not joins()
    pool.must(["annex-bootstrap", "pool-config", "--port", str(pool.port), "--user", f"{USER}@pool.example.org"])
    pool.must(["condor_reconfig"])
    pool.wait_until_ready()
    assert joins()


def test_the_command_that_asks_for_a_password_stores_the_one_that_is_typed(pool: Pool) -> None:
    stored = pool.must(["condor_store_cred", "-c", "add"], stdin=f"{PASSWORD}\n{PASSWORD}\n")
    assert "condor_pool@" in stored
    pool.must(["install", "-o", USER, "-g", USER, "-m", "600", PASSWORD_FILE, USER_PASSWORD_FILE])
    assert known_as(pool)[0] == "PASSWORD"
