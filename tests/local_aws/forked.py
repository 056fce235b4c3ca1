"""Our commands in processes forked from one that knows AWS already, which takes a tenth of the time of a new Python.

That one has imported boto3, the models of AWS's services and our modules, which never change while tests run.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from local_aws.forked import Forked, Origin

_origins: dict[str | None, Origin] = {}
"""By ``PYTHONPATH``, which names the clock; the first one only."""


def can_run() -> bool:
    """Return whether a new Python would start as the one that is forked does."""
    python_path = os.environ.get("PYTHONPATH")
    if not _origins:
        _origins[python_path] = Origin("tests.local_aws.preloaded")
    return python_path in _origins


def run(arguments: Sequence[str], environ: Mapping[str, str], text: str, timeout: float) -> tuple[int, str, str]:
    """Run a Python to its end.

    Args:
        arguments: of Python.
        environ: all of its environment.
        text: its standard input.
        timeout: seconds that it may take.

    Returns:
        Its exit code, standard output and standard error.

    Raises:
        subprocess.TimeoutExpired: it took longer, and was killed.
    """
    process = Forked(_origins[os.environ.get("PYTHONPATH")], arguments, str(Path.cwd()), environ)
    with process.stdout, process.stderr, ThreadPoolExecutor() as readers:
        said = [readers.submit(stream.read) for stream in (process.stdout, process.stderr)]
        with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
            stdin.write(text)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        output, errors = (each.result() for each in said)
    return code, output, errors
