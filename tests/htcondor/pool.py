"""A throw-away HTCondor pool of one host."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.htcondor.host import Host, HostError

HOST = "pool.example.org"
USER = "scientist"
PASSWORD = "made-up-pool-password"
"""The pool password, stored where the configuration's SEC_PASSWORD_FILE says."""

USER_PASSWORD_FILE = f"/home/{USER}/.condor/pool_password"
"""A copy of the pool password that the user may read; condor_annex needs one. A user_config may name it."""

_MACHINES_CONFIG = "/etc/condor/config.d/50ec2.config"
"""Of the package condor-annex-ec2, which is in the root directory for the machines, and which no pool has."""

# Read before the file that our pool-config writes.
_CONFIG = "/etc/condor/config.d/80-test-pool.conf"
_READY_SECONDS = 60


class Pool(Host):
    """A master, collector, negotiator and schedd, and an ordinary user, as whom commands run.

    Attributes:
        port: the TCP port of the collector, or of the shared port before it.
        shared_port: whether there is a shared port.
    """

    port: int

    def __init__(
        self,
        root: Path,
        *,
        config_lines: Iterable[str] = (),
        hosts: Mapping[str, str] | None = None,
        ca_pem: str | None = None,
        shared_port: bool = True,
        port: int | None = None,
        directories: Mapping[str, Path] | None = None,
    ) -> None:
        """Describe the pool; entering it as a context manager starts it.

        Args:
            root: a root directory with HTCondor; it is only read.
            config_lines: HTCondor configuration for the whole pool, such as the guide's security settings.
            hosts: names that the pool resolves, and the address of each. It listens on its own, by default on loopback.
            ca_pem: a certificate authority that the pool's programs trust besides the public ones.
            shared_port: HTCondor's USE_SHARED_PORT.
            port: of the collector; None for one that is free.
            directories: directories of the test's machine to mount in the pool read-only, by their path there.
        """
        super().__init__(root, HOST, hosts=hosts, ca_pem=ca_pem, directories=directories)
        self._config_lines = list(config_lines)
        self.shared_port = shared_port
        self._wanted_port = port

    def run(
        self,
        argv: Sequence[str],
        *,
        user: str = USER,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        seconds: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Do what every host does, but as the pool's user."""
        return super().run(argv, user=user, env=env, stdin=stdin, seconds=seconds)

    def write(self, path: str, text: str, *, user: str = USER) -> None:
        """Do what every host does, but as the pool's user."""
        super().write(path, text, user=user)

    def _start(self) -> None:
        address = self.hosts[HOST]
        self.port = self._wanted_port or _free_port(address)
        own = [
            f"CONDOR_HOST = {address}",
            f"COLLECTOR_HOST = {address}:{self.port}",
            f"SHARED_PORT_PORT = {self.port}",
            f"USE_SHARED_PORT = {self.shared_port}",
            f"NETWORK_INTERFACE = {address}",
            "BIND_ALL_INTERFACES = False",
            "ENABLE_IPV6 = False",
            # Or the master, being root, changes the machine's own kernel settings.
            "ENABLE_KERNEL_TUNING = False",
            "DAEMON_LIST = MASTER COLLECTOR NEGOTIATOR SCHEDD",
            # By default a job waits for up to a minute.
            "NEGOTIATOR_INTERVAL = 5",
            "NEGOTIATOR_CYCLE_DELAY = 5",
        ]
        self.must(["rm", _MACHINES_CONFIG])
        self.write(_CONFIG, "\n".join([*own, *self._config_lines, ""]), user="root")
        self.must(["useradd", "--create-home", USER])
        stored = self.must(["condor_config_val", "SEC_PASSWORD_FILE"]).strip()
        self.must(["mkdir", "-p", "-m", "700", str(Path(stored).parent)])
        # Without -f it asks a running master, which may itself need the password.
        self.must(["condor_store_cred", "add", "-c", "-p", PASSWORD, "-f", stored])
        self.must(["install", "-d", "-o", USER, "-g", USER, "-m", "700", str(Path(USER_PASSWORD_FILE).parent)])
        self.must(["install", "-o", USER, "-g", USER, "-m", "600", stored, USER_PASSWORD_FILE])
        self.must(["condor_master"])
        self.wait_until_ready()

    def wait_until_ready(
        self, env: Mapping[str, str] | None = None, daemons: Iterable[str] = ("Negotiator", "Scheduler")
    ) -> None:
        """Wait until the collector knows the pool's other daemons.

        Args:
            env: variables that name another collector to ask.
            daemons: the types of the ads to wait for.

        Raises:
            HostError: that takes too long.
        """
        end = time.monotonic() + _READY_SECONDS
        while time.monotonic() < end:
            known = self.run(["condor_status", "-any", "-af", "MyType"], user="root", env=env)
            if set(daemons) <= set(known.stdout.split()):
                return
            time.sleep(0.1)
        logs = self.run(["sh", "-c", "tail -n 20 /var/log/condor/*Log"], user="root").stdout
        raise HostError(
            f"negotiator and schedd did not join the pool within {_READY_SECONDS} s: {known.stderr}\n{logs}"
        )


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port
