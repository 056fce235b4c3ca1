"""Which tests call which function, how long each of them takes, and so which ones to ask about a fault."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import coverage

SECONDS = 60.0
"""How much processor time the tests that are asked about one fault may take together, measured without it."""

UNIT = "tests/unit/"

ELSEWHERE = {"custom_resources": "tests/local_aws/custom_resources/", "lambda_lease": "tests/local_aws/lease/"}
"""The tests that run functions in the local AWS, which unpacks them elsewhere."""

_PHASE = re.compile(r"(\|(setup|run|teardown)| \((setup|call|teardown)\))$")
"""What ends a context: pytest-cov's in this process, pytest's own in another one."""


@dataclass(frozen=True)
class Callers:
    """What a run of all tests recorded.

    Attributes:
        root: of the checkout that they ran in.
        data: which test ran which line.
        seconds: of processor time, that each test took that passed.
    """

    root: Path
    data: coverage.CoverageData
    seconds: Mapping[str, float]

    def of(self, path: str, code: str, line: int) -> list[str]:
        """Return the tests to ask about a fault, those of the same module first, then the fastest ones.

        They are those that run the function around that line, and the unit tests of the package where it also runs
        before all tests, as what makes the template does. Outside of all functions they are those that run the module,
        or a line of any other one with the name that is defined there, and the unit tests of the package, or of a file
        with that name.

        Args:
            path: the file, below the root.
            code: what is in it.
            line: where the fault is.
        """
        ran = self.data.contexts_by_lineno(str(self.root / path))
        around = _function_around(code, line)
        lines = around or range(1, max(ran, default=0) + 1)
        tests = {_PHASE.sub("", context) for number in lines for context in ran.get(number, [])}
        if around is None or "" in tests:
            tests |= {test for test in self.seconds if test.startswith(f"{UNIT}{Path(path).parent}/test_")}
        if around is None and (name := _defined_at(code, line)):
            tests |= self._with_name(name)
        if place := ELSEWHERE.get(path.partition("/")[0]):
            tests |= {test for test in self.seconds if test.startswith(place)}
        own = f"{Path(path).parent}/test_{Path(path).name}"
        known = sorted(
            (test for test in tests if test in self.seconds),
            key=lambda test: (own not in test, "/local_aws/" in test, self.seconds[test], test),
        )
        return list(_within(known, self.seconds))

    def _with_name(self, name: str) -> set[str]:
        word, tests = re.compile(rf"\b{name}\b"), set[str]()
        for file in self.data.measured_files():
            lines = {number for number, text in enumerate(_lines(Path(file)), start=1) if word.search(text)}
            if lines:
                ran = self.data.contexts_by_lineno(file)
                tests |= {_PHASE.sub("", context) for number in lines for context in ran.get(number, [])}
        files = {test.partition("::")[0] for test in self.seconds if test.startswith(UNIT)}
        having = {file for file in files if any(map(word.search, _lines(self.root / file)))}
        return tests | {test for test in self.seconds if test.partition("::")[0] in having}


def in_turn(tests: Sequence[str]) -> list[list[str]]:
    """Return tests in the groups in which they are asked, one after the other, since pytest first loads all of a group.

    The first is the file of the first test; then come the other unit tests, and those on the local AWS last.

    Args:
        tests: as ``Callers.of`` returns them.
    """
    first = [test for test in tests if test.partition("::")[0] == tests[0].partition("::")[0]]
    rest = [test for test in tests if test not in first]
    groups = (first, *([test for test in rest if test.startswith(UNIT) is unit] for unit in (True, False)))
    return [group for group in groups if group]


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def _defined_at(code: str, line: int) -> str:
    """Return the name that the innermost assignment around a line defines; nothing where there is none."""
    around = [
        ((node.end_lineno or line) - node.lineno, target.id)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.lineno <= line <= (node.end_lineno or line)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    ]
    return min(around, default=(0, ""))[1]


def _within(tests: Sequence[str], seconds: Mapping[str, float]) -> Iterator[str]:
    took = 0.0
    for test in tests:
        took += seconds[test]
        if took > SECONDS:
            return
        yield test


def _function_around(code: str, line: int) -> range | None:
    """Return the lines of the body of the innermost function around a line."""
    around = [
        range(node.body[0].lineno, (node.end_lineno or line) + 1)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.FunctionDef) and node.body[0].lineno <= line <= (node.end_lineno or line)
    ]
    return min(around, key=len, default=None)
