from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from annex_bootstrap.launch import launch_page
from template_gen.template import build
from tests.browser.chromium import BrowserUnavailableError, Page, Pipe, chromium, ensure_chromium, new_page

AXE = "axe-core@4.14.1"
"""The accessibility checker, from npm."""

OpenPage = Callable[..., Page]

URL = "https://s3.eu-west-1.amazonaws.com/made-up/annex-bootstrap/0.1.0/annex-bootstrap.template.json"


@pytest.fixture(scope="session")
def browser() -> Iterator[Pipe]:
    """One Chromium for all. Who runs these tests wants them run, so without it they fail."""
    try:
        ensure_chromium()
    except BrowserUnavailableError as error:
        pytest.fail(str(error), pytrace=False)
    with chromium() as pipe:
        yield pipe


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The text of axe-core."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.fail("the accessibility test needs axe-core: install npm, try again", pytrace=False)
    directory = tmp_path_factory.mktemp("axe")
    command = [npm, "install", "--prefix", str(directory), "--no-save", "--no-audit", "--ignore-scripts", AXE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"the accessibility test needs {AXE}, and npm says: {done.stderr.strip()}", pytrace=False)
    return (directory / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.fixture(scope="session")
def write_page(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Writes a launch page for a partition, published at a URL, and gives the page's own URL."""
    template = json.loads(build().to_json())

    def write(partition: str = "aws", template_url: str = URL) -> str:
        path: Path = tmp_path_factory.mktemp("page") / "launch.html"
        path.write_text(launch_page.render(template, partition, template_url))
        return path.as_uri()

    return write


@pytest.fixture
def open_page(browser: Pipe) -> Iterator[OpenPage]:
    """Opens empty pages, each in a profile of its own; they go with the test."""
    contexts: list[str] = []

    def open_one(*, scripts: bool = True) -> Page:
        contexts.append(browser.call("Target.createBrowserContext")["browserContextId"])
        return new_page(browser, contexts[-1], scripts=scripts)

    yield open_one
    for context in contexts:
        browser.call("Target.disposeBrowserContext", browserContextId=context)
    browser.events.clear()


@pytest.fixture
def page(open_page: OpenPage, write_page: Callable[..., str]) -> Page:
    """The launch page as it was published, open."""
    opened = open_page()
    opened.open(write_page())
    return opened
