"""What was found about faults: kept as it is found, and counted by package."""

from __future__ import annotations

from pathlib import Path

from tests.mutants.faults import Fault
from tests.mutants.verdicts import Verdict, Verdicts

ONE = Fault("annex_bootstrap/pool/a.py", 2, "a\nb\n", "a\nc\n")
TWO = Fault("annex_bootstrap/pool/a.py", 2, "a\nb\n", "a\nd\n")
THREE = Fault("annex_bootstrap/words.py", 1, "a\n", "b\n")
FOUR = Fault("machine_image/a.py", 1, "a\n", "b\n")
FIVE = Fault("machine_image/a.py", 1, "a\n", "c\n")
SIX = Fault("machine_image/a.py", 1, "a\n", "d\n")


def test_what_was_found_is_in_the_file_at_once_and_its_last_line_counts(tmp_path: Path) -> None:
    file = tmp_path / "dist" / "found.jsonl"
    first = Verdicts(file)
    assert first.of(ONE) is None
    first.add(ONE, Verdict.SURVIVES)
    assert file.read_text() == (
        '{"path": "annex_bootstrap/pool/a.py", "line": 2, "change": "-b\\n+c", "verdict": "survives"}\n'
    )
    first.add(TWO, Verdict.UNCALLED)
    first.add(ONE, Verdict.UNIT)
    again = Verdicts(file)
    assert [again.of(fault) for fault in (ONE, TWO, THREE)] == [Verdict.UNIT, Verdict.UNCALLED, None]


def test_what_people_would_notice_is_counted_among_what_was_asked(tmp_path: Path) -> None:
    verdicts = Verdicts(tmp_path / "found.jsonl")
    assert verdicts.total([ONE]) == "0 of 0 noticed, 0.0%"
    for fault, verdict in zip((ONE, TWO, THREE, FOUR, FIVE), Verdict, strict=False):
        verdicts.add(fault, verdict)
    assert verdicts.total([ONE, TWO, THREE, FOUR, FIVE, SIX]) == "4 of 5 noticed, 80.0%"
    verdicts.add(SIX, Verdict.UNCALLED)
    assert verdicts.total([ONE, TWO, THREE, FOUR, FIVE, SIX]) == "4 of 6 noticed, 66.7%"


def test_the_table_has_a_row_for_each_package_and_a_column_for_each_verdict(tmp_path: Path) -> None:
    verdicts = Verdicts(tmp_path / "found.jsonl")
    faults = (ONE, TWO, THREE, FOUR, FIVE, SIX)
    for fault, verdict in zip(faults, Verdict, strict=True):
        verdicts.add(fault, verdict)
    assert [line.split() for line in verdicts.table(faults).splitlines()] == [
        ["planted", "unit", "local", "endless", "mypy", "survive", "uncalled"],
        ["annex_bootstrap", "1", "0", "0", "1", "0", "0", "0"],
        ["annex_bootstrap/pool", "2", "1", "1", "0", "0", "0", "0"],
        ["machine_image", "3", "0", "0", "0", "1", "1", "1"],
        ["all", "6", "1", "1", "1", "1", "1", "1"],
    ]
