"""A headless Chromium, driven over a pipe with its own DevTools protocol: no driver, no port, no network.

Source of the protocol: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE = 30.0
"""Seconds that any answer may take."""

KEYS = {"Tab": 9, "Enter": 13, "Space": 32, "ArrowDown": 40, "Home": 36, "End": 35}
TEXT = {"Enter": "\r", "Space": " "}
CTRL = 2
"""The bit of the Ctrl key among the modifiers of a key event."""


class BrowserUnavailableError(Exception):
    """Chromium is not there and cannot be installed."""


def ensure_chromium() -> str:
    """The path of Chromium, installed first from Debian's packages where that is possible.

    Raises:
        BrowserUnavailableError: it is not there and cannot be installed.
    """
    found = shutil.which("chromium")
    if found is not None:
        return found
    if os.geteuid() == 0 and shutil.which("apt-get") is not None:
        for command in ("update", "install --yes --no-install-recommends chromium"):
            subprocess.run(["apt-get", "--quiet", *command.split()], check=False, stdout=subprocess.DEVNULL)
        found = shutil.which("chromium")
    if found is None:
        raise BrowserUnavailableError(
            "the browser tests need Chromium: run apt-get install chromium as root, try again"
        )
    return found


class Pipe:
    """Messages to and from one Chromium."""

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive = send, receive
        self._buffer = b""
        self._last_id = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str = "", **params: object) -> dict[str, Any]:
        """Call a method and wait for its result; events that come before it are kept."""
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._last_id:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def wait_for(self, method: str) -> dict[str, Any]:
        """The parameters of the next event of that name, which is then forgotten."""
        while True:
            for event in self.events:
                if event.get("method") == method:
                    self.events.remove(event)
                    params: dict[str, Any] = event["params"]
                    return params
            self.events.append(self._read())

    def _read(self) -> dict[str, Any]:
        give_up = time.monotonic() + PATIENCE
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._receive], [], [], max(give_up - time.monotonic(), 0))
            assert ready, "Chromium does not answer"
            received = os.read(self._receive, 1 << 20)
            assert received, "Chromium ended"
            self._buffer += received
        message, _, self._buffer = self._buffer.partition(b"\0")
        read: dict[str, Any] = json.loads(message)
        return read


@dataclass
class Page:
    """One page.

    Attributes:
        pipe: to the browser.
        session: of the page.
    """

    pipe: Pipe
    session: str

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """Call a method of the page."""
        return self.pipe.call(method, self.session, **params)

    def open(self, url: str) -> None:
        """Go to a URL and wait until it is loaded."""
        self.call("Page.navigate", url=url)
        self.pipe.wait_for("Page.loadEventFired")

    def run(self, script: str) -> Any:
        """The value of an expression in the page; promises are awaited."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str, modifiers: int = 0) -> None:
        """Press a key: one of ``KEYS``, or a letter."""
        code = KEYS.get(key) or ord(key.upper())
        shared = {"key": " " if key == "Space" else key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        text = {} if modifiers else {"text": TEXT.get(key, key if len(key) == 1 else "")}
        self.call("Input.dispatchKeyEvent", type="keyDown", code=key, **shared, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", code=key, **shared)

    def type(self, text: str) -> None:
        """Type a text in place of all that the focused field has."""
        self.call("Input.dispatchKeyEvent", type="keyDown", key="a", commands=["selectAll"], modifiers=CTRL)
        self.call("Input.dispatchKeyEvent", type="keyUp", key="a")
        if text:
            self.call("Input.insertText", text=text)
        else:
            self.call("Input.dispatchKeyEvent", type="keyDown", key="Delete", commands=["deleteBackward"])

    def resize(self, width: int, height: int) -> None:
        """Give the page a size, in pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def prefer(self, scheme: str) -> None:
        """Prefer ``light`` or ``dark``."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path: Path) -> None:
        """Save the whole page as PNG."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def next_request(self) -> str:
        """The URL of the next page that is asked for, with its fragment. Nothing comes, so this page stays."""
        paused = self.pipe.wait_for("Fetch.requestPaused")
        self.call("Fetch.fulfillRequest", requestId=paused["requestId"], responseCode=204)
        request: Mapping[str, str] = paused["request"]
        return request["url"] + request.get("urlFragment", "")

    def take_problems(self) -> list[str]:
        """What went wrong on the page since the last time: console errors and warnings, exceptions, log entries."""
        self.run("1")
        problems = []
        for event in list(self.pipe.events):
            method, params = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                problems.append(str(params["exceptionDetails"]))
            elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
                problems.append(str(params["args"]))
            elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                problems.append(params["entry"]["text"])
            else:
                continue
            self.pipe.events.remove(event)
        return problems


@contextlib.contextmanager
def chromium() -> Iterator[Pipe]:
    """A headless Chromium that reaches no host; it ends with the context."""
    to_browser, send = os.pipe()
    receive, from_browser = os.pipe()
    with tempfile.TemporaryDirectory(prefix="annex-bootstrap-browser-", ignore_cleanup_errors=True) as profile:
        command = [
            ensure_chromium(),
            "--headless",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            "--no-first-run",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            # Chromium's sandbox refuses to run as root, and everything shown here is our own.
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
        ]
        # The browser reads descriptor 3 and writes descriptor 4.
        script = f'exec 3<&{to_browser} 4>&{from_browser}; exec "$@"'
        browser = subprocess.Popen(
            ["bash", "-c", script, "bash", *command],
            pass_fds=(to_browser, from_browser),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_browser)
        os.close(from_browser)
        try:
            yield Pipe(send, receive)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(browser.pid, signal.SIGKILL)
            browser.wait()
            os.close(send)
            os.close(receive)


def new_page(pipe: Pipe, context: str, *, scripts: bool = True) -> Page:
    """An empty page in a browser context, with everything on that the tests watch."""
    target = pipe.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
    page = Page(pipe, pipe.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
    for domain in ("Page", "Runtime", "Log"):
        page.call(f"{domain}.enable")
    page.call("Fetch.enable", patterns=[{"urlPattern": "https://*"}])
    page.call("Emulation.setScriptExecutionDisabled", value=not scripts)
    page.resize(1100, 900)
    pipe.events.clear()
    return page
