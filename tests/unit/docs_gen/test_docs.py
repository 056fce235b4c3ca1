"""What the documentation says that the code knows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from annex_bootstrap.launch.launch_page import PAGE_NAME
from annex_bootstrap.main import commands
from annex_contract.stack import TEMPLATE_NAME
from docs_gen import facts, picture
from tests.template import template

PAGES = (
    "guide",
    "choosing",
    "costs",
    "troubleshooting",
    "from-condor-annex-setup",
    "from-the-8.7.0-guide",
    "security",
    "operations",
    "architecture",
)
ROOT = facts.DOCS.parent
WRITTEN = sorted([*ROOT.glob("*.md"), *facts.DOCS.glob("*.md")])
"""Every page but the one that a program printed."""

BUILT = {f"dist/{TEMPLATE_NAME}", f"dist/{PAGE_NAME}", "dist/packages/", "dist/site/"}
"""What is named and may not have been built yet."""

COMMAND = re.compile(r"^(?:\$ )?(annex-bootstrap .*?)(?: >>? \S+)?$|`(annex-bootstrap [^`]*)`", re.MULTILINE)


def _read(page: str) -> str:
    return (facts.DOCS / f"{page}.md").read_text()


@pytest.mark.parametrize("page", PAGES)
def test_every_table_of_facts_is_as_the_code_has_it(page: str) -> None:
    assert facts.fill(_read(page)) == _read(page), "run python -m docs_gen.facts"


def test_every_table_is_on_some_page() -> None:
    used = re.findall(r"<!-- facts: ([a-z-]+) -->", "".join(_read(page) for page in PAGES))
    assert sorted(used) == sorted(facts.TABLES)


def test_no_text_in_the_picture_is_wider_than_its_box() -> None:
    texts = re.findall(r'<text class="small"[^>]*>([^<]*)<', picture.TARGET.read_text())
    assert len(texts) > 30
    # That many letters were seen to fit.
    assert max(map(len, texts)) <= len("role and instance profile for the machines")
    assert template()["Resources"].keys() >= picture.OWN.keys()


def test_the_picture_is_drawn_from_the_template() -> None:
    assert picture.draw(template()) == picture.TARGET.read_text(), "run python -m docs_gen.picture"


@pytest.mark.parametrize("page", PAGES)
def test_every_command_on_a_page_is_one_that_the_client_takes(page: str) -> None:
    for match in COMMAND.finditer(_read(page)):
        words = shlex.split(match[1] or match[2])[1:]
        if words[0].startswith("-"):
            assert words == ["--version"]
            continue
        group: click.Command = commands
        while isinstance(group, click.Group) and words:
            found = group.get_command(click.Context(group), words[0])
            assert found, match[0]
            group, _ = found, words.pop(0)
        # Options that a sentence leaves out may be missing here; those that it names must exist.
        parser_error = _parse(group, words)
        assert parser_error is None or "Missing" in parser_error, f"{match[0]}: {parser_error}"


def _parse(command: click.Command, words: list[str]) -> str | None:
    try:
        command.make_context(command.name, list(words))
    except click.ClickException as error:
        return error.format_message()
    return None


def _names(command: click.Command, above: str = "") -> list[str]:
    """Return a command's words and those of the commands below it, such as ``leases end``."""
    name = f"{above} {command.name}".strip() if command is not commands else ""
    if not isinstance(command, click.Group):
        return [name]
    context = click.Context(command)
    below = [command.get_command(context, each) for each in command.list_commands(context)]
    return [*([name] if name else []), *(word for each in below if each for word in _names(each, name))]


def test_every_command_has_its_section_and_every_command_below_it_is_named_there() -> None:
    texts = re.split(r"^## (.*)\n", _read("cli"), flags=re.MULTILINE)
    sections = dict(zip(texts[1::2], texts[2::2], strict=True))
    names = _names(commands)
    assert "leases end" in names
    assert "start" in names
    assert {name for name in names if " " not in name} <= sections.keys()
    assert [name for name in names if " " in name and name not in sections[name.split()[0]]] == []


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_every_link_to_a_page_or_a_heading_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https:)([^)]+)\)", page.read_text()):
        name, _, heading = target.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), target
        headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE) if heading else []
        assert not heading or heading in [_anchor(title) for title in headings], target


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    missing = [path for path in _named_paths(page.read_text()) if not (ROOT / path).exists()]
    assert set(missing) <= BUILT


def test_a_path_is_recognized_among_other_words() -> None:
    text = "`lambda_lease/`, `build.py` and `.ci/run`, not `config-*.tar.gz`, `role/own`, `make e2e` or `/etc/hosts`"
    assert _named_paths(text) == ["lambda_lease/", "build.py", ".ci/run"]


def _named_paths(text: str) -> list[str]:
    """Return what stands in backticks and is a path of this repository: a folder, or a file in it or of our kinds."""
    words = re.findall(r"`([\w.-]+(?:/[\w.-]+)*/?)`", text)
    return [
        word
        for word in words
        if word.endswith(("/", ".py", ".md")) or ("/" in word and (ROOT / word.split("/")[0]).is_dir())
    ]


@pytest.mark.parametrize("page", PAGES)
def test_every_parameter_that_a_command_sets_is_one_of_the_template(page: str) -> None:
    known = template()["Parameters"]
    for name in re.findall(r"--param (\w+)=", _read(page)):
        assert name in {*known, "NAME"}


def test_the_documentation_stands_beside_the_code() -> None:
    assert Path(facts.DOCS, "architecture.svg").is_file()
