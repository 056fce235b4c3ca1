"""One machine that runs: its process, its network, and what it says."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from local_aws.machines.cable import connected
from local_aws.machines.qemu import Guest, command, write_tables

CONSOLE_LIMIT = 64 * 1024
"""Bytes of console output that EC2 keeps, the newest:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html"""

# QEMU's network asks the servers of this file.
_START = """
echo "$$"
read -r go
mount --bind "$1" "$(realpath /etc/resolv.conf)"
shift
exec "$@"
"""


class MachineError(Exception):
    """A machine could not be started, or does not answer; the text says why."""


class Running:
    """A machine from power on to power off."""

    def __init__(self, guest: Guest, resolver: Path) -> None:
        """Power the machine on.

        Args:
            guest: the machine; its disk and its directory exist.
            resolver: a resolv.conf(5) for it.

        Raises:
            MachineError: QEMU cannot be started.
        """
        self.guest = guest
        self.began = time.monotonic()
        guest.console.touch()
        with ExitStack() as exits:
            # It ends with this process, however that ends.
            isolated = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount"]
            log = exits.enter_context((guest.directory / "qemu.log").open("wb"))
            process = subprocess.Popen(
                [*isolated, "sh", "-c", _START, "sh", str(resolver), *command(guest, write_tables(guest))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
            exits.callback(self._kill)
            self._process = process
            assert process.stdin is not None
            assert process.stdout is not None
            pid = process.stdout.readline()
            if not pid:
                raise MachineError(f"no namespaces for {guest.instance_id}: {self._log()}")
            exits.enter_context(connected(int(pid), guest.public_address, guest.ports))
            process.stdin.write("go\n")
            process.stdin.close()
            self._exits = exits.pop_all()

    @property
    def is_on(self) -> bool:
        """Whether the machine has not shut down."""
        return self._process.poll() is None

    def power_off(self) -> None:
        """End the machine, whatever it is doing."""
        self._exits.close()

    def console(self) -> bytes:
        """Return the newest of what the machine has said."""
        with self.guest.console.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - CONSOLE_LIMIT))
            return file.read()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _log(self) -> str:
        return (self.guest.directory / "qemu.log").read_text(errors="replace").strip()


def new_store(disk: Path, gib: int) -> None:
    """Make a disk with nothing on it.

    Args:
        disk: the file to make.
        gib: its size in GiB.
    """
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), f"{gib}G"], check=True)


def new_disk(base: Path, disk: Path, gib: int) -> None:
    """Make a root volume on top of an image's disk, which it only reads.

    Args:
        base: the image's disk.
        disk: the file to make.
        gib: its size in GiB; the image's, where that is larger.
    """
    info = subprocess.run(["qemu-img", "info", "--output=json", str(base)], check=True, capture_output=True)
    size = max(gib << 30, json.loads(info.stdout)["virtual-size"])
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(base), str(disk), str(size)]
    subprocess.run(argv, check=True)


def copy_disk(disk: Path, image: Path) -> None:
    """Copy a volume of a machine that is off, as CreateImage does."""
    part = image.with_suffix(".part")
    shutil.copyfile(disk, part)
    part.rename(image)


class Shell:
    """A root shell on a machine, by its second serial line."""

    def __init__(self, path: Path) -> None:
        """Describe it.

        Args:
            path: of its socket.
        """
        self._path = path
        self._count = 0

    def start(self, command: str) -> None:
        """Start a command that may end this line; it begins in a second.

        A line that is sent and hung up at once may lose its end: QEMU passes on what fits into a serial port.

        Raises:
            MachineError: the machine does not answer.
        """
        self.run(f"setsid sh -c {shlex.quote(f'sleep 1; {command}')} < /dev/null > /dev/null 2>&1 &")

    def run(self, script: str, seconds: float = 60) -> tuple[int, str]:
        """Run a script of bash.

        Args:
            script: its text.
            seconds: to wait for its end, at most.

        Returns:
            Its exit code, and what it printed.

        Raises:
            MachineError: the machine does not answer in time.
        """
        self._count += 1
        mark = f"{os.getpid()}-{self._count}-{time.monotonic_ns()}"
        encoded = base64.b64encode(script.encode()).decode()
        # The line is split in two, so that its echo is not taken for the end.
        line = f"stty -echo; echo {encoded} | base64 -d | bash > /run/said 2>&1; code=$?; "
        line += f"echo; echo 'begin' '{mark}'; base64 < /run/said; echo 'end' '{mark}' $code\n"
        until = time.monotonic() + seconds
        said = b""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._path))
            connection.sendall(line.encode())
            connection.settimeout(1)
            while not re.search(rf"^end {mark} \d+\r?\n".encode(), said, re.MULTILINE):
                if time.monotonic() > until:
                    raise MachineError(f"the machine does not answer in {seconds:.0f} s: {said[-500:]!r}")
                with contextlib.suppress(TimeoutError):
                    said += connection.recv(65536)
        _, _, rest = said.decode(errors="replace").replace("\r", "").partition(f"begin {mark}\n")
        body, _, code = rest.partition(f"end {mark} ")
        return int(code.split()[0]), base64.b64decode(body).decode(errors="replace")
