"""A pool's collector: where it is, and what it says."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import parse_qs

from annex_bootstrap.pool.htcondor import run
from annex_contract.knobs import DEFAULT_PORT

_ADDRESS = re.compile(r"<([0-9.]+|\[[0-9a-fA-F:]+\]):")


def collector_address(text: str) -> tuple[str, int, str]:
    """Return where the first collector in a COLLECTOR_HOST or an ANNEX_COLLECTOR is.

    Args:
        text: such as ``pool.example.org``, ``pool.example.org:9618?sock=collector`` or ``[2001:db8::1]:9618, other``.

    Returns:
        The host, empty where the text is; the port, 9618 where none is named; and the name behind the shared port,
        empty where none is named.
    """
    first, _, options = text.split(",")[0].strip().strip("<>").partition("?")
    if first.startswith("["):
        host, _, rest = first[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        host, _, port = first.partition(":")
    socket_name = parse_qs(options).get("sock", [""])[0]
    return host, int(port) if port.isdigit() else DEFAULT_PORT, socket_name


def ask_collector(address: str, attribute: str, *options: str) -> list[str] | None:
    """Ask a collector for an attribute of the ads that it has.

    Args:
        address: of the collector.
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
        name, _, address = line.partition(" ")
        given = _ADDRESS.match(address)
        if given and ipaddress.ip_address(given[1].strip("[]")).is_private and "CCBID" not in address:
            found.append((name, given[1]))
    return found
