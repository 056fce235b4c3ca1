"""A throw-away HTCondor pool of one machine, on a root directory from ``root.py``.

The pool lives in namespaces of its own (mounts, processes, host name), over a copy-on-write layer in memory.
When its first process ends, the kernel ends all others and drops every mount; and that process ends with the
test, however the test ends, because it reads a pipe from it. The network is the machine's, so that the pool
reaches local servers; the pool itself listens on 127.0.0.1 only.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

HOST = "pool.example.org"
USER = "scientist"
PASSWORD = "made-up-pool-password"
"""The pool password, stored where the configuration's SEC_PASSWORD_FILE says."""

USER_PASSWORD_FILE = f"/home/{USER}/.condor/pool_password"
"""A copy of the pool password that the user may read; condor_annex needs one. A user_config may name it."""

_CONFIG = "/etc/condor/config.d/90-test-pool.conf"
_CA = "/usr/local/share/ca-certificates/test-ca.crt"
_READY_SECONDS = 60

# /proc is still the machine's here, so /proc/self/stat begins with this shell's PID as the machine knows it.
# It is told only from inside the new root: a command that enters earlier would work on the machine's files.
# The layer goes over the root's /mnt, which nobody outside sees.
_FIRST_PROCESS = """
set -eu
root=$1 layer=$1/mnt host=$2
read -r pid rest < /proc/self/stat
mount -t tmpfs tmpfs "$layer"
mkdir "$layer/upper" "$layer/work" "$layer/root"
mount -t overlay overlay -o "lowerdir=$root,upperdir=$layer/upper,workdir=$layer/work" "$layer/root"
mount -t proc proc "$layer/root/proc"
mount --rbind /dev "$layer/root/dev"
hostname "$host"
exec chroot "$layer/root" sh -c 'echo "$1"; exec cat' sh "$pid"
"""


class PoolError(Exception):
    """The pool did not start; the text has what it said."""


class Pool:
    """A master, collector, negotiator and schedd, and an ordinary user to run commands as.

    Attributes:
        port: the TCP port on 127.0.0.1 of the collector, or of the shared port before it.
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
    ) -> None:
        """Describes the pool; entering it as a context manager starts it.

        Args:
            root: a root directory with HTCondor; it is only read.
            config_lines: HTCondor configuration for the whole pool, such as the guide's security settings.
            hosts: names that the pool resolves, and the address of each.
            ca_pem: a certificate authority that the pool's programs trust besides the public ones.
            shared_port: HTCondor's USE_SHARED_PORT.
        """
        self._root = root
        self._config_lines = list(config_lines)
        self._hosts = dict(hosts or {})
        self._ca_pem = ca_pem
        self.shared_port = shared_port
        self._pid = 0
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        """Starts the pool, and returns when its collector knows the schedd.

        Raises:
            PoolError: it did not come up.
        """
        with ExitStack() as exits:
            self._isolate(exits)
            self._write_files()
            self._start_daemons()
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends every process of the pool and drops all that it wrote."""
        self._exits.close()
        self._pid = 0

    def run(
        self,
        argv: Sequence[str],
        *,
        user: str = USER,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        seconds: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command inside the pool, in the user's home and with a clean environment.

        Args:
            argv: the command; no shell is involved.
            user: ``USER`` or ``root``.
            env: more environment variables.
            stdin: what the command reads.
            seconds: after this time the command is given up.

        Returns:
            What it did. The exit code is not checked: condor_annex's says little.

        Raises:
            subprocess.TimeoutExpired: the command took too long.
        """
        home = "/root" if user == "root" else f"/home/{user}"
        enter = ["nsenter", "--target", str(self._pid), "--mount", "--uts", "--pid", "--root"]
        become = ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "env", "--chdir", home]
        environment = {
            "PATH": "/usr/sbin:/usr/bin",
            "LANG": "C.UTF-8",
            "HOME": home,
            "USER": user,
            **(env or {}),
        }
        return subprocess.run(
            [*enter, *become, *argv],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def write(self, path: str, text: str, *, user: str = USER) -> None:
        """Writes a file inside the pool, as a user, making its directory where that is missing.

        Args:
            path: an absolute path inside the pool.
            text: the whole content.
            user: the owner. An ordinary user's file is closed to all others, as condor_annex wants of keys.

        Raises:
            PoolError: the user may not write there.
        """
        umask = "022" if user == "root" else "077"
        save = 'umask "$1" && mkdir -p "${2%/*}" && cat > "$2"'
        self._must(["sh", "-c", save, "sh", umask, path], user=user, stdin=text)

    def read(self, path: str) -> str:
        """Returns the text of a file inside the pool.

        Raises:
            PoolError: there is no such file.
        """
        return self._must(["cat", path])

    def _isolate(self, exits: ExitStack) -> None:
        unshare = ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child"]
        first = subprocess.Popen(
            [*unshare, "sh", "-c", _FIRST_PROCESS, "sh", str(self._root), HOST],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        # Leaving closes its standard input, which ends it and with it the namespaces, and waits for that.
        exits.enter_context(first)
        assert first.stdout is not None
        assert first.stderr is not None
        pid = first.stdout.readline()
        if not pid:
            raise PoolError(f"no namespaces for the pool: {first.stderr.read().strip()}")
        self._pid = int(pid)

    def _write_files(self) -> None:
        addresses = {"localhost": "127.0.0.1", HOST: "127.0.0.1", **self._hosts}
        lines = [f"{address} {name}\n" for name, address in addresses.items()]
        self.write("/etc/hosts", "".join(lines), user="root")
        self.port = _free_port()
        own = [
            "CONDOR_HOST = 127.0.0.1",
            f"COLLECTOR_HOST = 127.0.0.1:{self.port}",
            f"SHARED_PORT_PORT = {self.port}",
            f"USE_SHARED_PORT = {self.shared_port}",
            "NETWORK_INTERFACE = 127.0.0.1",
            "BIND_ALL_INTERFACES = False",
            "ENABLE_IPV6 = False",
            # Or the master, being root, changes the machine's own kernel settings.
            "ENABLE_KERNEL_TUNING = False",
            "DAEMON_LIST = MASTER COLLECTOR NEGOTIATOR SCHEDD",
        ]
        self.write(_CONFIG, "\n".join([*own, *self._config_lines, ""]), user="root")
        self._must(["useradd", "--create-home", USER])
        if self._ca_pem is not None:
            self.write(_CA, self._ca_pem, user="root")
            self._must(["update-ca-certificates"])

    def _start_daemons(self) -> None:
        stored = self._must(["condor_config_val", "SEC_PASSWORD_FILE"]).strip()
        self._must(["mkdir", "-p", "-m", "700", str(Path(stored).parent)])
        # Without -f it asks a running master, which in turn may need the password to talk to.
        self._must(["condor_store_cred", "add", "-c", "-p", PASSWORD, "-f", stored])
        self._must(["install", "-d", "-o", USER, "-g", USER, "-m", "700", str(Path(USER_PASSWORD_FILE).parent)])
        self._must(["install", "-o", USER, "-g", USER, "-m", "600", stored, USER_PASSWORD_FILE])
        self._must(["condor_master"])
        end = time.monotonic() + _READY_SECONDS
        while time.monotonic() < end:
            known = self.run(["condor_status", "-schedd", "-af", "Name"], user="root")
            if known.stdout.strip():
                return
            time.sleep(0.1)
        logs = self.run(["sh", "-c", "tail -n 20 /var/log/condor/*Log"], user="root").stdout
        raise PoolError(f"the schedd did not join the pool within {_READY_SECONDS} s: {known.stderr}\n{logs}")

    def _must(self, argv: list[str], *, user: str = "root", stdin: str = "") -> str:
        ended = self.run(argv, user=user, stdin=stdin)
        if ended.returncode:
            raise PoolError(f"{' '.join(argv)} failed: {ended.stdout}{ended.stderr}")
        return ended.stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
