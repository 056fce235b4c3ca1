"""What the documentation says that the code knows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from annex_bootstrap.cli import commands
from docs_gen import facts, picture
from local_aws.demo.annexes import SCHEDULE
from template_gen.template import build

PAGES = ("guide", "security", "operations", "architecture")
COMMAND = re.compile(r"^(?:\$ )?(annex-bootstrap .*)$|`(annex-bootstrap [^`]*)`", re.MULTILINE)


def _read(page: str) -> str:
    return (facts.DOCS / f"{page}.md").read_text()


@pytest.mark.parametrize("page", PAGES)
def test_every_table_of_facts_is_as_the_code_has_it(page: str) -> None:
    assert facts.fill(_read(page)) == _read(page), "run python -m docs_gen.facts"


def test_every_table_is_on_some_page() -> None:
    used = re.findall(r"<!-- facts: ([a-z-]+) -->", "".join(_read(page) for page in PAGES))
    assert sorted(used) == sorted(facts.TABLES)


def test_the_picture_is_drawn_from_the_template() -> None:
    assert picture.draw(build().to_dict()) == picture.TARGET.read_text(), "run python -m docs_gen.picture"


def test_the_rate_of_leases_is_the_one_that_condor_annex_asks_for() -> None:
    assert f"rate({facts.LEASE_RULE_MINUTES} minutes)" == SCHEDULE


@pytest.mark.parametrize("page", PAGES)
def test_every_command_on_a_page_is_one_that_the_client_takes(page: str) -> None:
    for match in COMMAND.finditer(_read(page)):
        words = shlex.split(match[1] or match[2])[1:]
        if words[0].startswith("-"):
            assert words == ["--version"]
            continue
        group: click.Command = commands
        while isinstance(group, click.Group) and words:
            assert words[0] in group.commands, match[0]
            group = group.commands[words.pop(0)]
        # Options that a sentence leaves out may be missing here; those that it names must exist.
        parser_error = _parse(group, words)
        assert parser_error is None or "Missing" in parser_error, f"{match[0]}: {parser_error}"


def _parse(command: click.Command, words: list[str]) -> str | None:
    try:
        command.make_context(command.name, list(words))
    except click.ClickException as error:
        return error.format_message()
    return None


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_page_or_a_heading_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\((?!https:)([^)]+)\)", _read(page)):
        name, _, heading = target.partition("#")
        path = facts.DOCS / (name or f"{page}.md")
        assert path.exists(), target
        headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE) if heading else []
        assert not heading or heading in [_anchor(each) for each in headings], target


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_every_parameter_that_a_command_sets_is_one_of_the_template(page: str) -> None:
    known = build().to_dict()["Parameters"]
    for name in re.findall(r"--param (\w+)=", _read(page)):
        assert name in {*known, "NAME"}


def test_the_documentation_stands_beside_the_code() -> None:
    assert Path(facts.DOCS, "architecture.svg").is_file()
