"""The network of one machine: its way out leads to the network of the tests, and a firewall stands in its way in."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# Both ends of the cable go with the machine's namespace, which ip finds in /proc.
_CONNECT = """
set -eu
root=$1 pid=$2 link=$3 address=$4
mount --bind /proc "$root/proc"
inside() { nsenter --target "$pid" --net chroot "$root" "$@"; }
chroot "$root" ip link add name "$link" type veth peer name eth0 netns "$pid"
chroot "$root" ip link set "$link" up
inside ip link set lo up
inside ip address add "$address/32" dev eth0
inside ip link set eth0 up
inside ip route add default dev eth0
chroot "$root" ip route add "$address/32" dev "$link"
"""


class NetworkError(Exception):
    """The machine could not be connected; the text says why."""


@dataclass(frozen=True)
class Network:
    """Where a machine is, and who may open connections to it.

    Attributes:
        address: its IPv4 address, as others know it.
        ports: the TCP ports at which others reach it; every other packet that opens a connection is dropped, as a
            security group of AWS does.
    """

    address: str
    ports: Sequence[int] = ()

    @contextmanager
    def connected(self, root: Path, pid: int) -> Iterator[None]:
        """Connect a machine for as long as the context lasts.

        Args:
            root: a root directory with ``ip`` and ``nft``.
            pid: a process in the machine's network namespace, in which there is nothing yet.

        Raises:
            NetworkError: it could not be connected.
        """
        link = f"machine-{pid}"
        new = f'oifname "{link}" ct state new'
        accepted = [f"{new} tcp dport {port} accept" for port in self.ports]
        rules = "; ".join(f"add rule inet {link} output {rule}" for rule in (*accepted, f"{new} drop"))
        chain = f"add chain inet {link} output {{ type filter hook output priority filter; }}"
        nft = ["chroot", str(root), "nft"]
        _run([*nft, f"add table inet {link}; {chain}; {rules}"])
        try:
            _run(["unshare", "--mount", "sh", "-c", _CONNECT, "sh", str(root), str(pid), link, self.address])
            yield
        finally:
            _run([*nft, f"delete table inet {link}"])


def _run(argv: Sequence[str]) -> None:
    ended = subprocess.run(argv, check=False, capture_output=True, text=True)
    if ended.returncode:
        raise NetworkError(f"{' '.join(argv)} failed: {ended.stdout}{ended.stderr}")
