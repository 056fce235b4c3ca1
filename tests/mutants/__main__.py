"""Plant faults at random, one at a time, and say which of them neither a test that calls the function nor mypy notices.

Run as ``python -m tests.mutants``. Works in copies of the checkout, so that nothing here changes.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import Queue
from xml.etree import ElementTree as ET

import click
import coverage

from tests.mutants import processor_time
from tests.mutants.callers import SECONDS, UNIT, Callers, in_turn
from tests.mutants.faults import Fault, sample
from tests.mutants.processor_time import exit_code
from tests.mutants.verdicts import Verdict, Verdicts, change

ROOT = Path(__file__).resolve().parents[2]

PACKAGES = (
    "annex_bootstrap",
    "annex_contract",
    "custom_resources",
    "lambda_connectivity",
    "lambda_lease",
    "machine_image",
    "template_gen",
)

HARD = ("tests/unit/test_build.py", "tests/unit/test_packaging.py", "tests/unit/docs_gen")
"""Not asked: they judge files, and a fault is one."""

COVERAGE = """[run]
source_pkgs = {packages}
patch = subprocess
parallel = true
context = ${{PYTEST_CURRENT_TEST-}}
"""
"""Commands that a test runs as processes of their own count for that test."""

SLOWER = 10.0
"""How much more processor time tests may take with a fault than without before that counts as noticed."""

CEILING = 1800.0
"""How long the tests for one fault may take by the clock, in seconds: only tests that wait forever do."""

OFTEN = 20
"""After how many faults the counts are printed."""


def main() -> None:
    """Print the seed, then every survivor, then how many of each package were noticed."""
    asked = _arguments()
    seed = asked.seed if asked.seed is not None else random.randrange(10**6)
    verdicts = Verdicts(asked.verdicts or ROOT / "dist" / f"mutants-{seed}.jsonl")
    click.echo(f"seed {seed}: {asked.count} faults, {asked.jobs} at a time, asking {' '.join(asked.tests)}")
    paths = [str(path.relative_to(ROOT)) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    paths = [path for path in paths if any(part in path for part in asked.only.split(","))]
    began = time.monotonic()
    with _copies(asked.jobs) as copies:
        faults = sample(copies[0], paths, asked.count, seed)
        left = [fault for fault in faults if (known := verdicts.of(fault)) is None or not known.noticed]
        click.echo(f"{len(left)} of them are left to ask about; what is found: {verdicts.file}")
        callers = _record(copies[0], asked.tests, asked.jobs, "slow or not slow" if asked.slow else "not slow")
        if not callers.seconds:
            sys.exit("No test passes without a fault. Run these tests with pytest to see why.")
        if _complains(copies[0]):
            sys.exit("mypy complains without a fault. Run it to see why.")
        _share_caches(copies)
        click.echo(f"{len(callers.seconds)} tests pass after {time.monotonic() - began:.0f} s")
        free: Queue[Path] = Queue()
        for copy in copies:
            free.put(copy)

        def ask(fault: Fault) -> tuple[Fault, Verdict]:
            tests = callers.of(fault.path, fault.before, fault.line)
            copy = free.get()
            try:
                return fault, _verdict(copy, fault, tests, sum(callers.seconds[test] for test in tests))
            finally:
                free.put(copy)

        with ThreadPoolExecutor(asked.jobs) as pool:
            for number, answer in enumerate(as_completed([pool.submit(ask, fault) for fault in left]), start=1):
                fault, verdict = answer.result()
                verdicts.add(fault, verdict)
                if verdict not in (Verdict.UNIT, Verdict.LOCAL_AWS, Verdict.TYPES):
                    click.echo("\n  ".join([f"{fault.path}:{fault.line}: {verdict}", *change(fault).splitlines()]))
                if number % OFTEN == 0:
                    click.echo(verdicts.total(faults))
    click.echo(verdicts.table(faults))
    click.echo(f"{verdicts.total(faults)}, with the seed {seed}, in {time.monotonic() - began:.0f} s")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--count", type=int, default=400, help="how many faults")
    parser.add_argument("--seed", type=int, help="which faults; default: others each time")
    parser.add_argument(
        "--verdicts",
        type=Path,
        metavar="FILE",
        help="where to keep what is found; faults that were noticed in it are not asked about again "
        "(default: dist/mutants-SEED.jsonl)",
    )
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    parser.add_argument("--slow", action="store_true", help="ask the tests of `make slow` as well")
    parser.add_argument("tests", nargs="*", default=["tests/unit", "tests/local_aws"], help="which tests to ask")
    parser.add_argument("--only", default="", help="parts of the paths of files, with commas between them")
    return parser.parse_args()


@contextmanager
def _copies(count: int) -> Iterator[list[Path]]:
    """Give copies of the checkout, of what git tracks and of what is built."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    names = [name for name in tracked.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    names += [str(path.relative_to(ROOT)) for path in (ROOT / "dist").rglob("*") if path.is_file()]
    with tempfile.TemporaryDirectory(prefix="mutants-") as held:
        copies = [Path(held) / str(number) for number in range(count)]
        for copy in copies:
            for name in names:
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, copy / name)
            # Tests read the history, and the documentation's names of files that git tracks.
            (copy / ".git").write_text(f"gitdir: {_git_directory()}\n")
        yield copies


def _git_directory() -> str:
    asked = ["git", "rev-parse", "--absolute-git-dir"]
    return subprocess.run(asked, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def _record(copy: Path, tests: Sequence[str], jobs: int, marks: str) -> Callers:
    """Run the tests without a fault, and return what they call and how long they take."""
    settings, report = copy / ".coveragerc.mutants", copy / "report.xml"
    settings.write_text(COVERAGE.format(packages=", ".join(PACKAGES)))
    subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", marks, "-n", str(jobs)),
            *("-p", processor_time.__name__),
            *(f"--ignore={path}" for path in HARD),
            *("--cov", f"--cov-config={settings}", "--cov-context=test", "--cov-report=", f"--junit-xml={report}"),
            *("-o", "junit_family=xunit1", *tests),
        ],
        cwd=copy,
        env=_environment(copy) | {"PYTHONDONTWRITEBYTECODE": ""},
        check=False,
        stdout=subprocess.DEVNULL,
    )
    data = coverage.CoverageData(str(copy / ".coverage"))
    data.read()
    seconds = {
        f"{case.get('file')}::{case.get('name')}": _processor_seconds(case)
        for case in ET.parse(report).iter("testcase")
        if not {"failure", "error", "skipped"} & {part.tag for part in case}
    }
    return Callers(copy, data, seconds)


def _processor_seconds(case: ET.Element) -> float:
    taken = case.find(f"properties/property[@name='{processor_time.NAME}']")
    return 0.0 if taken is None else float(taken.get("value", 0))


def _share_caches(copies: Sequence[Path]) -> None:
    """Give all copies what was made of the first: tests are compiled with their assertions, which takes long.

    Files have the same times in all of them, by which Python and mypy know them. A file with a fault has another one.
    """
    made = [*copies[0].rglob("*.pyc"), *(path for path in (copies[0] / ".mypy_cache").rglob("*") if path.is_file())]
    for each in made:
        for copy in copies[1:]:
            target = copy / each.relative_to(copies[0])
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(each, target)


def _environment(copy: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_PROFILE": "few"}


def _verdict(copy: Path, fault: Fault, tests: Sequence[str], seconds: float) -> Verdict:
    """Return whether one of the tests fails with a fault or takes far longer, and if not, whether mypy complains."""
    file = copy / fault.path
    file.write_text(fault.code)
    try:
        for some in in_turn(tests):
            code = exit_code(partial(_ask, copy, some), SECONDS + seconds * SLOWER, CEILING)
            if code is None:
                return Verdict.ENDLESS
            if code:
                return Verdict.UNIT if some[0].startswith(UNIT) else Verdict.LOCAL_AWS
        if _complains(copy):
            return Verdict.TYPES
        return Verdict.SURVIVES if tests else Verdict.UNCALLED
    finally:
        file.write_text(fault.before)


def _complains(copy: Path) -> bool:
    """Return whether mypy finds an error in a copy."""
    return bool(
        subprocess.run([sys.executable, "-m", "mypy"], cwd=copy, check=False, stdout=subprocess.DEVNULL).returncode
    )


def _ask(copy: Path, tests: Sequence[str]) -> int:
    """Run tests in this process, which has loaded everything but what is under test; return pytest's exit code."""
    os.chdir(copy)
    os.environ.update(_environment(copy))
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silent, stream)
    for name in [
        name for name in sys.modules if name.partition(".")[0] in {*PACKAGES, "tests", "docs_gen", "local_aws"}
    ]:
        del sys.modules[name]
    sys.path[:] = [str(copy), *(path for path in sys.path if path and Path(path).resolve() != ROOT)]
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()
    import pytest

    options = ["-q", "-x", "-p", "no:cacheprovider"]
    code = pytest.main([*options, *tests])
    if code == pytest.ExitCode.USAGE_ERROR:
        # A fault in what tests are parametrized by gives them other names. All of their cases then, by whatever name.
        code = pytest.main([*options, *dict.fromkeys(test.partition("[")[0] for test in tests)])
    return int(code)


if __name__ == "__main__":
    # Loaded once, before every fault.
    import boto3  # noqa: F401
    import hypothesis  # noqa: F401
    import moto  # noqa: F401
    import rich.console  # noqa: F401
    import troposphere  # noqa: F401

    main()
