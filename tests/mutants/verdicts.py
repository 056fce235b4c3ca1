"""What was found about each fault, kept in a file as it is found, so that a long run can be stopped and continued."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

from tests.mutants.faults import Fault


class Verdict(StrEnum):
    """What became of a fault."""

    UNIT = "noticed by unit tests"
    LOCAL_AWS = "noticed on the local AWS"
    ENDLESS = "its tests did not end"
    TYPES = "noticed by mypy"
    SURVIVES = "survives"
    UNCALLED = "no test calls it"

    @property
    def noticed(self) -> bool:
        """Whether a person would notice that `make test` does not pass."""
        return self not in (Verdict.SURVIVES, Verdict.UNCALLED)


COLUMNS = {
    "planted": list(Verdict),
    "unit": [Verdict.UNIT],
    "local": [Verdict.LOCAL_AWS],
    "endless": [Verdict.ENDLESS],
    "mypy": [Verdict.TYPES],
    "survive": [Verdict.SURVIVES],
    "uncalled": [Verdict.UNCALLED],
}


def change(fault: Fault) -> str:
    """Return the lines that differ, with a sign before each."""
    lines = difflib.unified_diff(fault.before.splitlines(), fault.code.splitlines(), n=0, lineterm="")
    return "\n".join(line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---"))


class Verdicts:
    """The verdicts in a file, one JSON document a line; where a fault has several, the last one counts."""

    def __init__(self, file: Path) -> None:
        """Read what is there."""
        self.file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = file.read_text().splitlines() if file.exists() else []
        self._found = {
            (found["path"], found["line"], found["change"]): Verdict(found["verdict"])
            for found in map(json.loads, lines)
        }

    def of(self, fault: Fault) -> Verdict | None:
        """Return what was found about a fault; None before that."""
        return self._found.get((fault.path, fault.line, change(fault)))

    def add(self, fault: Fault, verdict: Verdict) -> None:
        """Keep what was found, at once."""
        self._found[fault.path, fault.line, change(fault)] = verdict
        found = {"path": fault.path, "line": fault.line, "change": change(fault), "verdict": verdict}
        with self.file.open("a") as file:
            file.write(json.dumps(found) + "\n")

    def total(self, faults: Iterable[Fault]) -> str:
        """Return in one line how many of these faults were asked about, and how many of those noticed."""
        asked = [verdict for fault in faults if (verdict := self.of(fault)) is not None]
        noticed = sum(verdict.noticed for verdict in asked)
        return f"{noticed} of {len(asked)} noticed, {noticed / max(len(asked), 1):.1%}"

    def table(self, faults: Iterable[Fault]) -> str:
        """Return how many of these faults had which verdict, by package."""
        counts: dict[str, Counter[Verdict]] = {}
        for fault in faults:
            if (verdict := self.of(fault)) is not None:
                counts.setdefault(_package(fault.path), Counter())[verdict] += 1
        rows = [*sorted(counts.items()), ("all", sum(counts.values(), Counter[Verdict]()))]
        return "\n".join(
            [
                f"{'':28}" + "".join(f"{name:>9}" for name in COLUMNS),
                *(
                    f"{package:28}" + "".join(f"{sum(count[v] for v in kinds):>9}" for kinds in COLUMNS.values())
                    for package, count in rows
                ),
            ]
        )


def _package(path: str) -> str:
    """Return the directory of a file, of two levels at most."""
    return "/".join(path.split("/")[:-1][:2])
