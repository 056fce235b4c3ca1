"""Ask the collector of a pool for its instance ID, over the network and within a time budget.

An address gets up to three questions, each on a connection of its own, because a daemon closes the connection
on a command that it does not know:

1. To the daemon named ``collector`` behind the shared port: HTCondor's default, and then the only question. An access
   point's own collector has another name there.
2. To the daemon at the port. A collector that owns the port answers; so does a shared port, with its own ID.
3. To the shared port itself, as ``self``. Only a shared port answers; then answer 2 was not a collector's.
"""

from __future__ import annotations

import math
import os
import socket
import time
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv6Address, ip_address
from queue import Empty, SimpleQueue
from threading import Thread

from lambda_connectivity import cedar

COLLECTOR_SOCKET = "collector"
"""The name under which HTCondor's collector stands behind a shared port, unless a pool renames it."""

_SHARED_PORT_ITSELF = "self"


class Failure(IntEnum):
    """Why no collector answered, in order: of several addresses, the one that got farthest is reported."""

    OWN_MACHINE = 0
    NAME_NOT_FOUND = 1
    NAME_TIMED_OUT = 2
    NO_ROUTE = 3
    CONNECT_TIMED_OUT = 4
    REFUSED = 5
    CLOSED = 6
    SILENT = 7
    NOT_HTCONDOR = 8
    NO_COLLECTOR = 9


class UnansweredError(Exception):
    """No collector answered.

    Attributes:
        failure: why.
    """

    def __init__(self, failure: Failure) -> None:
        """Keep the reason."""
        super().__init__(failure.name)
        self.failure = failure


@dataclass(frozen=True)
class Answer:
    """The collector's answer.

    Attributes:
        instance_id: the collector's instance ID, 16 hexadecimal digits.
        shared_port: whether the collector stands behind a shared port.
    """

    instance_id: str
    shared_port: bool


@dataclass(frozen=True)
class _Address:
    family: socket.AddressFamily
    sockaddr: tuple[object, ...]


def ask_collector(host: str, port: int, seconds: float, socket_name: str = COLLECTOR_SOCKET) -> Answer:
    """Return the instance ID of the collector at a host and port.

    Each of the host's addresses gets an even share of the time that is left, so that an unreachable one does not
    use it up.

    Args:
        host: a name, or an IPv4 or IPv6 address.
        port: the TCP port of the collector or of its shared port.
        seconds: the budget for everything, name lookup included; zero or more.
        socket_name: the collector's name behind a shared port. Only a collector with the default name may own the
            port.

    Raises:
        UnansweredError: no collector answered at any address.
    """
    end = time.monotonic() + seconds
    addresses = [address for address in _look_up(host, port, seconds) if not _is_of_function(address)]
    if not addresses:
        raise UnansweredError(Failure.OWN_MACHINE)
    failures = []
    for tried, address in enumerate(addresses):
        now = time.monotonic()
        share = (end - now) / (len(addresses) - tried)
        try:
            return _ask_address(address, socket_name, now + share)
        except UnansweredError as error:
            failures.append(error)
    raise max(failures, key=lambda error: error.failure)


def _look_up(host: str, port: int, seconds: float) -> list[_Address]:
    # The resolver takes no timeout, so it runs in a thread that is abandoned when the budget is used up.
    results: SimpleQueue[list[_Address] | Exception] = SimpleQueue()

    def resolve() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            results.put([_Address(family, sockaddr) for family, _, _, _, sockaddr in found])
        except (OSError, UnicodeError) as error:
            results.put(error)

    Thread(target=resolve, daemon=True).start()
    try:
        result = results.get(timeout=seconds)
    except Empty:
        raise UnansweredError(Failure.NAME_TIMED_OUT) from None
    if isinstance(result, Exception):
        raise UnansweredError(Failure.NAME_NOT_FOUND) from result
    return result


def _is_of_function(address: _Address) -> bool:
    """Return whether an address leads to the function's own machine or link, where it must not tell what listens."""
    # An IPv6 address may name its link: fe80::1%eth0.
    ip = ip_address(str(address.sockaddr[0]).partition("%")[0])
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_loopback and "//127.0.0.1:" in os.environ.get("AWS_ENDPOINT_URL", ""):
        # In the local AWS, AWS itself is on this machine, and so is the pool.
        return False
    return ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast


def _ask_address(address: _Address, socket_name: str, end: float) -> Answer:
    through = _ask_shared_port(address, socket_name, end)
    if through is not None:
        return Answer(through, shared_port=True)
    direct = _exchange(address, cedar.query_instance(), end)
    if direct is None:
        raise UnansweredError(Failure.CLOSED)
    if socket_name != COLLECTOR_SOCKET or _ask_shared_port(address, _SHARED_PORT_ITSELF, end) is not None:
        raise UnansweredError(Failure.NO_COLLECTOR)
    return Answer(direct, shared_port=False)


def _ask_shared_port(address: _Address, socket_name: str, end: float) -> str | None:
    seconds = max(math.ceil(end - time.monotonic()), 0)
    return _exchange(address, cedar.shared_port_request(socket_name, seconds) + cedar.query_instance(), end)


def _exchange(address: _Address, request: bytes, end: float) -> str | None:
    """Send a request on a new connection; return the instance ID, or None if the peer just closes."""
    with socket.socket(address.family, socket.SOCK_STREAM) as connection:
        _connect(connection, address, end)
        try:
            _allow_until(end, connection)
            connection.sendall(request)
            answer = b""
            while len(answer) < cedar.ANSWER_BYTES:
                _allow_until(end, connection)
                received = connection.recv(cedar.ANSWER_BYTES - len(answer))
                if not received:
                    break
                answer += received
                cedar.check_prefix(answer)
            return cedar.instance_id(answer) if answer else None
        except TimeoutError as error:
            raise UnansweredError(Failure.SILENT) from error
        except cedar.NotCedarError as error:
            raise UnansweredError(Failure.NOT_HTCONDOR) from error
        except OSError:
            # A daemon that drops a request unread resets the connection.
            return None


def _connect(connection: socket.socket, address: _Address, end: float) -> None:
    try:
        _allow_until(end, connection)
        connection.connect(address.sockaddr)
    except TimeoutError as error:
        raise UnansweredError(Failure.CONNECT_TIMED_OUT) from error
    except ConnectionRefusedError as error:
        raise UnansweredError(Failure.REFUSED) from error
    except OSError as error:
        raise UnansweredError(Failure.NO_ROUTE) from error


def _allow_until(end: float, connection: socket.socket) -> None:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    connection.settimeout(left)
