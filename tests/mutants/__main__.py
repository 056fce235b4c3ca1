"""Plant faults at random, one at a time, and say which of them no test notices that calls the function.

Run as ``python -m tests.mutants``. Works in copies of the checkout, so that nothing here changes.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from xml.etree import ElementTree as ET

import click
import coverage

from tests.mutants.callers import SECONDS, Callers
from tests.mutants.faults import Fault, sample

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
"""How much longer tests may take with a fault than without before that counts as noticed."""


def main() -> None:
    """Print the seed, then every survivor, then how many of each package were noticed."""
    asked = _arguments()
    seed = asked.seed if asked.seed is not None else random.randrange(10**6)
    click.echo(f"seed {seed}: {asked.count} faults, {asked.jobs} at a time, asking {' '.join(asked.tests)}")
    paths = [str(path.relative_to(ROOT)) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    paths = [path for path in paths if any(part in path for part in asked.only.split(","))]
    noticed, uncalled, planted = Counter[str](), Counter[str](), Counter[str]()
    began = time.monotonic()
    with _copies(asked.jobs) as copies:
        faults = sample(copies[0], paths, asked.count, seed)
        callers = _record(copies[0], asked.tests, asked.jobs)
        _share_bytecode(copies)
        click.echo(f"{len(callers.seconds)} tests pass after {time.monotonic() - began:.0f} s")
        free: Queue[Path] = Queue()
        for copy in copies:
            free.put(copy)

        def ask(fault: Fault) -> tuple[Fault, bool | None]:
            tests = callers.of(fault.path, fault.before, fault.line)
            if not tests:
                return fault, None
            copy = free.get()
            try:
                return fault, _is_noticed(copy, fault, tests, sum(callers.seconds[test] for test in tests))
            finally:
                free.put(copy)

        with ThreadPoolExecutor(asked.jobs) as pool:
            for fault, answer in pool.map(ask, faults):
                package = "/".join(fault.path.split("/")[: 2 if fault.path.count("/") > 1 else 1])
                planted[package] += 1
                noticed[package] += answer is True
                uncalled[package] += answer is None
                if not answer:
                    click.echo(_survivor(fault, "no test calls it" if answer is None else "survives"))
    click.echo(f"{'':28}{'planted':>8}{'noticed':>8}{'uncalled':>9}")
    for package in [*sorted(planted), ""]:
        counts = [counter[package] if package else counter.total() for counter in (planted, noticed, uncalled)]
        click.echo(f"{package or 'all':28}{counts[0]:>8}{counts[1]:>8}{counts[2]:>9}")
    click.echo(
        f"{noticed.total() / planted.total():.1%} noticed with the seed {seed} in {time.monotonic() - began:.0f} s"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--count", type=int, default=400, help="how many faults")
    parser.add_argument("--seed", type=int, help="which faults; default: others each time")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
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


def _record(copy: Path, tests: Sequence[str], jobs: int) -> Callers:
    """Run the tests without a fault, and return what they call and how long they take."""
    settings, report = copy / ".coveragerc.mutants", copy / "report.xml"
    settings.write_text(COVERAGE.format(packages=", ".join(PACKAGES)))
    subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", "-n", str(jobs)),
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
        f"{case.get('file')}::{case.get('name')}": float(case.get("time", 0))
        for case in ET.parse(report).iter("testcase")
        if not {"failure", "error", "skipped"} & {part.tag for part in case}
    }
    return Callers(copy, data, seconds)


def _share_bytecode(copies: Sequence[Path]) -> None:
    """Give all copies what was compiled in the first: tests are compiled with their assertions, which takes long.

    Files have the same times in all of them, by which Python knows them. A file with a fault has another one.
    """
    for compiled in copies[0].rglob("*.pyc"):
        for copy in copies[1:]:
            target = copy / compiled.relative_to(copies[0])
            target.parent.mkdir(exist_ok=True)
            shutil.copy2(compiled, target)


def _environment(copy: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_PROFILE": "few"}


def _is_noticed(copy: Path, fault: Fault, tests: Sequence[str], seconds: float) -> bool:
    """Return whether one of the tests fails with a fault, or takes far longer."""
    file = copy / fault.path
    file.write_text(fault.code)
    asking = multiprocessing.get_context("fork").Process(target=_ask, args=(copy, tests))
    try:
        asking.start()
        asking.join(SECONDS + seconds * SLOWER)
        if asking.is_alive():
            # With whatever the tests started.
            os.killpg(asking.pid or 0, signal.SIGKILL)
            asking.join()
        return asking.exitcode != 0
    finally:
        file.write_text(fault.before)


def _ask(copy: Path, tests: Sequence[str]) -> None:
    """Run tests in this process, which has loaded everything but what is under test; end with pytest's exit code."""
    os.setsid()
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

    os._exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *tests]))


def _survivor(fault: Fault, why: str) -> str:
    changed = [
        line
        for line in difflib.unified_diff(fault.before.splitlines(), fault.code.splitlines(), n=0, lineterm="")
        if line[:1] in "+-" and line[:3] not in ("+++", "---")
    ]
    return "\n  ".join([f"{fault.path}:{fault.line}: {why}", *changed])


if __name__ == "__main__":
    # Loaded once, before every fault.
    import boto3  # noqa: F401
    import hypothesis  # noqa: F401
    import moto  # noqa: F401
    import rich.console  # noqa: F401
    import troposphere  # noqa: F401

    main()
