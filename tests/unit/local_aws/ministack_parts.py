"""What the local AWS uses and replaces of MiniStack, each part with a hash of its source.

``python -m tests.unit.local_aws.ministack_parts`` writes them into ``tests/data/ministack.json``. Run it when an
extension uses another part, and for a newer MiniStack after a look at what that changes.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from local_aws.server.extensions import EXTENSIONS
from tests.unit.local_aws.replacements import snapshot

ROOT = Path(__file__).parents[3]
RECORD = ROOT / "tests" / "data" / "ministack.json"
EXTENDING = ROOT / "local_aws" / "server"


def parts() -> dict[str, str]:
    """Return the hash of every part by its name; extensions are installed, so call it in a process of its own."""
    texts = {name: _definition(*name.rpartition(".")[::2]) for name in set(_used())} | dict(_replaced())
    return {name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in sorted(texts.items())}


def _used() -> Iterator[str]:
    """Yield the names that the extensions use, such as ``ministack.services.ec2._xml``."""
    for file in EXTENDING.rglob("*.py"):
        tree = ast.parse(file.read_text())
        modules: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "ministack":
                for alias in node.names:
                    name = f"{node.module}.{alias.name}"
                    if _source_file(name):
                        modules[alias.asname or alias.name] = name
                    else:
                        yield name
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
                yield f"{modules[node.value.id]}.{node.attr}"


def _replaced() -> Iterator[tuple[str, str]]:
    """Yield the functions of MiniStack that the extensions replace, with their sources."""
    before = snapshot()
    for install in EXTENSIONS:
        install()
    after = snapshot()
    for name, value in before.items():
        module = getattr(value, "__module__", "") or ""
        if after.get(name) is not value and inspect.isfunction(value) and module.startswith("ministack."):
            yield f"{module}.{value.__qualname__}", inspect.getsource(value)


def _definition(module: str, name: str) -> str:
    """Return the source of everything at a module's top level that defines a name; nothing where it is gone."""
    lines, statements = _parsed(module)
    found = [node for node in statements if name in _names(node)]
    return "\n".join("\n".join(lines[node.lineno - 1 : node.end_lineno]) for node in found)


@cache
def _parsed(module: str) -> tuple[list[str], list[ast.stmt]]:
    file = _source_file(module)
    source = file.read_text() if file else ""
    # Python ends lines here only, where splitlines() knows more.
    return source.split("\n"), ast.parse(source).body


def _names(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in node.names}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _source_file(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec and spec.origin else None


def main() -> None:
    """Write the record."""
    RECORD.write_text(json.dumps(parts(), indent=1) + "\n")


if __name__ == "__main__":
    main()
