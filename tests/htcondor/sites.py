"""Pools of several hosts, each with its own keys and domain, as laboratories have them before there are annexes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.htcondor.host import Host
from tests.htcondor.network import Network
from tests.htcondor.testbed import CLIENT_DIRECTORIES, install_client

DOMAIN = "laboratory.example.org"
PATIENCE = 60.0
CONFIG = "/etc/condor/config.d/80-laboratory.config"
USER = "alice"
MACHINE_ADDRESS = "203.0.113.7"

DEBIANS_SECURITY = ("/etc/condor/config.d/00-htcondor-9.0.config", "/etc/condor/config.d/00-security")
_MACHINES_CONFIG = "/etc/condor/config.d/50ec2.config"
_TOKEN = "/root/machine/token"

AS_A_MACHINE = {
    "_CONDOR_SEC_CLIENT_AUTHENTICATION": "REQUIRED",
    "_CONDOR_SEC_CLIENT_ENCRYPTION": "REQUIRED",
    "_CONDOR_SEC_CLIENT_INTEGRITY": "REQUIRED",
    "_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS": "IDTOKENS",
    "_CONDOR_SEC_TOKEN_DIRECTORY": "/root/machine",
    "_CONDOR_SEC_TOKEN_SYSTEM_DIRECTORY": "/root/machine",
}


class Member(Host):
    """A host of a pool."""

    def configure(self, lines: Sequence[str], daemons: str, *, keep_security: bool) -> None:
        """Write the configuration that the laboratory made.

        Args:
            lines: of the whole pool.
            daemons: of this host, besides its master.
            keep_security: whether to keep the security settings of Debian's package.
        """
        own = [
            f"NETWORK_INTERFACE = {self.address}",
            "BIND_ALL_INTERFACES = False",
            "ENABLE_IPV6 = False",
            "ENABLE_KERNEL_TUNING = False",
            # The hosts share a network, on which HTCondor takes them for one.
            "SEC_USE_FAMILY_SESSION = False",
            f"DAEMON_LIST = MASTER {daemons}",
            "UPDATE_INTERVAL = 5",
            "SCHEDD_INTERVAL = 5",
            "NEGOTIATOR_INTERVAL = 5",
            "NEGOTIATOR_UPDATE_INTERVAL = 5",
            "ALLOW_ADMINISTRATOR = *",
        ]
        # Debian's package for machines makes every host a machine.
        for path in (_MACHINES_CONFIG, *(() if keep_security else DEBIANS_SECURITY)):
            self.must(["rm", "-f", path])
        self.write(CONFIG, "\n".join([*lines, *own, ""]))

    @property
    def files(self) -> str:
        """Every file of HTCondor's configuration and the pool passwords, by its checksum."""
        places = "/etc/condor/config.d /etc/condor/condor_config* /etc/condor/*pool_password*"
        find = f"find $(ls -d {places} 2>/dev/null) -type f -print0 | sort -z | xargs -0 sha256sum"
        return self.must(["sh", "-c", find])


@dataclass
class Site:
    """A pool of several hosts.

    Attributes:
        hosts: by their short names; ``worker`` has the startd.
        managers: those with a collector.
        machine: a machine of an annex, which has nothing of the pool but a token.
    """

    hosts: dict[str, Member]
    managers: Sequence[str]
    machine: Host
    told: list[str] = field(default_factory=list)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something is true."""
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                logs = [
                    f"--- {name}\n{host.run(['sh', '-c', 'tail -n 4 /var/log/condor/[CMS]*Log']).stdout}"
                    for name, host in self.hosts.items()
                ]
                raise AssertionError(f"not within {PATIENCE:.0f} s: {what}\n{''.join(logs)}")
            time.sleep(0.3)

    def ads(self, manager: str, kind: str, attribute: str) -> list[str]:
        """Return an attribute of the ads that a collector has."""
        address = f"{self.hosts[manager].address}:9618"
        return self.hosts[manager].run(["condor_status", "-pool", address, kind, "-af", attribute]).stdout.split()

    @property
    def is_whole(self) -> bool:
        """Whether every collector knows the worker and the access point."""
        return all(
            self.ads(manager, "-startd", "Machine") and self.ads(manager, "-schedd", "Name")
            for manager in self.managers
        )

    def worker_since(self, began: int) -> bool:
        """Whether every collector knows a startd that started at some time or later."""
        return all(
            any(int(at) >= began for at in self.ads(manager, "-startd", "DaemonStartTime") if at.isdigit())
            for manager in self.managers
        )

    def restart_worker(self) -> None:
        """Restart the worker, and wait until every collector knows its startd again."""
        host = self.hosts["worker"]
        host.run(["condor_off", "-master", "-fast"])
        self.wait(lambda: not host.run(["pidof", "condor_master"]).stdout.strip(), "the worker ends")
        began = int(time.time())
        host.must(["condor_master"])
        self.wait(lambda: self.worker_since(began), "the worker joins after its restart")

    def may_join(self, manager: str, domain: str) -> bool:
        """Whether a machine with a token of the user may tell a collector of itself."""
        host = self.hosts[manager]
        scopes = [part for scope in ("ADVERTISE_MASTER", "ADVERTISE_STARTD", "READ") for part in ("-authz", scope)]
        token = host.run(["condor_token_create", "-identity", f"{USER}@{domain}", "-lifetime", "600", *scopes]).stdout
        self.machine.write(_TOKEN, token)
        self.machine.must(["chmod", "600", _TOKEN])
        said = []
        for level in ("ADVERTISE_STARTD", "ADVERTISE_MASTER", "READ"):
            ping = ["condor_ping", "-pool", f"{host.address}:9618", "-type", "COLLECTOR", "-verbose", level]
            asked = self.machine.run(ping, env=AS_A_MACHINE)
            said.append(asked.stdout + asked.stderr)
        self.told = said
        return all("Authorized:                  TRUE" in text for text in said)


@contextmanager
def site(
    root: Path,
    lines: Sequence[str],
    roles: Mapping[str, str],
    prepare: Callable[[dict[str, Member]], None],
    *,
    keep_security: bool = False,
    ca_pem: str | None = None,
) -> Iterator[Site]:
    """Run a pool.

    Args:
        root: a root directory with HTCondor.
        lines: configuration of every host.
        roles: the daemons of each host, by its short name.
        prepare: puts keys and tokens on the hosts before HTCondor starts.
        keep_security: whether to keep the security settings of Debian's package.
        ca_pem: a certificate authority that all hosts trust.
    """
    addresses = {name: f"192.0.2.{10 + number}" for number, name in enumerate(roles, start=1)}
    names = {f"{name}.{DOMAIN}": address for name, address in addresses.items()}
    with ExitStack() as stack:
        hosts = {}
        for name, daemons in roles.items():
            member = Member(root, f"{name}.{DOMAIN}", hosts=names, ca_pem=ca_pem, directories=CLIENT_DIRECTORIES)
            hosts[name] = stack.enter_context(member)
            member.configure(lines, daemons, keep_security=keep_security)
            install_client(member)
        # From elsewhere, as a pool that trusts hosts sees it.
        elsewhere = Network(MACHINE_ADDRESS)
        machine = stack.enter_context(Host(root, f"machine.{DOMAIN}", hosts=names, ca_pem=ca_pem, network=elsewhere))
        machine.must(["sh", "-c", "rm -f /etc/condor/config.d/50ec2.config; mkdir -m 700 /root/machine"])
        machine.write("/etc/condor/config.d/80-machine.config", "ENABLE_IPV6 = False\n")
        prepare(hosts)
        for member in hosts.values():
            member.must(["condor_master"])
        running = Site(hosts, [name for name, daemons in roles.items() if "COLLECTOR" in daemons], machine)
        running.wait(lambda: running.is_whole, "the pool starts")
        yield running
