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

        They are those that run the function around that line; outside of all functions, those that run the module, and
        the unit tests of its package.

        Args:
            path: the file, below the root.
            code: what is in it.
            line: where the fault is.
        """
        ran = self.data.contexts_by_lineno(str(self.root / path))
        around = _function_around(code, line)
        lines = around or range(1, max(ran, default=0) + 1)
        tests = {_PHASE.sub("", context) for number in lines for context in ran.get(number, [])}
        if around is None:
            tests |= {test for test in self.seconds if test.startswith(f"tests/unit/{Path(path).parent}/test_")}
        if place := ELSEWHERE.get(path.partition("/")[0]):
            tests |= {test for test in self.seconds if test.startswith(place)}
        own = f"{Path(path).parent}/test_{Path(path).name}"
        known = sorted(
            (test for test in tests if test in self.seconds),
            key=lambda test: (own not in test, "/local_aws/" in test, self.seconds[test], test),
        )
        return list(_within(known, self.seconds))


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
