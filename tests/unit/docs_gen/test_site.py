"""How the pages of the repository become those of the site."""

from __future__ import annotations

import pytest

from docs_gen import site


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
