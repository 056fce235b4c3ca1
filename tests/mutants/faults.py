"""Where faults can be planted: mutmut's operators, and some that leave out what costs money when it is missing.

mutmut itself plants all faults of a file at once and cannot sample; it also leaves out every function with a decorator.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.file_mutation import MutationVisitor
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode


@dataclass(frozen=True)
class Fault:
    """One change of one file.

    Attributes:
        path: the file, below the root of the checkout.
        line: where.
        before: the whole file.
        code: the same with the fault.
    """

    path: str
    line: int
    before: str
    code: str


def _without_entries(node: Any) -> Iterator[cst.CSTNode]:
    if isinstance(node, cst.Set) and len(node.elements) == 1:
        return
    for number in range(len(node.elements)):
        yield node.with_changes(elements=[*node.elements[:number], *node.elements[number + 1 :]])


def _without_call(node: Any) -> Iterator[cst.CSTNode]:
    match node.body:
        case [cst.Expr(value=cst.Call() as call)] if not _logs(call):
            yield node.with_changes(body=[cst.Pass()])


def _logs(node: Any) -> bool:
    match node:
        case cst.Call(func=cst.Attribute(value=cst.Name(value="logger"))):
            return True
    return False


def _negated(node: Any) -> Iterator[cst.CSTNode]:
    inner = node.test.with_changes(lpar=[cst.LeftParen(), *node.test.lpar], rpar=[*node.test.rpar, cst.RightParen()])
    yield node.with_changes(test=cst.UnaryOperation(cst.Not(), inner))


def _without_value(node: Any) -> Iterator[cst.CSTNode]:
    if node.value is not None:
        yield node.with_changes(value=cst.Name("None"), whitespace_after_return=cst.SimpleWhitespace(" "))


OPERATORS: Any = [
    *mutation_operators,
    *((kind, _without_entries) for kind in (cst.Dict, cst.List, cst.Set)),
    (cst.SimpleStatementLine, _without_call),
    (cst.If, _negated),
    (cst.CompIf, _negated),
    (cst.Return, _without_value),
]


class _Visitor(MutationVisitor):  # type: ignore[misc]  # mypy does not read mutmut
    """Goes into functions with decorators too; leaves out texts for people, logging, and what only a checker reads."""

    def _skip_node_and_children(self, node: Any) -> bool:
        match node:
            case cst.FunctionDef():
                return False
            case cst.Import() | cst.ImportFrom() | cst.Decorator() | cst.Call(func=cst.Name(value="TypeVar")):
                return True
            case cst.Call() if _logs(node):
                return True
            case cst.SimpleString(value=text) if " " in text:
                return True
            case cst.If(test=cst.Name(value="TYPE_CHECKING")):
                return True
        return bool(super()._skip_node_and_children(node))


@cache
def find_faults(code: str) -> list[tuple[int, Any, Any]]:
    """Return every place for a fault in a file: its line, the module of libcst, and the mutation."""
    wrapper = MetadataWrapper(cst.parse_module(code))
    visitor = _Visitor(OPERATORS, IgnoredCode(set(), set(), set()))
    module = wrapper.visit(visitor)
    places = wrapper.resolve(PositionProvider)
    return [
        (places[mutation.original_node].start.line, module, mutation)
        for mutation in visitor.mutations
        if mutation.original_node in places
    ]


def plant(path: str, code: str, place: tuple[int, Any, Any]) -> Fault | None:
    """Return a fault; None where the file would be no program, or the same one."""
    line, module, mutation = place
    changed: str = module.deep_replace(mutation.original_node, mutation.mutated_node).code
    try:
        differs = ast.dump(ast.parse(changed)) != ast.dump(ast.parse(code))
        compile(changed, path, "exec")
    except SyntaxError:
        return None
    return Fault(path, line, code, changed) if differs else None


def sample(root: Path, paths: Sequence[str], count: int, seed: int) -> list[Fault]:
    """Return different faults at random, a file being as likely as it has lines."""
    source: Mapping[str, str] = {path: (root / path).read_text() for path in paths}
    lines = [code.count("\n") for code in source.values()]
    dice, found = random.Random(seed), dict[tuple[str, str], Fault]()
    while len(found) < count:
        (path,) = dice.choices(list(source), lines)
        places = find_faults(source[path])
        if places and (fault := plant(path, source[path], dice.choice(places))) is not None:
            found[path, fault.code] = fault
    return list(found.values())
