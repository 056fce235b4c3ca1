"""Peers on loopback that follow a script, for what a real HTCondor does not do on request."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from types import TracebackType
from typing import Self

Script = Callable[[socket.socket], None]

QUERY = struct.pack(">q", 60045)


class Peer:
    """Listens on a free port and plays the same script on every connection, one after another.

    Attributes:
        port: where it listens.
        leaving: set when the peer is about to stop, for scripts that wait.
    """

    def __init__(self, script: Script, family: socket.AddressFamily = socket.AF_INET) -> None:
        self.leaving = Event()
        self._script = script
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        self._listener.listen()
        self.port: int = self._listener.getsockname()[1]
        self._thread = Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leaving.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while not self.leaving.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            # A check that has heard enough leaves in the middle of a script.
            with connection, suppress(ConnectionError):
                self._script(connection)


def frame(payload: bytes) -> bytes:
    """Return a message of one frame."""
    return b"\x01" + struct.pack(">I", len(payload)) + payload


def receive(connection: socket.socket) -> bytes:
    """Read one message of one frame and return its payload."""
    with connection.makefile("rb", buffering=0) as stream:
        header = stream.read(5) or b""
        if len(header) < 5:
            raise ConnectionAbortedError
        assert header[0] == 1
        length = struct.unpack(">I", header[1:])[0]
        payload = stream.read(length) or b""
        assert len(payload) == length
        return payload


def daemon(instance_id: str) -> Script:
    """Return the script of a daemon that owns its port: it drops every command but the query."""

    def script(connection: socket.socket) -> None:
        if receive(connection) == QUERY:
            connection.sendall(frame(instance_id.encode()))

    return script


def shared_port(own_id: str, daemons: dict[str, str]) -> Script:
    """Return the script of a shared port with the given instance IDs, by name, behind it."""

    def script(connection: socket.socket) -> None:
        command = receive(connection)
        if command == QUERY:
            connection.sendall(frame(own_id.encode()))
            return
        name = command[8 : command.index(b"\0", 8)].decode()
        behind = {"self": own_id, **daemons}
        if command[:8] == struct.pack(">q", 75) and name in behind and receive(connection) == QUERY:
            connection.sendall(frame(behind[name].encode()))

    return script


def saying(answer: bytes) -> Script:
    """Return the script of a peer that answers everything with the same bytes, and closes."""

    def script(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(answer)

    return script
