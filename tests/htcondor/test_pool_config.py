"""The lines of ``annex-bootstrap pool-config`` in a real pool."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from annex_bootstrap.pool import pool_config
from annex_bootstrap.pool.htcondor import FIRST_HTCONDOR_ANNEX
from tests.htcondor.host import Host
from tests.htcondor.laboratory import BIOLOGIST, CHEMIST, WITH_A_CERTIFICATE, WITH_A_SCITOKEN, laboratory
from tests.htcondor.pool import USER, USER_PASSWORD_FILE, Pool
from tests.htcondor.root import version
from tests.htcondor.testbed import CLIENT_DIRECTORIES, install_client

# As an annex's machine does: over the network, with nothing but the password.
AS_A_MACHINE = {
    "_CONDOR_SEC_CLIENT_AUTHENTICATION": "REQUIRED",
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
    lines = ["ALLOW_DAEMON =", f"COLLECTOR_HOST = $(CONDOR_HOST):{port}", *pool_config.render(wanted).splitlines()]
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


def test_a_laboratorys_pool_keeps_its_methods_and_needs_no_restart(htcondor_root: Path) -> None:
    with laboratory(htcondor_root) as pool:

        def known_as(who: dict[str, str], what: str = "WRITE") -> tuple[str | None, str | None]:
            pinged = pool.run(["condor_ping", "-type", "COLLECTOR", "-verbose", what], env=who)
            found = facts(pinged.stdout)
            return found.get("Authenticated using"), found.get("Remote Mapping")

        users = (WITH_A_CERTIFICATE, WITH_A_SCITOKEN)
        before = [known_as(user) for user in users]
        assert before == [("SSL", CHEMIST), ("SCITOKENS", BIOLOGIST)]
        daemons = pool.must(["pidof", "condor_schedd", "condor_negotiator", "condor_shared_port"])
        command = ["annex-bootstrap", "pool-config", "--port", str(pool.port)]
        printed = pool.must([*command, "--print"])
        changed = "# SEC_CLIENT_AUTHENTICATION_METHODS: (not set) -> FS, SSL, SCITOKENS, IDTOKENS, PASSWORD\n"
        assert changed in printed
        said = pool.must(command)
        assert "Next: condor_reconfig" in said
        pool.must(["condor_reconfig"])
        stored = "/etc/condor/annex_pool_password"
        pool.must(["install", "-o", USER, "-m", "600", stored, USER_PASSWORD_FILE])
        end = time.monotonic() + 30
        a_machine = ("PASSWORD", "condor@password")
        while known_as(AS_A_MACHINE, "ADVERTISE_STARTD") != a_machine and time.monotonic() < end:
            time.sleep(0.2)
        # Since 24.11 a machine also looks up the schedd.
        assert [known_as(AS_A_MACHINE, what) for what in ("ADVERTISE_STARTD", "READ")] == [a_machine, a_machine]
        assert [known_as(user) for user in users] == before
        assert pool.must(["pidof", "condor_schedd", "condor_negotiator", "condor_shared_port"]) == daemons
        # A second run sees the pool's own methods, and not those that it has added itself.
        assert pool.must([*command, "--print"]) == "".join(
            line for line in printed.splitlines(keepends=True) if " -> " not in line
        )


def test_lines_of_other_files_that_are_in_the_way_are_reported(htcondor_root: Path) -> None:
    daemon_list = "MASTER COLLECTOR NEGOTIATOR SCHEDD"
    if version(htcondor_root) < FIRST_HTCONDOR_ANNEX:
        pytest.skip("This HTCondor needs no second collector.")
    with Pool(htcondor_root, directories=CLIENT_DIRECTORIES) as pool:
        install_client(pool)
        pool.write("/etc/condor/config.d/99-own.conf", f"DAEMON_LIST = {daemon_list}\n", user="root")
        pool.write("/etc/condor/config.d/50-own.conf", "TCP_FORWARDING_HOST = $(NOWHERE)\n", user="root")
        ended = pool.run(["annex-bootstrap", "pool-config", "--port", str(pool.port)], user="root")
    assert f"/etc/condor/config.d/99-own.conf, line 1 sets DAEMON_LIST to {daemon_list}, without" in ended.stderr
    assert "/etc/condor/config.d/50-own.conf, line 1 defines TCP_FORWARDING_HOST with no value" in ended.stderr


CONFIG_DIRECTORY = "/etc/condor/config.d"
OURS = f"{CONFIG_DIRECTORY}/90-annex-pool.config"
COMMAND = ["annex-bootstrap", "pool-config", "--user", USER]
THEIRS = """\
CONDOR_HOST = cm.example.org
UID_DOMAIN = example.org
DAEMON_LIST = MASTER COLLECTOR NEGOTIATOR SCHEDD
SECURE = $(ALLOW_ADVERTISE_STARTD)
ALLOW_ADVERTISE_STARTD = condor@example.org
"""


@pytest.fixture(scope="module")
def host(htcondor_root: Path) -> Iterator[Host]:
    """A host whose HTCondor does not run: what it would read is known without."""
    with Host(htcondor_root, "cm.example.org", directories=CLIENT_DIRECTORIES) as host:
        install_client(host)
        host.must(["rm", f"{CONFIG_DIRECTORY}/50ec2.config"])
        host.write(f"{CONFIG_DIRECTORY}/50-theirs.config", THEIRS.replace("SECURE", "#"))
        yield host


@pytest.mark.parametrize(
    ("path", "text", "says"),
    [
        ("99", "ALLOW_ADVERTISE_STARTD = x@y", f"sets ALLOW_ADVERTISE_STARTD to x@y, without {USER}@example.org"),
        ("99", "COLLECTOR.ALLOW_ADVERTISE_STARTD = x@y", "sets COLLECTOR.ALLOW_ADVERTISE_STARTD to x@y, without"),
        ("99", "ALLOW_ADVERTISE_STARTD_COLLECTOR = x@y", "sets ALLOW_ADVERTISE_STARTD_COLLECTOR to x@y, without"),
        ("00", f"DENY_ADVERTISE_STARTD = {USER}@*", f"which refuses {USER}@example.org"),
        ("99", "SEC_DAEMON_AUTHENTICATION_METHODS = FS", "to FS, without IDTOKENS, which machines need"),
        ("99", "SEC_ADVERTISE_STARTD_AUTHENTICATION_METHODS = FS", "to FS, without IDTOKENS, which machines need"),
        ("99", "SEC_DAEMON_AUTHENTICATION = NEVER", "but machines need it (COLLECTOR, ADVERTISE_STARTD)"),
        ("99", "USE_SHARED_PORT = False", "sets USE_SHARED_PORT to False"),
    ],
)
def test_what_keeps_machines_out_is_named_with_its_line(host: Host, path: str, text: str, says: str) -> None:
    file = f"{CONFIG_DIRECTORY}/{path}-later.config"
    host.write(file, f"{text}\n")
    try:
        ended = host.run([*COMMAND, "--print"])
    finally:
        host.must(["rm", file])
    assert ended.returncode == 1, ended
    assert f"warning: {file}, line 1 " in ended.stderr
    assert says in ended.stderr


@pytest.mark.parametrize(
    ("file", "text", "arguments", "says"),
    [
        ("99.config", "if foo bar\nendif", [], "HTCondor cannot read this configuration: Configuration Error Line 1"),
        ("99.config", "MINE = $(ALLOW_ADVERTISE_STARTD)", [], "the block would also change MINE: MINE from"),
        ("99.config", "TRUST_DOMAIN = $(COLLECTOR_HOST)", ["--port", "9700"], "would also change TRUST_DOMAIN"),
        ("99.config", "LOCAL_CONFIG_DIR = /etc/condor/other", [], "cannot be computed here: a copy"),
    ],
)
def test_where_something_else_would_change_or_nobody_knows_nothing_is_written(
    host: Host, file: str, text: str, arguments: list[str], says: str
) -> None:
    host.write(f"{CONFIG_DIRECTORY}/{file}", f"{text}\n")
    host.must(["mkdir", "-p", "/etc/condor/other"])
    host.write("/etc/condor/other/x.config", "OTHER = 1\n")
    try:
        ended = host.run([*COMMAND, *arguments])
    finally:
        host.must(["rm", f"{CONFIG_DIRECTORY}/{file}"])
    assert ended.returncode == 1, ended
    assert says in ended.stderr
    assert host.run(["ls", OURS]).returncode != 0


def test_files_named_relative_to_the_first_one_are_read(host: Host) -> None:
    host.write("/etc/condor/theirs", "SEC_ADVERTISE_MASTER_AUTHENTICATION_METHODS = SSL\n")
    host.write(f"{CONFIG_DIRECTORY}/60.config", "include : $(CONFIG_ROOT)/theirs\n")
    try:
        printed = host.must([*COMMAND, "--print"])
    finally:
        host.must(["rm", f"{CONFIG_DIRECTORY}/60.config"])
    assert "\nSEC_ADVERTISE_MASTER_AUTHENTICATION_METHODS = SSL, IDTOKENS, FS, PASSWORD\n" in printed


def test_a_configuration_that_a_program_prints_goes_into_no_file_named_after_it(host: Host) -> None:
    directory = host.must(["condor_config_val", "LOCAL_CONFIG_DIR"]).strip()
    host.write("/root/first", "LOCAL_CONFIG_FILE = /bin/echo P = 1 |\nLOCAL_CONFIG_DIR =\n")
    ended = host.run(COMMAND, env={"CONDOR_CONFIG": "/root/first"})
    assert ended.returncode == 1
    assert "HTCondor here gets its configuration from a program, /bin/echo P = 1: give --config" in ended.stderr
    assert CONFIG_DIRECTORY in directory


def test_the_last_version_is_where_htcondor_does_not_read_it(host: Host) -> None:
    old = f"{OURS}.annex-bootstrap-backup"
    before = host.must(["sh", "-c", f"sha256sum {CONFIG_DIRECTORY}/*"])

    def allowed() -> list[str]:
        return [user for user in ("mallory", "ann", "bob") if f"{user}@" in host.must(["condor_config_val", "SEEN"])]

    host.write(f"{CONFIG_DIRECTORY}/99-seen.config", "SEEN = $(ALLOW_ADVERTISE_MASTER)\n")
    host.write(old, "ALLOW_ADVERTISE_MASTER = mallory@$(UID_DOMAIN)\n")
    assert allowed() == ["mallory"]
    host.must(["rm", f"{CONFIG_DIRECTORY}/99-seen.config"])
    for user in ("ann", "bob"):
        assert (
            "mallory"
            not in host.must(["annex-bootstrap", "pool-config", "--user", user, "--print"]).split("# ALLOW")[0]
        )
        host.must(["annex-bootstrap", "pool-config", "--user", user])
        value = host.must(["condor_config_val", "ALLOW_ADVERTISE_MASTER"])
        assert f"{user}@example.org" in value
        assert ("mallory" in value, "ann@" in value) == (False, user == "ann")
    assert host.run(["ls", old]).returncode != 0
    host.must(["annex-bootstrap", "pool-config", "--remove"])
    assert host.must(["sh", "-c", f"sha256sum {CONFIG_DIRECTORY}/*"]) == before
    assert host.must(["ls", "-A", CONFIG_DIRECTORY]).split() == [
        line.rpartition("/")[2] for line in before.splitlines()
    ]
