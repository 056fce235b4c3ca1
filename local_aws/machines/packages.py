"""Debian's packages for machines that have no way out: a relay to this computer's own sources of apt.

``offered`` runs where there is a way out, and answers on a Unix socket. ``serve_mirror`` runs where the machines are,
ends TLS for the mirror that Debian's image names on EC2, and hands on what it is asked for.
"""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
import socketserver
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from local_aws.machines.base_disk import SUITE
from local_aws.machines.debian import mirror_of

NAMES = ("cdn-aws.deb.debian.org", "deb.debian.org")
ADDRESS = "192.0.2.53"


def sources() -> dict[str, str]:
    """Return where Debian's archives really are, by the first part of a path at the mirror.

    Raises:
        UnavailableError: apt has no such sources.
    """
    return {"debian": mirror_of(SUITE), "debian-security": mirror_of(f"{SUITE}-security")}


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@contextlib.contextmanager
def offered(path: Path, origins: Mapping[str, str]) -> Iterator[None]:
    """Answer on a Unix socket with what apt's sources have.

    Args:
        path: of the socket.
        origins: from ``sources``.
    """

    class Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def address_string(self) -> str:
            return "machine"

        def do_GET(self) -> None:
            archive, _, rest = self.path.removeprefix("/").partition("/")
            if archive not in origins or ".." in rest:
                self.send_error(404)
                return
            try:
                with urllib.request.urlopen(f"{origins[archive]}/{rest}", timeout=60) as found:
                    self.send_response(200)
                    for name in ("Content-Length", "Last-Modified"):
                        if value := found.headers.get(name):
                            self.send_header(name, value)
                    self.end_headers()
                    shutil.copyfileobj(found, self.wfile)
            except urllib.error.HTTPError as error:
                self.send_error(error.code)
            except OSError as error:
                self.send_error(502, str(error))

        def log_message(self, *_: object) -> None:
            pass

    with _UnixServer(str(path), Requests) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


class _Upstream(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("packages")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def serve_mirror(path: Path, certificate: Path, key: Path) -> None:
    """Be Debian's mirror for as long as the process lives.

    Args:
        path: of the Unix socket of ``offered``.
        certificate: for ``NAMES``.
        key: of the certificate.
    """

    class Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with contextlib.closing(_Upstream(path)) as upstream:
                upstream.request("GET", self.path)
                found = upstream.getresponse()
                self.send_response(found.status)
                for name in ("Content-Length", "Last-Modified"):
                    if value := found.headers.get(name):
                        self.send_header(name, value)
                self.end_headers()
                shutil.copyfileobj(found, self.wfile)

        def log_message(self, *_: object) -> None:
            pass

    class Mirror(ThreadingHTTPServer):
        daemon_threads = True

        def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
            # The handshake belongs to the thread of the connection.
            connection, peer = self.socket.accept()
            return tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), peer

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    server = Mirror((ADDRESS, 443), Requests)
    threading.Thread(target=server.serve_forever, name="mirror", daemon=True).start()
