"""The documentation as a site: complete, readable without anything from elsewhere, and the same in a real browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from mkdocs.exceptions import Abort

from docs_gen.site import build_site
from template_gen.archive import ROOT
from tests.browser.chromium import Page
from tests.browser.conftest import OpenPage

LOADED = {("img", "src"), ("link", "href"), ("script", "src"), ("source", "srcset"), ("iframe", "src")}
"""What a browser loads with a page, as tag and attribute."""


@dataclass
class Seen(HTMLParser):
    """What a page has.

    Attributes:
        ids: that a link may lead to.
        links: where its links lead.
        loaded: what a browser loads with it.
    """

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.add(value or "")
            elif (tag, name) == ("a", "href"):
                self.links.append(value or "")
            elif (tag, name) in LOADED:
                self.loaded.append(value or "")
            assert name != "style" or "(" not in (value or ""), f"the style of {tag} may load something"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the built site."""
    directory = tmp_path_factory.mktemp("site")
    build_site(directory)
    return directory


def pages(directory: Path) -> Iterator[tuple[Path, Seen]]:
    # 404.html is for a web server.
    for path in sorted({*directory.glob("*.html")} - {directory / "404.html"}):
        seen = Seen()
        seen.feed(path.read_text())
        yield path, seen


def test_every_page_of_the_documentation_is_in_the_site(built: Path) -> None:
    written = {path.with_suffix(".html").name for path in (ROOT / "docs").glob("*.md")}
    assert written | {"index.html", "reporting.html"} <= {path.name for path in built.glob("*.html")}


def test_every_link_and_every_picture_leads_to_something_in_the_site(built: Path) -> None:
    ids = {path.name: seen.ids for path, seen in pages(built)}
    missing = []
    for path, seen in pages(built):
        for target in [*seen.links, *seen.loaded]:
            parts = urlsplit(target)
            if parts.scheme == "https":
                continue
            assert not parts.scheme, target
            name = unquote(parts.path) or path.name
            if not (built / name).is_file() or (parts.fragment and unquote(parts.fragment) not in ids[name]):
                missing.append((path.name, target))
    assert missing == []


def test_nothing_is_loaded_from_elsewhere(built: Path) -> None:
    loaded = [(path.name, target) for path, seen in pages(built) for target in seen.loaded]
    assert any(target.endswith(".css") for _, target in loaded)
    assert any(target.endswith(".svg") for _, target in loaded)
    assert [found for found in loaded if re.match(r"\w+:|//", found[1])] == []
    for path in [*built.rglob("*.css"), *built.rglob("*.svg")]:
        assert re.findall(r"@import|(?:url\(|href=|src=)\s*[\"']?(?:(?!data:)\w+:|//)[^)]*", path.read_text()) == [], (
            path.name
        )
    for path in built.rglob("*.html"):
        assert re.findall(r"unpkg|googleapis|gstatic|jsdelivr", path.read_text()) == [], path.name


def test_no_list_or_block_of_code_has_become_a_paragraph(built: Path) -> None:
    for path, _ in pages(built):
        text = re.sub(r"<(pre|code)\b.*?</\1>", "", path.read_text(), flags=re.DOTALL)
        paragraphs = re.findall(r"<p>(.*?)</p>", text, re.DOTALL)
        assert paragraphs
        found = [text for text in paragraphs if re.search(r"^\s*([-*] |\d+\. |```|\|)", text, re.MULTILINE)]
        assert found == [], path.name


@pytest.mark.parametrize("target", ["missing.md", "security.md#missing", "../missing.py", "missing.svg"])
def test_a_link_that_leads_nowhere_fails_the_build(target: str, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    shutil.copytree(ROOT / "docs", docs)
    with (docs / "guide.md").open("a") as guide:
        guide.write(f"\n[nowhere]({target})\n")
    with pytest.raises(Abort):
        build_site(tmp_path / "site", docs)


def _asked(page: Page) -> list[str]:
    """Return what the page wanted from elsewhere."""
    page.run("1")
    return [event["params"]["request"]["url"] for event in page.pipe.events if event["method"] == "Fetch.requestPaused"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1300])
@pytest.mark.parametrize("name", ["index", "guide", "choosing", "costs", "troubleshooting", "cli"])
def test_a_page_of_the_site_is_whole_and_axe_finds_no_problem(
    built: Path, open_page: OpenPage, axe: str, name: str, width: int, scheme: str
) -> None:
    page = open_page()
    page.resize(width, 900)
    page.prefer(scheme)
    page.open((built / f"{name}.html").as_uri())
    assert page.take_problems() == []
    assert _asked(page) == []
    assert page.run("[...document.images].every((image) => image.naturalWidth > 0)")
    assert page.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    # The last parts that scripts add, at the end of the page.
    page.run("new Promise((done) => setInterval(() => document.querySelector('.md-search[aria-label]') && done(), 50))")
    page.run(axe)
    done = page.run("axe.run().then(({ violations, passes }) => ({ passes: passes.length, violations }))")
    assert done["passes"] > 10
    assert [(violation["id"], [node["html"] for node in violation["nodes"]]) for violation in done["violations"]] == []


def test_the_colours_follow_the_system_also_when_it_changes(built: Path, open_page: OpenPage) -> None:
    page = open_page()
    page.prefer("light")
    page.open((built / "index.html").as_uri())
    shown = "getComputedStyle(document.body).colorScheme"
    assert page.run(shown) != "dark"
    page.prefer("dark")
    assert page.run(f"new Promise((done) => setInterval(() => {shown} === 'dark' && done(true), 50))")
    page.open((built / "guide.html").as_uri())
    assert page.run(f"new Promise((done) => setInterval(() => {shown} === 'dark' && done(true), 50))")


def _search(page: Page, words: str) -> list[str]:
    """Return the places that the search finds, best first, as page and heading."""
    page.run("document.querySelector('[data-md-component=search-query]').focus()")
    page.type(words)
    page.press("End")
    links: list[str] = page.run(
        "new Promise((resolve, reject) => {"
        "  const look = () => [...document.querySelectorAll('.md-search-result__link')].map((link) => link.href);"
        "  setInterval(() => look().length && resolve(look()), 100);"
        "  setTimeout(() => reject(new Error('nothing found')), 20000);"
        "})"
    )
    return [re.sub(r"\?[^#]*", "", link.rpartition("/")[2]) for link in links]


@pytest.mark.parametrize("width", [360, 1300])
def test_the_search_answers_where_the_site_is_opened_from_the_file_system(
    built: Path, open_page: OpenPage, width: int
) -> None:
    page = open_page()
    page.resize(width, 900)
    page.open((built / "index.html").as_uri())
    if width < 600:
        page.run("document.querySelector('label[for=__search].md-header__button').click()")
    assert "troubleshooting.html" in _search(page, "quota")
    page.open((built / "guide.html").as_uri())
    assert "troubleshooting.html#spot-machines-disappear" in _search(page, "spot")
    page.open((built / "guide.html").as_uri())
    assert "troubleshooting.html#why-does-my-job-wait" in _search(page, "why does my job wait")[:2]
    assert page.take_problems() == []
    assert _asked(page) == []


def test_a_copied_terminal_is_its_commands_alone(built: Path, open_page: OpenPage) -> None:
    page = open_page()
    page.open((built / "guide.html").as_uri())
    button = "document.querySelector('[id=\"6-the-configuration\"] ~ .highlight .md-code__button')"
    assert page.run(f"new Promise((resolve) => setInterval(() => {button} && resolve(true), 50))")
    # Material copies this attribute where there is one.
    copied = page.run("document.querySelector('[id=\"6-the-configuration\"] ~ .highlight code').dataset.copy")
    assert copied.split("\n") == ["annex-bootstrap pull-config", "annex-bootstrap pull-config --print"]


def test_the_pages_are_behind_a_button_on_a_phone(built: Path, open_page: OpenPage) -> None:
    page = open_page()
    page.resize(360, 800)
    page.open((built / "guide.html").as_uri())
    seen = "document.querySelector('.md-sidebar--primary').getBoundingClientRect().right > 0"
    assert not page.run(seen)
    page.run("document.querySelector('label[for=__drawer].md-header__button').click()")
    assert page.run(f"new Promise((resolve) => setTimeout(() => resolve({seen}), 1000))")


def test_the_repository_is_linked_where_it_is_known(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "md-source" not in (built / "index.html").read_text()
    monkeypatch.setenv("REPOSITORY_URL", "https://github.com/made-up/annex-bootstrap")
    build_site(tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert '<a href="https://github.com/made-up/annex-bootstrap"' in page
    # With it, Material asks GitHub's API for stars.
    assert 'data-md-component="source"' not in page
