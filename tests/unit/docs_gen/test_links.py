"""The list of links that leads out of the documentation."""

from __future__ import annotations

import pytest

from docs_gen import links


def test_an_address_is_listed_once_with_every_page_that_has_it() -> None:
    pages = {
        "b.md": "See [one](https://example.org/one) and [two](http://example.org/two#part).",
        "a.md": "[one](https://example.org/one), [again](https://example.org/one).",
    }
    assert links.find_links(pages) == {
        "http://example.org/two#part": ["b.md"],
        "https://example.org/one": ["a.md", "b.md"],
    }


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("[a](guide.md) [b](#part) [c](mailto:you@example.org)", []),
        ("<https://example.org/>", ["https://example.org/"]),
        ("[a](https://example.org/a_(b))", ["https://example.org/a_(b)"]),
        ("[`a`](https://example.org/a)", ["https://example.org/a"]),
        ("[a](https://example.org/a), [b](https://example.org/b).", ["https://example.org/a", "https://example.org/b"]),
        ("`[a](https://example.org/a)`", []),
        ("```sh\ncurl [a](https://example.org/a)\n```\n", []),
        ("[a\nb](https://example.org/a)", ["https://example.org/a"]),
    ],
)
def test_what_is_a_link_that_leads_elsewhere(text: str, addresses: list[str]) -> None:
    assert list(links.find_links({"a.md": text})) == addresses


def test_the_pages_are_those_of_the_documentation(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"README.md", "docs/guide.md", "docs/choosing.md"} <= links.read_pages().keys()
    links.main()
    assert "https://pipx.pypa.io  docs/guide.md\n" in capsys.readouterr().out
