"""A host of the internet that answers in JSON, for the tests: by HTTPS at a loopback address of its own."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import trustme

Answer = Callable[[str, str, bytes], object | None]
"""What a request's method, path and body are answered with; None for 404."""


@contextmanager
def serving(ca: trustme.CA, host: str, address: str, answer: Answer) -> Iterator[None]:
    """Serve GET and POST at port 443 of an address, with a host's certificate."""

    class Requests(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = answer(self.command, self.path, given)
            payload = json.dumps({} if body is None else body).encode()
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(host).configure_cert(tls)
    with ThreadingHTTPServer((address, 443), Requests) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
