"""A pool's collectors: where they are, and what they say."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from urllib.parse import parse_qs

from annex_bootstrap.errors import UserError
from annex_bootstrap.pool.htcondor import run
from annex_contract.knobs import DEFAULT_PORT

_ADDRESS = re.compile(r"<([0-9.]+|\[[0-9a-fA-F:]+\]):")
_ENTRY = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^:\[\]]*))(?::(?P<port>\d+))?")


@dataclass(frozen=True)
class Address:
    """Where a collector is.

    Attributes:
        host: a name or an address, an IPv6 one without brackets; empty where only the port is known.
        port: TCP.
        socket_name: its name behind the shared port; empty where none is named.
    """

    host: str
    port: int
    socket_name: str = ""

    def __str__(self) -> str:
        """Return it as HTCondor's tools and COLLECTOR_HOST take it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}{f'?sock={self.socket_name}' if self.socket_name else ''}"

    def at(self, port: int) -> Address:
        """Return the same host at another port."""
        return replace(self, port=port)


def parse_collectors(text: str, default_port: int = DEFAULT_PORT) -> list[Address]:
    """Return where the collectors are that a COLLECTOR_HOST or an ANNEX_COLLECTOR names.

    Args:
        text: such as ``pool.example.org``, ``cm1:9614, cm2``, ``[2001:db8::1]:9618``, ``pool:9618?sock=collector`` or
            ``<192.0.2.1:9618?alias=pool.example.org&sock=collector>``; separated by commas or spaces.
        default_port: of those that name none.

    Raises:
        UserError: an entry is something else.
    """
    return [_parse(entry, default_port) for entry in text.replace(",", " ").split()]


def _parse(entry: str, default_port: int) -> Address:
    place, _, options = entry.strip("<>").partition("?")
    try:
        # Without brackets an IPv6 address can have no port.
        return Address(str(ipaddress.IPv6Address(place)), default_port)
    except ValueError:
        pass
    found = _ENTRY.fullmatch(place)
    if not found:
        raise UserError(f"{entry!r} is not a collector's address: give one such as pool.example.org:9618")
    port = int(found["port"]) if found["port"] else default_port
    return Address(found["v6"] or found["host"] or "", port, parse_qs(options).get("sock", [""])[0])


def ask_collector(address: str, attribute: str, *options: str) -> list[str] | None:
    """Ask a collector for an attribute of the ads that it has.

    Args:
        address: of the collector, or several addresses with commas between them.
        attribute: its name.
        options: of condor_status, such as ``-schedd``; by default it lists slots.

    Returns:
        The values, without those that are not defined; None where it does not answer.
    """
    asked = run(["condor_status", "-pool", address, *options, "-af", attribute])
    return [value for value in asked.stdout.split() if value != "undefined"] if asked.returncode == 0 else None


def private_schedds(address: str) -> list[tuple[str, str]]:
    """Return the name and the address of each access point whose address nobody outside reaches.

    Args:
        address: of the collector.
    """
    asked = run(["condor_status", "-pool", address, "-schedd", "-af", "Name", "MyAddress"])
    found = []
    for line in asked.stdout.splitlines() if asked.returncode == 0 else []:
        name, _, sinful = line.partition(" ")
        given = _ADDRESS.match(sinful)
        if given and "CCBID" not in sinful and not reachable_from_aws(given[1].strip("[]")):
            found.append((name, given[1]))
    return found


def reachable_from_aws(address: str) -> bool:
    """Tell whether packets from the Internet can have an address as their destination.

    Args:
        address: of IPv4 or IPv6; what is neither may be a name, and counts as reachable.
    """
    try:
        # Not the same as "not private": carriers' addresses, 100.64.0.0/10, are neither.
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return True
