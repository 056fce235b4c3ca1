"""Pythons that are forked from one that knows AWS already, which takes a tenth of the time of a new one.

What they are forked from is a process that has imported some modules and waits on a socket without a name.
``python -m local_aws.forked`` is that process.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any

_CHUNK = 1 << 16


class Origin:
    """A process from which others are forked. It ends when this process does."""

    def __init__(self, *modules: str) -> None:
        """Start it.

        Args:
            modules: what it imports first.
        """
        self._socket, theirs = socket.socketpair()
        self._one = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "local_aws.forked", str(theirs.fileno()), *modules],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )

    def fork(self, request: bytes, descriptors: Sequence[int]) -> None:
        """Ask for a process; a request is a line."""
        with self._one:
            sent = socket.send_fds(self._socket, [request], descriptors)
            self._socket.sendall(request[sent:])


class Forked:
    """What is used of ``subprocess.Popen``, for a Python whose standard streams are pipes of text.

    Attributes:
        stdin: what it reads.
        stdout: what it prints.
        stderr: what it says.
        pid: the process.
        returncode: its exit code, negative for a signal; None until somebody has asked after its end.
    """

    def __init__(self, origin: Origin, arguments: Sequence[str], cwd: str, env: Mapping[str, str]) -> None:
        """Start it.

        Args:
            origin: what it is forked from.
            arguments: as Python takes them: a script, or ``-m`` and a module, and what these get.
            cwd: the directory where it runs.
            env: all of its environment.
        """
        (stdin, self_in), (self_out, stdout), (self_err, stderr), (self._ended, end) = (os.pipe() for _ in range(4))
        theirs = (stdin, stdout, stderr, end)
        request = json.dumps({"arguments": list(arguments), "cwd": cwd, "env": dict(env)}) + "\n"
        try:
            origin.fork(request.encode(), theirs)
        finally:
            for each in theirs:
                os.close(each)
        self.stdin, self.stdout, self.stderr = _text(self_in, "w"), _text(self_out, "r"), _text(self_err, "r")
        self.returncode: int | None = None
        self.pid = int(_line(self._ended))

    def poll(self) -> int | None:
        """Return its exit code, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code when it has ended.

        Args:
            timeout: seconds to wait at most.

        Raises:
            subprocess.TimeoutExpired: it runs still.
        """
        if self.returncode is None:
            if not select.select([self._ended], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            self.returncode = int(_line(self._ended))
            os.close(self._ended)
        return self.returncode

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def _text(descriptor: int, mode: str) -> IO[str]:
    return os.fdopen(descriptor, mode, buffering=1, encoding="utf-8", errors="backslashreplace")


def _line(descriptor: int) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(descriptor, 1)
        if not part:
            raise EOFError("a process has ended before it said how")
        line += part
    return line


def _serve(requests: socket.socket) -> dict[str, Any] | None:
    """Fork for each request until the other end is closed.

    Returns:
        In a process that was forked, its request; else None, at the end.
    """
    while True:
        text, descriptors, _, _ = socket.recv_fds(requests, _CHUNK, 4)
        while text and not text.endswith(b"\n"):
            text += requests.recv(_CHUNK)
        if not text:
            return None
        if os.fork() == 0:
            requests.close()
            _watched(*descriptors)
            request: dict[str, Any] = json.loads(text)
            return request
        for each in descriptors:
            os.close(each)


def _watched(stdin: int, stdout: int, stderr: int, end: int) -> None:
    """Go on in a child, with these standard streams; this process says which one that is and how it ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    process = os.fork()
    if process:
        for each in (stdin, stdout, stderr):
            os.close(each)
        os.write(end, f"{process}\n".encode())
        _, status = os.waitpid(process, 0)
        os.write(end, f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os._exit(0)
    os.close(end)
    for number, each in enumerate((stdin, stdout, stderr)):
        os.dup2(each, number)
        os.close(each)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)


def _become(arguments: Sequence[str], cwd: str, env: Mapping[str, str]) -> None:
    """Run what Python runs with these arguments."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    if arguments[0] == "-m":
        sys.argv = list(arguments[1:])
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(arguments)
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    _descriptor, *_modules = sys.argv[1:]
    for _module in _modules:
        importlib.import_module(_module)
    # Nobody waits for those who watch.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _request = _serve(socket.socket(fileno=int(_descriptor)))
    if _request:
        _become(**_request)
