"""The documentation as a site: complete, and readable without anything from elsewhere."""

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

from docs_gen import site
from template_gen.archive import ROOT

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
    site.build_site(directory)
    return directory


def pages(directory: Path) -> Iterator[tuple[Path, Seen]]:
    for path in sorted(directory.glob("*.html")):
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
        assert re.findall(r"@import|(?:url\(|href=|src=)\s*[\"']?(?:\w+:|//)[^)]*", path.read_text()) == [], path.name
    assert list(built.rglob("*.js")) == []


def test_no_list_or_block_of_code_has_become_a_paragraph(built: Path) -> None:
    for path in built.glob("*.html"):
        text = re.sub(r"<(pre|code)>.*?</\1>", "", path.read_text(), flags=re.DOTALL)
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
        site.build_site(tmp_path / "site", docs)


@pytest.mark.parametrize(
    ("name", "link", "leads_to"),
    [
        ("guide.md", "security.md", "security.md"),
        ("guide.md", "../SECURITY.md", "reporting.md"),
        ("index.md", "docs/guide.md#4-an-open-port", "guide.md#4-an-open-port"),
        ("index.md", "LICENSE", "license.txt"),
        ("reporting.md", "docs/security.md", "security.md"),
        ("index.md", "docs/architecture.svg", "architecture.svg"),
        ("guide.md", "#4-an-open-port", "#4-an-open-port"),
        ("guide.md", "https://example.org/a.md", "https://example.org/a.md"),
    ],
)
def test_a_link_of_the_repository_leads_to_the_same_page_of_the_site(name: str, link: str, leads_to: str) -> None:
    assert site.adapt(f"see [it]({link}).", name) == f"see [it]({leads_to})."


def test_a_picture_in_html_is_that_of_the_site() -> None:
    html = '<source srcset="{0}demo-dark.svg"><img src="{0}demo-light.svg">'
    assert site.adapt(html.format("docs/"), "index.md") == html.format("")
