"""Which module may import which: imports point downwards, and the graph that they make has no circle."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests")
"""Every package of the project but the tests, which may import anything."""

ROOMS = (
    {"__main__"},
    {"main"},
    {"commands"},
    {"console", "options"},
    {"doctor", "growth"},
    {"annexes", "launch", "policies"},
    {"machines", "pool"},
    {"stack"},
    {"target", "words"},
    {"aws", "local_user", "times"},
    {"advice", "errors"},
)
"""The parts of the client: each may import those below it, and none beside it."""

MAY_IMPORT = {
    "annex_contract": set(),
    "machine_image": {"annex_contract"},
    "custom_resources": {"annex_contract", "machine_image"},
    "lambda_connectivity": {"annex_contract"},
    "lambda_lease": {"annex_contract"},
    # The template sets the environment that these functions read.
    "template_gen": {"annex_contract", "lambda_connectivity", "lambda_lease", "machine_image"},
    "docs_gen": {"annex_bootstrap", "annex_contract", "lambda_lease", "template_gen"},
    "local_aws": {"annex_bootstrap", "annex_contract"},
    "annex_bootstrap": {"annex_contract", "local_aws"},
    # What it measures.
    "benchmarks": {
        *("annex_bootstrap", "annex_contract", "custom_resources", "docs_gen", "lambda_lease", "local_aws"),
        "template_gen",
    },
}
"""What each package may import of ours besides itself."""

KNOW_LOCAL_AWS = {f"annex_bootstrap.commands.{name}" for name in ("demo", "local", "rehearse")}
"""The modules of the client that may import the local AWS, which a plain install does not have."""


BUILT_OF_OTHERS = {"delete", "demo", "image", "rehearse", "setup"}
"""The commands that use other commands' actions: ``delete`` removes users as ``credentials`` does, ``demo`` and
``rehearse`` what they share with ``local``, ``image rebuild`` is a ``deploy``, ``setup`` has several for its steps."""


def modules() -> dict[str, Path]:
    """Return every module of ours, by its dotted name."""
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    return dict(zip(names, paths, strict=True))


MODULES = modules()


def imports_of(module: str) -> set[str]:
    """Return the modules of this project that a module imports anywhere, type-only imports included."""
    named: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            named |= {
                f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in MODULES else str(node.module)
                for alias in node.names
            }
    return {name for name in named if name in MODULES} - {module}


@cache
def graph() -> dict[str, set[str]]:
    """Return what each module imports."""
    return {module: imports_of(module) for module in MODULES}


def level_of(module: str) -> int:
    """Return how far from the top a module of the client stands."""
    room = module.split(".")[1]
    return next(level for level, rooms in enumerate(ROOMS) if room in rooms)


def test_the_graph_knows_the_imports_of_a_module() -> None:
    assert "annex_contract.lease" in graph()["lambda_lease.annexes"]
    assert "annex_bootstrap.launch.launch_page" in graph()["annex_bootstrap.launch.publish"]


def test_every_package_has_its_rule() -> None:
    assert sorted(MAY_IMPORT) == PACKAGES


def test_imports_make_no_circle() -> None:
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_those_below_it(package: str) -> None:
    inside = [module for module in graph() if module.split(".")[0] == package]
    imported = {name.split(".")[0] for module in inside for name in graph()[module]}
    assert imported - {package} <= MAY_IMPORT[package]


def test_a_room_of_the_client_imports_only_rooms_below_it() -> None:
    upwards = [
        f"{module} imports {imported}"
        for module, names in graph().items()
        for imported in names
        if module.startswith("annex_bootstrap.") and imported.startswith("annex_bootstrap.")
        if module.split(".")[1] != imported.split(".")[1] and level_of(module) >= level_of(imported)
    ]
    assert upwards == []


def test_a_command_imports_another_only_where_it_is_built_of_it() -> None:
    commands = [module for module in graph() if module.startswith("annex_bootstrap.commands.")]
    builders = {module.rpartition(".")[2] for module in commands if graph()[module] & set(commands)}
    assert builders <= BUILT_OF_OTHERS


def test_only_aws_knows_the_sdk_and_only_the_console_knows_what_draws_tables() -> None:
    knowing: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        if module.startswith("annex_bootstrap."):
            for name in _packages(path):
                knowing.setdefault(name, set()).add(module)
    assert knowing["boto3"] == knowing["botocore"] == {"annex_bootstrap.aws"}
    assert {module.rpartition(".")[0] for module in knowing["rich"]} == {"annex_bootstrap.console"}


def _packages(path: Path) -> set[str]:
    """Return the packages that a module imports when it runs."""
    tree = ast.parse(path.read_text())
    for_types = {
        node
        for guard in ast.walk(tree)
        if isinstance(guard, ast.If) and isinstance(guard.test, ast.Name) and guard.test.id == "TYPE_CHECKING"
        for node in ast.walk(guard)
    }
    named = set()
    for node in set(ast.walk(tree)) - for_types:
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            named.add(str(node.module))
    return {name.split(".")[0] for name in named}


def test_of_the_client_only_three_commands_know_the_local_aws() -> None:
    client = {module: names for module, names in graph().items() if module.split(".")[0] == "annex_bootstrap"}
    knowing = {module for module, names in client.items() if any(name.split(".")[0] == "local_aws" for name in names)}
    assert knowing == KNOW_LOCAL_AWS
