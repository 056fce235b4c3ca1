"""``annex-bootstrap pool-config`` in the pools that people have: nobody is lost, machines may join, all can be undone.

Every pool is looked at before, after, after ``condor_reconfig``, after its worker's restart, and after ``--remove``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import trustme

from annex_bootstrap.pool.htcondor import FIRST_HTCONDOR_ANNEX
from tests.htcondor.root import version
from tests.htcondor.sites import DOMAIN, USER, Member, Site, site

THREE = {"cm": "COLLECTOR NEGOTIATOR", "ap": "SCHEDD", "worker": "STARTD"}

PUBLIC = "pool.example.org"
"""A name that leads nowhere here: that the pool goes on shows that nothing of it uses the name."""


def write_secret(host: Member, path: str, text: str) -> None:
    host.write(path, text)
    host.must(["chmod", "600", path])


_MAKE_TOKEN = """\
from annex_bootstrap.errors import UserError
from annex_bootstrap.pool.tokens import make_token
import sys
try:
    print(make_token(sys.argv[1], 60, 3600, [sys.argv[2]], own=False))
except UserError as error:
    sys.exit(str(error))
"""


def token_for(host: Member, identity: str, collector: Member) -> str:
    """Return what `start` gets as a token for its machines, or why it gets none."""
    script = 'eval "$(grep ^export /usr/bin/annex-bootstrap)"; exec python3 -c "$@"'
    asked = host.run(["sh", "-c", script, "sh", _MAKE_TOKEN, identity, f"{collector.address}:9618"])
    return asked.stdout if asked.returncode == 0 else asked.stderr


def live(
    running: Site,
    commands: Mapping[str, Sequence[str]],
    domain: str,
    while_configured: Callable[[Site], None] | None = None,
    *,
    takes_tokens: bool = False,
) -> None:
    """Take a pool through its life with pool-config.

    Args:
        running: the pool.
        commands: the arguments of pool-config by host; none for the others.
        domain: of the user's token.
        while_configured: looks at the pool while it has the block.
        takes_tokens: whether a token of the pool's key lets a machine join also without the block.
    """
    before = {name: host.files for name, host in running.hosts.items()}
    joined = [running.may_join(manager, domain) for manager in running.managers]
    assert joined == [takes_tokens] * len(joined), running.told
    for name, arguments in commands.items():
        command = ["annex-bootstrap", "pool-config", "--user", USER, *arguments]
        printed = running.hosts[name].must([*command, "--print"])
        assert running.hosts[name].files == before[name]
        done = running.hosts[name].run(command)
        assert done.returncode == 0, printed + done.stdout + done.stderr
        assert "Next: condor_reconfig" in done.stdout, done.stdout
    assert running.is_whole
    for name in commands:
        running.hosts[name].must(["condor_reconfig"])
    for manager in running.managers:
        running.wait(lambda manager=manager: running.may_join(manager, domain), f"{manager} lets a machine join")  # type: ignore[misc]  # a lambda's default
    running.restart_worker()
    assert running.is_whole
    if while_configured is not None:
        while_configured(running)
    for name in commands:
        again = running.hosts[name].run(["annex-bootstrap", "pool-config", *commands[name]])
        assert again.returncode == 0, again
        assert "already lets annexes join" in again.stdout, again
        if name in running.managers:
            assert f"The running collector lets machines of {USER} join." in again.stdout, again
    for name in commands:
        removed = running.hosts[name].run(["annex-bootstrap", "pool-config", "--remove"])
        assert removed.returncode == 0, removed
        running.hosts[name].must(["condor_reconfig"])
    assert {name: host.files for name, host in running.hosts.items()} == before
    for manager in running.managers:
        running.wait(lambda manager=manager: running.may_join(manager, domain) is takes_tokens, f"{manager} as before")  # type: ignore[misc]  # a lambda's default
    running.restart_worker()
    assert running.is_whole


def tokens_are_asked_for(running: Site) -> None:
    """The access point has a key and a domain of its own, and the central manager allows one user."""
    cm, ap = running.hosts["cm"], running.hosts["ap"]
    assert token_for(cm, f"{USER}@cm.{DOMAIN}", cm).count(".") == 2
    refused = token_for(ap, f"{USER}@cm.{DOMAIN}", cm)
    assert "its key POOL is another one than this machine's" in refused, refused
    refused = token_for(cm, f"{USER}@ap.{DOMAIN}", cm)
    assert f"on the central manager run annex-bootstrap pool-config --user {USER}@ap.{DOMAIN}" in refused, refused


def test_a_pool_of_get_htcondor_keeps_its_workers_when_the_collector_has_a_public_name(htcondor_root: Path) -> None:
    manager = f"cm.{DOMAIN}"
    lines = [
        f"CONDOR_HOST = {manager}",
        "use security:get_htcondor_idtokens",
        "UID_DOMAIN = $(FULL_HOSTNAME)",
    ]

    def prepare(hosts: dict[str, Member]) -> None:
        for host in hosts.values():
            # Each its own key, as HTCondor makes one where there is a collector.
            host.must(["mkdir", "-p", "-m", "700", "/etc/condor/passwords.d", "/etc/condor/tokens.d"])
            write_secret(host, "/etc/condor/passwords.d/POOL", os.urandom(24).hex())
        for host in hosts.values():
            token = hosts["cm"].must(["condor_token_create", "-identity", f"condor@{manager}"])
            write_secret(host, "/etc/condor/tokens.d/pool", token)

    with site(htcondor_root, lines, THREE, prepare) as running:
        live(running, {"cm": ["--collector", PUBLIC], "ap": ["--collector", PUBLIC]}, manager, tokens_are_asked_for)


def test_a_pool_with_certificates_keeps_its_methods(htcondor_root: Path) -> None:
    ca = trustme.CA()
    certificates = "/etc/condor/certificates"
    lines = [
        f"CONDOR_HOST = cm.{DOMAIN}",
        f"UID_DOMAIN = {DOMAIN}",
        "SEC_DEFAULT_AUTHENTICATION = REQUIRED",
        "SEC_DEFAULT_ENCRYPTION = REQUIRED",
        "SEC_DEFAULT_AUTHENTICATION_METHODS = SSL",
        f"AUTH_SSL_SERVER_CERTFILE = {certificates}/host.pem",
        f"AUTH_SSL_SERVER_KEYFILE = {certificates}/host.key",
        f"AUTH_SSL_CLIENT_CERTFILE = {certificates}/host.pem",
        f"AUTH_SSL_CLIENT_KEYFILE = {certificates}/host.key",
        *(f"AUTH_SSL_{side}_CAFILE = {certificates}/ca.pem" for side in ("SERVER", "CLIENT")),
        "AUTH_SSL_REQUIRE_CLIENT_CERTIFICATE = True",
        "SSL_SKIP_HOST_CHECK = True",
        f"CERTIFICATE_MAPFILE = {certificates}/map",
        "ALLOW_READ = *",
        f"ALLOW_WRITE = *@{DOMAIN}",
        f"ALLOW_DAEMON = host@{DOMAIN}",
        f"ALLOW_NEGOTIATOR = host@{DOMAIN}",
    ]

    def prepare(hosts: dict[str, Member]) -> None:
        for name, host in hosts.items():
            made = ca.issue_cert(f"{name}.{DOMAIN}")
            host.write(f"{certificates}/ca.pem", ca.cert_pem.bytes().decode())
            host.write(f"{certificates}/host.pem", made.cert_chain_pems[0].bytes().decode())
            write_secret(host, f"{certificates}/host.key", made.private_key_pem.bytes().decode())
            host.write(f"{certificates}/map", f"SSL /.*/ host@{DOMAIN}\n")

    with site(htcondor_root, lines, THREE, prepare) as running:
        live(running, {"cm": [], "ap": []}, DOMAIN)


def test_a_pool_that_uses_a_password_keeps_it(htcondor_root: Path) -> None:
    stored = "/etc/condor/pool_password"
    lines = [
        f"CONDOR_HOST = cm.{DOMAIN}",
        f"UID_DOMAIN = {DOMAIN}",
        f"SEC_PASSWORD_FILE = {stored}",
        "SEC_DEFAULT_AUTHENTICATION = REQUIRED",
        "SEC_DEFAULT_AUTHENTICATION_METHODS = PASSWORD, FS",
        "ALLOW_READ = *",
        f"ALLOW_WRITE = *@{DOMAIN} condor@password condor_pool@*",
        "ALLOW_DAEMON = condor@password condor_pool@* condor@*",
        "ALLOW_NEGOTIATOR = condor@password condor_pool@* condor@*",
    ]

    def prepare(hosts: dict[str, Member]) -> None:
        for host in hosts.values():
            host.must(["condor_store_cred", "add", "-c", "-p", "made-up-pool-password", "-f", stored])

    with site(htcondor_root, lines, THREE, prepare) as running:
        live(running, {"cm": [], "ap": []}, DOMAIN)


def test_a_pool_that_trusts_hosts_does_not_ask_its_workers_for_more(htcondor_root: Path) -> None:
    lines = [
        f"CONDOR_HOST = cm.{DOMAIN}",
        f"UID_DOMAIN = {DOMAIN}",
        "use security:host_based",
        # The addresses of the laboratory, and not that of a machine.
        *(f"ALLOW_{level} = 192.0.2.11 192.0.2.12 192.0.2.13" for level in ("READ", "WRITE", "DAEMON", "NEGOTIATOR")),
    ]
    with site(htcondor_root, lines, THREE, lambda _hosts: None) as running:
        # Where ALLOW has addresses only, older versions let in from everywhere who holds a token of the pool's key.
        live(running, {"cm": [], "ap": []}, DOMAIN, takes_tokens=version(htcondor_root) < FIRST_HTCONDOR_ANNEX)


TWO = {"cm1": "COLLECTOR NEGOTIATOR", "cm2": "COLLECTOR", "ap": "SCHEDD", "worker": "STARTD"}


def two_managers(hosts: dict[str, Member]) -> None:
    key = os.urandom(24).hex()
    for host in hosts.values():
        host.must(["mkdir", "-p", "-m", "700", "/etc/condor/passwords.d", "/etc/condor/tokens.d"])
    for name in ("cm1", "cm2"):
        write_secret(hosts[name], "/etc/condor/passwords.d/POOL", key)
    for host in hosts.values():
        token = hosts["cm1"].must(["condor_token_create", "-identity", f"condor@{DOMAIN}"])
        write_secret(host, "/etc/condor/tokens.d/pool", token)


TWO_MANAGERS = [
    "CONDOR_HOST =",
    f"COLLECTOR_HOST = cm1.{DOMAIN}:9618, cm2.{DOMAIN}:9618",
    f"UID_DOMAIN = {DOMAIN}",
    "use security:strong",
    "SEC_DEFAULT_AUTHENTICATION_METHODS = IDTOKENS, FS",
    f"TRUST_DOMAIN = {DOMAIN}",
    "ALLOW_READ = *",
    *(f"ALLOW_{level} = condor@{DOMAIN} root@{DOMAIN}" for level in ("WRITE", "DAEMON", "NEGOTIATOR")),
]


def test_a_pool_with_two_central_managers_lets_machines_join_both(htcondor_root: Path) -> None:
    with site(htcondor_root, TWO_MANAGERS, TWO, two_managers) as running:
        live(running, {"cm1": [], "cm2": [], "ap": []}, DOMAIN)
        moved = running.hosts["cm1"].must(["annex-bootstrap", "pool-config", "--port", "9619", "--print"])
        assert f"\nCOLLECTOR_HOST = cm1.{DOMAIN}:9619, cm2.{DOMAIN}:9619\n" in moved
