"""A stand-in for a computer: a root directory from ``root.py``, run as a separate system.

It lives in namespaces of its own (mounts, processes, host name), over a copy-on-write layer in memory.
When its first process ends, the kernel ends all others and drops every mount; and that process ends with the
test, however the test ends, because it reads a pipe from it. The network is that of the test, or one of its own.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.htcondor.network import Network

_CA = "/usr/local/share/ca-certificates/test-ca.crt"

# /proc is still the test's here, so /proc/self/stat begins with this shell's PID as the test knows it.
# It is printed only from inside the new root: a command that enters earlier would work on the test's files.
# The layer goes over the root's /mnt, which nobody outside sees.
# Its /dev has the devices of every container and no other: HTCondor 25's boot script formats /dev/nvme1n1 where there
# is one. Neither there nor on the layer does the kernel open a device that somebody makes.
ENTER_ROOT = """
set -eu
root=$1 layer=$1/mnt host=$2 kept=$3
shift 3
read -r pid rest < /proc/self/stat
mount -t tmpfs -o nodev tmpfs "$layer"
mkdir "$layer/upper" "$layer/work" "$layer/root"
if [ "$kept" = yes ]; then
    mount --bind "$root" "$layer/root"
    mount -o remount,bind,nodev "$layer/root"
else
    mount -t overlay overlay -o "nodev,lowerdir=$root,upperdir=$layer/upper,workdir=$layer/work" "$layer/root"
fi
mount -t proc proc "$layer/root/proc"
dev=$layer/root/dev
mount -t tmpfs -o nodev,mode=755 tmpfs "$dev"
for name in null zero full random urandom tty; do
    touch "$dev/$name"
    mount --bind "/dev/$name" "$dev/$name"
done
mkdir "$dev/shm" "$dev/pts"
chmod 1777 "$dev/shm"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$dev/pts"
ln -s pts/ptmx "$dev/ptmx"
ln -s /proc/self/fd "$dev/fd"
while [ $# -gt 0 ]; do
    mkdir -p "$layer/root$1"
    mount --bind -o ro "$2" "$layer/root$1"
    shift 2
done
hostname "$host"
"""
"""The shell that makes a host of its arguments: root directory, host name, whether the root directory keeps what is
written, and pairs of a path and the directory to mount there."""

_FIRST_PROCESS = f"""{ENTER_ROOT}
exec chroot "$layer/root" sh -c 'echo "$1"; exec cat' sh "$pid"
"""


class HostError(Exception):
    """The host or something on it did not start; the text has what it printed."""


class Host:
    """One system; entering it as a context manager starts it, with no process but its first.

    Attributes:
        hosts: the names that it resolves, and the address of each.
    """

    def __init__(
        self,
        root: Path,
        name: str,
        *,
        hosts: Mapping[str, str] | None = None,
        ca_pem: str | None = None,
        directories: Mapping[str, Path] | None = None,
        network: Network | None = None,
    ) -> None:
        """Describe the host.

        Args:
            root: a root directory; it is only read.
            name: its host name.
            hosts: names that it resolves, and the address of each.
            ca_pem: a certificate authority that its programs trust besides the public ones.
            directories: directories of the test's machine to mount on it read-only, by their path there.
            network: its own, which needs ``ip`` and ``nft`` in the root directory; None for that of the test.
        """
        self._root = root
        self._name = name
        self.hosts = {"localhost": "127.0.0.1", name: "127.0.0.1", **(hosts or {})}
        self._ca_pem = ca_pem
        self._directories = dict(directories or {})
        self._network = network
        self._pid = 0
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        """Start the host.

        Raises:
            HostError: it did not start.
        """
        with ExitStack() as exits:
            self._isolate(exits)
            if self._network is not None:
                exits.enter_context(self._network.connected(self._root, self._pid))
            self.resolve({})
            if self._ca_pem is not None:
                self.write(_CA, self._ca_pem, user="root")
                self.must(["update-ca-certificates"])
            self._start()
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every process of the host and discard everything it wrote."""
        self._exits.close()
        self._pid = 0

    def _start(self) -> None:
        """Start the daemons of this kind of host."""

    def resolve(self, hosts: Mapping[str, str]) -> None:
        """Let the host resolve more names.

        Args:
            hosts: each name and its address.
        """
        self.hosts |= hosts
        lines = [f"{address} {name}\n" for name, address in self.hosts.items()]
        self.write("/etc/hosts", "".join(lines), user="root")

    def run(
        self,
        argv: Sequence[str],
        *,
        user: str = "root",
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        seconds: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command on the host, in the user's home and with a clean environment.

        Args:
            argv: the command; no shell is involved.
            user: a user of the host.
            env: more environment variables.
            stdin: what the command reads.
            seconds: after this time the command is given up.

        Returns:
            What it did. The exit code is not checked: condor_annex's says little.

        Raises:
            subprocess.TimeoutExpired: the command took too long.
        """
        home = "/root" if user == "root" else f"/home/{user}"
        enter = ["nsenter", "--target", str(self._pid), "--mount", "--uts", "--pid", "--net", "--root"]
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

    def must(self, argv: Sequence[str], *, user: str = "root", stdin: str = "") -> str:
        """Run a command that must succeed.

        Returns:
            Its standard output.

        Raises:
            HostError: it failed.
        """
        ended = self.run(argv, user=user, stdin=stdin)
        if ended.returncode:
            raise HostError(f"{' '.join(argv)} failed: {ended.stdout}{ended.stderr}")
        return ended.stdout

    def write(self, path: str, text: str, *, user: str = "root") -> None:
        """Write a file on the host as a user, creating its directory where that is missing.

        Args:
            path: an absolute path on the host.
            text: the whole content.
            user: the owner. An ordinary user's file is readable by nobody else, as condor_annex requires of keys.

        Raises:
            HostError: the user may not write there.
        """
        umask = "022" if user == "root" else "077"
        save = 'umask "$1" && mkdir -p "${2%/*}" && cat > "$2"'
        self.must(["sh", "-c", save, "sh", umask, path], user=user, stdin=text)

    def read(self, path: str) -> str:
        """Return the text of a file on the host.

        Raises:
            HostError: there is no such file.
        """
        return self.must(["cat", path])

    @property
    def address(self) -> str:
        """The IPv4 address at which others know it."""
        return self.hosts[self._name] if self._network is None else self._network.address

    @property
    def _own_network(self) -> list[str]:
        """The option of ``unshare`` for it."""
        return [] if self._network is None else ["--net"]

    def _isolate(self, exits: ExitStack) -> None:
        unshare = ["unshare", "--mount", "--uts", "--pid", *self._own_network, "--fork", "--kill-child"]
        seen = [str(path) for pair in self._directories.items() for path in pair]
        first = subprocess.Popen(
            [*unshare, "sh", "-c", _FIRST_PROCESS, "sh", str(self._root), self._name, "no", *seen],
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
            raise HostError(f"no namespaces for {self._name}: {first.stderr.read().strip()}")
        self._pid = int(pid)
