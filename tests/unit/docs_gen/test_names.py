"""Whatever stands in backticks in the two pages for maintainers exists, where their sentence says that it is."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from annex_bootstrap.main import commands
from annex_contract.knobs import KNOBS
from docs_gen.facts import DOCS
from tests.template import template
from tests.unit.test_imports import ROOMS

ROOT = DOCS.parent
PAGES = (ROOT / "CONTRIBUTING.md", DOCS / "architecture.md")
GENERATED = ("dist/", ".venv")
"""What the build writes, and what ``make`` installs into: git ignores both."""

IDENTIFIER = re.compile(r"[A-Za-z_][\w.]*")
CALL = re.compile(r"([A-Za-z_][\w.]*)\([\w, ]*\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_everything_in_backticks_exists_where_its_sentence_says(page: Path) -> None:
    assert list(_unknown(page.read_text())) == []


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("`annex_bootstrap/cli/` has the options", "annex_bootstrap/cli/"),
        ("`annex_contract/words.py`", "annex_contract/words.py"),
        ("```\nannex_bootstrap/cli\n  annex_bootstrap/pool\n```", "annex_bootstrap/cli"),
        ("call `no_such_function`", "no_such_function"),
        ("1. `annex_contract/stack.py`: a member of\n   `OUTPUTS`", "OUTPUTS"),
        ("`pull` in `annex_bootstrap/pool/blocks.py` takes the outputs", "pull"),
        ("`lambda_lease/` has `put(request)`", "put(request)"),
        ("| a name | `Screen.whisper` |", "Screen.whisper"),
        ("run `make tea` first", "make tea"),
        ("then `python -m docs_gen.fiction`", "python -m docs_gen.fiction"),
        ("or `.venv/bin/pytest -m slow tests/unit/fiction`", ".venv/bin/pytest -m slow tests/unit/fiction"),
        ("marked `-m sluggish`", "-m sluggish"),
        ("with `--no-such-option`", "--no-such-option"),
        ("set `NO_SUCH_VARIABLE=yes`", "NO_SUCH_VARIABLE=yes"),
        ("the script `ubuntu.sh`", "ubuntu.sh"),
        ("checked by `@nobody/no-such-package`", "@nobody/no-such-package"),
    ],
)
def test_what_does_not_exist_is_found(text: str, unknown: str) -> None:
    assert list(_unknown(text)) == [unknown]


@pytest.mark.parametrize(
    "text",
    [
        "`pull` in `annex_bootstrap/pool/pull.py`",
        "`Screen.say`, a `UserError`, `deploy --dry-run` and `~/.condor/user_config`",
        "`custom_resources/`: a module with `put(request)`",
        "`WORST_CASE_SEED=1 make thorough`",
        "one item of `annex_contract/stack.py`\n\nand another of `OUTPUTS`",
    ],
)
def test_what_exists_is_not_reported(text: str) -> None:
    assert list(_unknown(text)) == []


def test_the_order_of_imports_on_the_page_is_the_one_that_a_test_holds() -> None:
    block = re.findall(r"^```\n(.*?)^```$", PAGES[0].read_text(), flags=re.MULTILINE | re.DOTALL)[0]
    levels = [set(re.findall(r"annex_bootstrap/(\w+)", line)) for line in block.splitlines()]
    assert [level for level in levels if level] == [*ROOMS[1:]]


def _unknown(text: str) -> Iterator[str]:
    """Yield what stands in backticks on a page and does not exist, and the paths in its blocks that do not."""
    blocks = re.findall(r"^```\n.*?^```$", text, flags=re.MULTILINE | re.DOTALL)
    yield from (path for block in blocks for path in re.findall(r"\w[\w./]*/[\w./]*", block) if not _is_path(path))
    for block in blocks:
        text = text.replace(block, "")
    # A paragraph, an item of a list or a row of a table.
    for item in re.split(r"\n\s*\n|\n(?=\s*(?:- |\d+\. |\|))", text):
        quoted = [" ".join(words.split()) for words in re.findall(r"`([^`]+)`", item)]
        modules = [path for path in quoted if path.endswith(".py") or (path.endswith("/") and _is_path(path))]
        for words in quoted:
            if not _exists(words, modules):
                yield words


def _exists(words: str, modules: list[str]) -> bool:
    """Tell whether a quotation names something.

    Args:
        words: what stands between backticks.
        modules: the modules and folders that the same item names: a name of Python has to be in one of them.
    """
    first, _, rest = words.partition(" ")
    if first == "make":
        return first + " " + rest in _make_targets()
    if "=" in first and first.split("=")[0].isupper():
        return first.split("=")[0] in _variables() and (not rest or _exists(rest, modules))
    if words.startswith("python -m "):
        return _is_module(rest.split()[1]) and all(map(_is_path, re.findall(r"> (\S+)", rest)))
    if first.endswith("/pytest"):
        paths, marks = re.findall(r"\S+/\S+", rest), re.findall(r"-m \w+", rest)
        return all(map(_is_path, paths)) and all(map(_exists_option, marks))
    if first.startswith("-"):
        return _exists_option(words)
    if rest:
        return first in _commands() and all(option in _options() for option in re.findall(r"--[\w-]+", rest))
    if first.startswith("@"):
        return any(first in path.read_text() for path in _files() if path.name == "package.json")
    if first.startswith(("~", *GENERATED)):
        return True
    if "/" in first or re.search(r"\w\.(py|sh|md|json|toml)$", first):
        return _is_path(first) or any(path.name == first for path in _files())
    return _is_name(first, modules)


def _is_name(word: str, modules: list[str]) -> bool:
    if word in _commands() | _packages() | _of_the_template() | _variables() | {knob.name for knob in KNOBS}:
        return True
    called = CALL.fullmatch(word)
    name = called[1] if called else word
    if not IDENTIFIER.fullmatch(name):
        return False
    if modules:
        return any(name in names for path, names in _definitions().items() if path.startswith(tuple(modules)))
    return any(name in names for names in _definitions().values())


def _exists_option(words: str) -> bool:
    if words.startswith("-m "):
        settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
        markers = settings["tool"]["pytest"]["ini_options"]["markers"]
        return words.removeprefix("-m ") in [marker.split(":")[0] for marker in markers]
    return words.split()[0] in _options()


def _is_path(path: str) -> bool:
    return (ROOT / path).exists() or path.startswith(GENERATED)


def _is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


@cache
def _files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    return [path for name in listed.stdout.decode().splitlines() if (path := ROOT / name).is_file()]


@cache
def _definitions() -> dict[str, set[str]]:
    """Return what each module of the repository defines at its top, and the members of its classes."""
    return {
        str(path.relative_to(ROOT)): set(_defined(ast.parse(path.read_text()).body))
        for path in _files()
        if path.suffix == ".py"
    }


def _defined(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        match node:
            case ast.FunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name, body=inner):
                yield name
                yield from (f"{name}.{member}" for member in _defined(inner))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.Assign(targets=targets):
                yield from (target.id for target in targets if isinstance(target, ast.Name))


@cache
def _variables() -> set[str]:
    """Return what may be a variable of the environment: names in capitals that our code quotes or our scripts set."""
    code = "\n".join(path.read_text() for path in _files() if path.suffix == ".py" and path != Path(__file__))
    scripts = "\n".join((ROOT / name).read_text() for name in ("Makefile", ".ci/run"))
    name = "([A-Z]+(?:_[A-Z]+)+)"
    return set(re.findall(f'"{name}"', code)) | set(re.findall(rf"\b{name}=", scripts))


@cache
def _make_targets() -> set[str]:
    return {f"make {name}" for name in re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)}


@cache
def _packages() -> set[str]:
    """Return our packages, and the packages and extras that the project's settings name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [re.split(r"[^\w.-]", line)[0] for lines in (project["dependencies"], *extras.values()) for line in lines]
    return {*extras, *wanted, *(path.parent.name for path in ROOT.glob("*/__init__.py"))}


@cache
def _of_the_template() -> set[str]:
    """Return the names and the keys that stand in the built template."""

    def keys(node: object) -> Iterator[str]:
        if isinstance(node, dict):
            yield from node
        for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from keys(part)

    return set(keys(template()))


def _each_command(visit: Callable[[click.Command], Iterator[str]]) -> set[str]:
    def below(command: click.Command) -> Iterator[str]:
        yield from visit(command)
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found
                yield from below(found)

    return set(below(commands))


@cache
def _commands() -> set[str]:
    return _each_command(lambda command: iter([command.name or ""]))


@cache
def _options() -> set[str]:
    return _each_command(lambda command: (name for one in command.params for name in one.opts)) | {"--help"}
