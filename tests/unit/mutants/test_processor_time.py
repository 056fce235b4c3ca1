"""Processor time: a limit for a child that other work does not use up, and what each test took."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.mutants import processor_time
from tests.mutants.processor_time import exit_code

TESTS = """
import time, pytest

@pytest.fixture
def busy():
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass

def test_busy(busy):
    pass

def test_waiting():
    time.sleep(0.2)
"""


def work() -> int:
    while True:
        pass


def wait() -> int:
    time.sleep(1.2)
    return 7


def test_a_child_that_works_longer_than_its_limit_is_ended_by_the_kernel() -> None:
    assert exit_code(work, 1, 600) == -signal.SIGKILL


def test_a_child_that_only_waits_uses_none_of_its_limit_and_gives_its_exit_code() -> None:
    assert exit_code(wait, 1, 600) == 7


def test_a_child_that_does_not_end_by_itself_is_ended_by_the_clock() -> None:
    assert exit_code(wait, 1, 0.1) is None


def test_each_test_says_what_it_took_its_fixtures_included(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    report = tmp_path / "report.xml"
    subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", processor_time.__name__, "-p", "no:cacheprovider"),
            *("--rootdir", str(tmp_path), f"--junit-xml={report}", "-o", "junit_family=xunit1", str(tmp_path)),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    took = {
        case.get("name"): float(case.findall("properties/property")[0].get("value", ""))
        for case in ET.parse(report).iter("testcase")
    }
    assert took["test_busy"] > 0.18 > took["test_waiting"]
