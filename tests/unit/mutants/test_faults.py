"""The mutation tier: which faults it plants, and which tests it asks about each."""

from __future__ import annotations

import difflib
from pathlib import Path
from textwrap import dedent

import pytest

pytest.importorskip("mutmut", reason="a virtual environment that was made before it was among the requirements")

from coverage import CoverageData

from tests.mutants.callers import Callers, in_turn
from tests.mutants.faults import find_faults, plant, sample

CODE = dedent(
    '''
    """A module."""

    logger = make()


    class Thing:
        @property
        def closed(self):
            """Return it."""
            return {"public": False, "owner": self.owner}


    def act(thing):
        logger.info("acting")
        if thing.ready:
            end(thing)
        raise ValueError("a text for people")
    '''
)


def changed(code: str) -> list[str]:
    """Return the lines that faults leave, of each fault those that differ."""
    faults = [fault for place in find_faults(code) if (fault := plant("m.py", code, place)) is not None]
    return [
        " ".join(
            line[1:].strip() for line in difflib.ndiff(code.splitlines(), fault.code.splitlines()) if line[0] == "+"
        )
        for fault in faults
    ]


def test_what_is_left_out_turned_round_or_altered_is_a_fault_also_below_a_decorator() -> None:
    found = changed(CODE)
    for fault in (
        'return {"owner": self.owner}',
        'return {"public": False, }',
        'return {"public": True, "owner": self.owner}',
        "return None",
        "if not (thing.ready):",
        "pass",
        "end(None)",
    ):
        assert fault in found, found


def test_texts_for_people_documentation_and_logging_stay() -> None:
    found = " ".join(changed(CODE))
    for kept in ("XXa text", "XXacting", "A module.XX", "info(None)"):
        assert kept not in found


def test_a_seed_always_gives_the_same_different_faults(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(CODE)
    (tmp_path / "b.py").write_text("def one():\n    return 1\n")
    first = sample(tmp_path, ["a.py", "b.py"], 8, 7)
    assert first == sample(tmp_path, ["a.py", "b.py"], 8, 7)
    assert first != sample(tmp_path, ["a.py", "b.py"], 8, 8)
    assert len({(fault.path, fault.code) for fault in first}) == 8
    assert all(fault.before == (tmp_path / fault.path).read_text() != fault.code for fault in first)


def test_the_tests_that_call_the_function_are_asked_those_of_its_module_first_then_the_fastest(tmp_path: Path) -> None:
    data = CoverageData(no_disk=True)
    called = {
        "tests/unit/m/test_a.py::test_own|run": [16, 17],
        "tests/unit/other/test_b.py::test_slow|run": [16],
        "tests/local_aws/test_c.py::test_process (call)": [16],
        "tests/unit/other/test_b.py::test_fast|setup": [17],
        "tests/unit/other/test_b.py::test_elsewhere|run": [11],
        "tests/unit/other/test_b.py::test_failing|run": [16],
    }
    for context, lines in called.items():
        data.set_context(context)
        data.add_lines({str(tmp_path / "m/a.py"): lines})
    names = ("test_slow", "test_fast", "test_elsewhere")
    seconds = {f"tests/unit/other/test_b.py::{name}": float(len(name)) for name in names}
    seconds |= {"tests/unit/m/test_a.py::test_own": 20.0, "tests/local_aws/test_c.py::test_process": 0.5}
    seconds |= {"tests/unit/m/test_all.py::test_package": 0.1, "tests/unit/m/n/test_d.py::test_below": 0.1}
    callers = Callers(tmp_path, data, seconds)
    assert callers.of("m/a.py", CODE, 17) == [
        "tests/unit/m/test_a.py::test_own",
        "tests/unit/other/test_b.py::test_fast",
        "tests/unit/other/test_b.py::test_slow",
        "tests/local_aws/test_c.py::test_process",
    ]
    assert callers.of("m/a.py", CODE, 11) == ["tests/unit/other/test_b.py::test_elsewhere"]
    assert callers.of("m/a.py", CODE, 5) == [
        "tests/unit/m/test_a.py::test_own",
        "tests/unit/m/test_all.py::test_package",
        "tests/unit/other/test_b.py::test_fast",
        "tests/unit/other/test_b.py::test_slow",
        "tests/unit/other/test_b.py::test_elsewhere",
        "tests/local_aws/test_c.py::test_process",
    ]
    assert callers.of("m/none.py", CODE, 17) == []
    # Run while tests are collected, too.
    data.set_context("")
    data.add_lines({str(tmp_path / "m/a.py"): [11]})
    assert callers.of("m/a.py", CODE, 11) == [
        "tests/unit/m/test_a.py::test_own",
        "tests/unit/m/test_all.py::test_package",
        "tests/unit/other/test_b.py::test_elsewhere",
    ]


def test_about_a_constant_those_are_asked_that_run_a_line_with_its_name_or_have_it_themselves(tmp_path: Path) -> None:
    constants = 'class Macro(StrEnum):\n    ONE = "ONE"\n    TWO = "TWO"\n\n\nBOTH = (\n    Macro.ONE,\n)\n'
    (tmp_path / "user.py").write_text("def use():\n    return Macro.ONE\n\n\ndef other():\n    return ONES\n")
    (tmp_path / "tests/unit/other").mkdir(parents=True)
    (tmp_path / "tests/unit/other/test_a.py").write_text("assert TWO")
    data = CoverageData(no_disk=True)
    for context, line in {"tests/local_aws/test_c.py::test_use|run": 2, "tests/unit/test_d.py::test_d|run": 6}.items():
        data.set_context(context)
        data.add_lines({str(tmp_path / "user.py"): [line]})
    tests = (
        *("tests/unit/m/test_own.py::test_own", "tests/unit/other/test_a.py::test_two", "tests/unit/test_d.py::test_d"),
        "tests/local_aws/test_c.py::test_use",
    )
    callers = Callers(tmp_path, data, dict.fromkeys(tests, 0.1))
    assert callers.of("m/a.py", constants, 2) == [tests[0], tests[3]]
    assert callers.of("m/a.py", constants, 3) == [tests[0], tests[1]]
    assert callers.of("m/a.py", constants, 7) == [tests[0]]
    assert callers.of("m/a.py", constants, 1) == [tests[0]]


def test_the_file_of_the_first_test_is_asked_by_itself_and_the_local_aws_last() -> None:
    first, second, other, local = (
        "tests/unit/a.py::a",
        "tests/unit/a.py::b",
        "tests/unit/b.py::a",
        "tests/local_aws/c.py::a",
    )
    assert in_turn([first, other, second, local]) == [[first, second], [other], [local]]
    assert in_turn([local]) == [[local]]
    assert in_turn([]) == []
