"""The pages of the site that stand outside ``docs/``, for MkDocs: a hook that ``mkdocs.yml`` names.

A page links to its neighbours by their paths in the repository. This hook takes the pages beside ``docs/`` into the
site, and makes each link lead to the page there. ``make docs`` builds the site.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from pathlib import Path

from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from template_gen.archive import ROOT

BESIDE: Mapping[str, str] = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    # Not security.md, which is another page.
    "SECURITY.md": "reporting.md",
    "LICENSE": "license.txt",
}
"""What the site has from beside ``docs/``: the path in the repository, and in the site."""

FENCE = re.compile(r"^```(\w+) .*$", re.MULTILINE)
"""The start of a block of code, with a word for the tests after its language. Python-Markdown knows no such word."""

LINK = re.compile(r"""(?<=\]\()(?!https?:|#)[^)#]+|(?:(?<= src=")|(?<= srcset="))[^"#]+""")
"""Where a link or a picture leads, in Markdown or in HTML."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from beside ``docs/``."""
    for path, name in BESIDE.items():
        files.append(File.generated(config, name, content=(ROOT / path).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 MkDocs names them
    """Return a page's text as the site needs it."""
    return adapt(markdown, page.file.src_uri)


def adapt(markdown: str, name: str) -> str:
    """Return a page's text with its links and blocks of code as the site needs them.

    Args:
        markdown: with links relative to the page's place in the repository.
        name: of the page in the site.
    """
    beside = {there: path for path, there in BESIDE.items()}
    folder = posixpath.dirname(beside.get(name, f"docs/{name}"))

    def target(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, found[0]))
        return BESIDE.get(path) or path.removeprefix("docs/")

    return LINK.sub(target, FENCE.sub(r"```\1", markdown))


def build_site(directory: Path, docs: Path = ROOT / "docs") -> None:
    """Build the site.

    Args:
        directory: where to.
        docs: the directory of the pages.

    Raises:
        mkdocs.exceptions.Abort: a link leads nowhere.
    """
    build(load_config(config_file=str(ROOT / "mkdocs.yml"), docs_dir=str(docs), site_dir=str(directory)))
