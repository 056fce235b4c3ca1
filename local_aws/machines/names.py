"""The name server of machines: AWS's names lead to the local AWS, Debian's to the relay, others where they do here."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Mapping

ADDRESS = "169.254.169.253"
"""Where a VPC has its own: https://docs.aws.amazon.com/vpc/latest/userguide/AmazonDNS-concepts.html"""

_HEADER = 12
_A, _IN = 1, 1


def serve(addresses: Callable[[], Mapping[str, str]]) -> None:
    """Answer for as long as the process lives.

    Args:
        addresses: returns those that names have now, by the end of a name.
    """
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((ADDRESS, 53))

    def answer_all() -> None:
        while True:
            query, peer = server.recvfrom(512)
            server.sendto(answer(query, addresses()), peer)

    threading.Thread(target=answer_all, name="names", daemon=True).start()


def answer(query: bytes, addresses: Mapping[str, str]) -> bytes:
    """Return the answer to a query with one question; source of the format: RFC 1035, section 4."""
    labels, place = [], _HEADER
    while query[place]:
        labels.append(query[place + 1 : place + 1 + query[place]].decode("ascii", "replace"))
        place += 1 + query[place]
    name = ".".join(labels).lower()
    kind = struct.unpack_from("!H", query, place + 1)[0]
    question = query[_HEADER : place + 5]
    address = _address(name, addresses)
    found = address is not None and kind == _A
    # Recursion is available; 3 says that there is no such name.
    flags = 0x8180 if address is not None else 0x8183
    record = struct.pack("!HHHIH4s", 0xC00C, _A, _IN, 5, 4, socket.inet_aton(address)) if address and found else b""
    return query[:2] + struct.pack("!HHHHH", flags, 1, int(found), 0, 0) + question + record


def _address(name: str, addresses: Mapping[str, str]) -> str | None:
    for end, address in addresses.items():
        if name == end or name.endswith(f".{end}"):
            return address
    try:
        return socket.gethostbyname(name)
    except OSError:
        return None
