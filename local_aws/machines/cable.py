"""The network of one machine: its way out leads to where the local AWS is, and a firewall stands in its way in.

QEMU runs in a network namespace of its own, in which the machine's public address is. The connections that the machine
makes come from that address; those that others make to it are dropped unless a security group lets them in.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

PROGRAMS = ("ip", "nft", "nsenter")
HOST_PACKAGES = ("iproute2", "nftables", "util-linux")


class CableError(Exception):
    """The machine could not be connected; the text says why."""


def firewall(link: str, ports: Sequence[int]) -> str:
    """Return the rules of nftables for what goes to a machine by its link.

    Args:
        link: the name of the near end of its cable.
        ports: TCP ports that are open; every other packet that opens a connection is dropped, as a security group
            of AWS does.
    """
    new = f'oifname "{link}" ct state new'
    rules = [*(f"{new} tcp dport {port} accept" for port in ports), f"{new} drop"]
    chain = f"add chain inet {link} output {{ type filter hook output priority filter; }}"
    return "; ".join((f"add table inet {link}", chain, *(f"add rule inet {link} output {rule}" for rule in rules)))


@contextmanager
def connected(pid: int, address: str, ports: Sequence[int]) -> Iterator[None]:
    """Connect a process in a network namespace of its own for as long as the context lasts.

    Args:
        pid: of the process; in its namespace there is nothing yet.
        address: the IPv4 address that it gets.
        ports: TCP ports at which others reach it.

    Raises:
        CableError: it could not be connected.
    """
    link = f"machine-{pid}"
    inside = ["nsenter", "--target", str(pid), "--net"]
    _run(["nft", firewall(link, ports)])
    try:
        # Both ends of the cable go with the machine's namespace.
        _run(["ip", "link", "add", "name", link, "type", "veth", "peer", "name", "eth0", "netns", str(pid)])
        _run(["ip", "link", "set", link, "up"])
        _run([*inside, "ip", "link", "set", "lo", "up"])
        _run([*inside, "ip", "address", "add", f"{address}/32", "dev", "eth0"])
        _run([*inside, "ip", "link", "set", "eth0", "up"])
        _run([*inside, "ip", "route", "add", "default", "dev", "eth0"])
        _run(["ip", "route", "add", f"{address}/32", "dev", link])
        yield
    finally:
        _run(["nft", f"delete table inet {link}"])


def _run(argv: Sequence[str]) -> None:
    ended = subprocess.run(argv, check=False, capture_output=True, text=True)
    if ended.returncode:
        raise CableError(f"{' '.join(argv)} failed: {ended.stdout}{ended.stderr}")
