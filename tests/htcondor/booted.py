"""A host that boots as a machine does: systemd is its first process, and a terminal its console."""

from __future__ import annotations

import os
import pty
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.htcondor.host import ENTER_ROOT, Host, HostError
from tests.htcondor.network import Network

# systemd has its own tree of control groups below this process's, and changes no setting of the kernel.
_BOOT = f"""{ENTER_ROOT}
mount -t tmpfs -o mode=755 tmpfs "$layer/root/run"
mount -t tmpfs -o mode=755 tmpfs "$layer/root/sys"
mkdir -p "$layer/root/sys/fs/cgroup"
mount -t cgroup2 cgroup2 "$layer/root/sys/fs/cgroup"
for path in "$layer/root/proc/sys" "$layer/root/proc/sysrq-trigger"; do
    [ -e "$path" ] || continue
    mount --bind "$path" "$path"
    mount -o remount,bind,ro "$path"
done
touch "$dev/console"
mount --bind "$CONSOLE" "$dev/console"
exec setpriv --bounding-set -sys_module,-sys_rawio,-sys_time \
    chroot "$layer/root" sh -euc "$WAIT" sh "$pid"
"""

# Anyone who starts the host has something to write on its disk first.
_WAIT = """
echo "$1"
read -r go
exec env -i container=test /sbin/init < /dev/null > /dev/console 2>&1
"""

# The control group of this host alone, removed with what systemd made in it.
_CONTAIN = """
set -eu
groups=$(mktemp -d)
mount -t cgroup2 cgroup2 "$groups"
# Those of a run that was killed are empty; the kernel keeps those in use.
for left in "$groups"/annex-bootstrap-*; do
    [ ! -d "$left" ] || find "$left" -depth -type d -exec rmdir {} + 2> /dev/null || true
done
group=$groups/annex-bootstrap-$$
mkdir "$group"
sh -c 'echo "$$" > "$1/cgroup.procs"; shift; exec "$@"' sh "$group" \
    unshare --mount --uts --ipc --pid --cgroup $OWN_NETWORK --fork --kill-child sh -c "$BOOT" sh "$@" || true
find "$group" -depth -type d -exec rmdir {} +
umount "$groups"
rmdir "$groups"
"""

_BOOT_SECONDS = 60


class BootedHost(Host):
    """A host whose units run as on a real machine; entering it returns when systemd answers."""

    def __init__(
        self,
        root: Path,
        name: str,
        *,
        hosts: Mapping[str, str] | None = None,
        ca_pem: str | None = None,
        kept: bool = False,
        network: Network | None = None,
    ) -> None:
        """Describe the host.

        Args:
            root: a root directory with systemd.
            name: its host name.
            hosts: names that it resolves, and the address of each.
            ca_pem: a certificate authority that its programs trust besides the public ones.
            kept: whether the root directory keeps what is written; else it is only read.
            network: its own, which needs ``ip`` and ``nft`` in the root directory; None for that of the test.
        """
        super().__init__(root, name, hosts=hosts, ca_pem=ca_pem, network=network)
        self._kept = kept
        self._console = bytearray()
        self._first: subprocess.Popen[str] | None = None

    @property
    def console(self) -> str:
        """What was written to the console so far."""
        return bytes(self._console).decode(errors="replace")

    @property
    def is_on(self) -> bool:
        """Whether the machine has not shut down."""
        return self._first is not None and self._first.poll() is None

    def wait_until_off(self, seconds: float) -> float:
        """Wait until the machine has shut down by itself.

        Args:
            seconds: to wait at most.

        Returns:
            Seconds that it took.

        Raises:
            HostError: that takes too long.
        """
        assert self._first is not None
        began = time.monotonic()
        try:
            self._first.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise HostError(f"{self._name} is still on after {seconds:.0f} s:\n{self.console[-3000:]}") from error
        return time.monotonic() - began

    def _isolate(self, exits: ExitStack) -> None:
        master, slave = pty.openpty()
        exits.callback(os.close, slave)
        reader = threading.Thread(target=self._read_console, args=(master,), daemon=True)
        reader.start()
        unshare = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount"]
        environment = {**os.environ, "BOOT": _BOOT, "WAIT": _WAIT, "CONSOLE": os.ttyname(slave)}
        environment["OWN_NETWORK"] = " ".join(self._own_network)
        first = subprocess.Popen(
            [*unshare, "sh", "-c", _CONTAIN, "sh", str(self._root), self._name, "yes" if self._kept else "no"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._first = first
        exits.callback(self._end)
        assert first.stdout is not None
        assert first.stderr is not None
        pid = first.stdout.readline()
        if not pid:
            raise HostError(f"no namespaces for {self._name}: {first.stderr.read().strip()}")
        self._pid = int(pid)

    def _prepare(self) -> None:
        """Write what the disk of this kind of host has before it boots."""

    def _start(self) -> None:
        # systemd takes the name from here.
        self.write("/etc/hostname", f"{self._name}\n")
        self._prepare()
        assert self._first is not None
        assert self._first.stdin is not None
        self._first.stdin.write("go\n")
        self._first.stdin.flush()
        end = time.monotonic() + _BOOT_SECONDS
        while self.run(["systemctl", "show-environment"]).returncode:
            if time.monotonic() > end or not self.is_on:
                raise HostError(f"systemd of {self._name} does not answer:\n{self.console[-3000:]}")
            time.sleep(0.1)

    def _end(self) -> None:
        assert self._first is not None
        if self.is_on and self._pid:
            # The end of the first process is the end of all others.
            os.kill(self._pid, 9)
        self._first.communicate()

    def _read_console(self, master: int) -> None:
        try:
            while chunk := os.read(master, 65536):
                self._console += chunk
        except OSError:
            # The last writer is gone.
            pass
        os.close(master)
