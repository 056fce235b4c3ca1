"""Lambda's python3.13 on this machine: AWS's own runtime client, a Python 3.13, and nothing else.

AWS publishes the client that runs functions in Lambda as ``awslambdaric``: it asks the Runtime API for one event after
the other, and posts the answers (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html). `Sandbox` is that API
and the sandbox around the client: a read-only disk with only the code in /var/task and the runtime in /var/runtime, a
writable /tmp, a user without rights, a limit of memory. The Python is Debian 13's, in a root directory of its own.

Which SDK the runtime has depends on its version and on the region
(https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html), so ``requirements.in`` has an old one: that of
November 2024, when python3.13 came. The other tests run with the newest.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from template_gen.functions import RUNTIME
from tests.engines.root import PACKAGES, ensure_packages, entered

REQUIREMENTS = Path(__file__).with_name("requirements.txt")

MEMORY = 128
"""MB: half of what the functions get."""

STARTS = 120.0
"""Seconds until a function must have started and answered; a slow machine takes a few."""


@dataclass(frozen=True)
class Outcome:
    """What became of one event.

    Attributes:
        answer: what the handler returned.
        error: what the runtime reported instead; empty where the handler returned.
    """

    answer: Any
    error: str


class Sandbox:
    """One function in the runtime, from its cold start on; as a context manager it ends with the context.

    Attributes:
        cold_start: seconds until it asked for its first event.
        init_error: why it did not start, as the runtime reports that; empty where it did.
    """

    def __init__(
        self,
        directory: Path,
        code: str,
        *,
        environment: Mapping[str, str] | None = None,
        files: Mapping[str, str] | None = None,
        missing: Sequence[str] = (),
    ) -> None:
        """Describe a function.

        Args:
            directory: an empty one, for its disk.
            code: its ``index.py``.
            environment: its own variables.
            files: more files on its disk, by their path.
            missing: files that the disk lacks, by their path.
        """
        self._layer = directory
        # What is on top gives the root directory its mode, and the function's user must get in.
        directory.chmod(0o755)
        task = directory / "var" / "task"
        task.mkdir(parents=True)
        (task / "index.py").write_text(code)
        for path, text in (files or {}).items():
            file = directory / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        for path in missing:
            file = directory / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            # How an overlay writes that a file is not there:
            # https://docs.kernel.org/filesystems/overlayfs.html#whiteouts-and-opaque-directories
            os.mknod(file, 0o020000, os.makedev(0, 0))
        self._environment = dict(environment or {})
        self._events: queue.Queue[tuple[str, str]] = queue.Queue()
        self._outcomes: queue.Queue[Outcome] = queue.Queue()
        self._asked = threading.Event()
        self._exits = ExitStack()
        self.cold_start = 0.0
        self.init_error = ""

    def __enter__(self) -> Self:
        """Start it, and wait until it asks for an event or says why it cannot."""
        with ExitStack() as exits:
            address = exits.enter_context(self._runtime_api())
            began = time.monotonic()
            self._process = exits.enter_context(self._start(address))
            while not self._asked.wait(0.05):
                if self._process.poll() is not None:
                    raise AssertionError("it ended before it asked for an event; stderr says why")
                if time.monotonic() - began > STARTS:
                    raise AssertionError(f"no cold start within {STARTS} seconds")
            self.cold_start = time.monotonic() - began
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._exits.close()

    def invoke(self, event: Mapping[str, Any]) -> Outcome:
        """Send one event and wait for what becomes of it."""
        self._events.put((str(uuid.uuid4()), json.dumps(event)))
        return self._outcomes.get(timeout=STARTS)

    @property
    def peak_memory(self) -> float:
        """MB that it has had at once so far."""
        starter = self._process.pid
        (child,) = Path(f"/proc/{starter}/task/{starter}/children").read_text().split()
        status = Path(f"/proc/{child}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    @contextmanager
    def _start(self, address: str) -> Iterator[subprocess.Popen[bytes]]:
        nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs"]
        # Private memory, because the kernel does not limit what is resident; that is read afterwards.
        limited = ["prlimit", f"--data={MEMORY * 1024 * 1024}"]
        client = [RUNTIME, "-m", "awslambdaric", "index.handler"]
        environment = {
            **self._environment,
            # https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{RUNTIME}",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(MEMORY),
            "AWS_LAMBDA_FUNCTION_NAME": "function",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_LOG_GROUP_NAME": "function",
            "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
            "AWS_LAMBDA_RUNTIME_API": address,
            "LAMBDA_RUNTIME_DIR": PACKAGES,
            "LAMBDA_TASK_ROOT": "/var/task",
            "LANG": "en_US.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin",
            "PYTHONPATH": PACKAGES,
            "TZ": ":UTC",
            "_HANDLER": "index.handler",
        }
        process = subprocess.Popen(
            entered(
                [self._layer, ensure_packages("runtime", REQUIREMENTS)],
                ["env", "--chdir=/var/task", *nobody, *limited, *client],
            ),
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    @contextmanager
    def _runtime_api(self) -> Iterator[str]:
        """Serve the Runtime API: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html."""
        sandbox = self

        class RuntimeApi(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                sandbox._asked.set()
                request, event = sandbox._events.get()
                headers = {
                    "Content-Type": "application/json",
                    "Lambda-Runtime-Aws-Request-Id": request,
                    "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 300_000),
                    "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:123456789012:function:function",
                    "Lambda-Runtime-Trace-Id": "Root=1-00000000-000000000000000000000000",
                }
                self._respond(200, event.encode(), headers)

            def do_POST(self) -> None:
                body = json.loads(self._body())
                what = self.path.rsplit("/", 1)[-1]
                if "/init/" in self.path:
                    sandbox.init_error = f"{body['errorType']}: {body['errorMessage']}"
                    sandbox._asked.set()
                elif what == "error":
                    sandbox._outcomes.put(Outcome(None, f"{body['errorType']}: {body['errorMessage']}"))
                else:
                    sandbox._outcomes.put(Outcome(body, ""))
                self._respond(202, b"{}", {})

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers["Content-Length"]))
                chunks = b""
                while size := int(self.rfile.readline(), 16):
                    chunks += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return chunks

            def _respond(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Print nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), RuntimeApi)
        server.daemon_threads = True
        # A request for an event may wait until the function is ended, and this thread must not.
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
