"""Our commands in processes forked from one that knows AWS already, which takes a tenth of the time of a new Python.

That one has imported boto3, the models of AWS's services and our modules, which never change while tests run.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PRELOADED = "tests.local_aws.preloaded"

_context = multiprocessing.get_context("forkserver")
_python_path: list[str | None] = []
"""``PYTHONPATH`` as it was for the process that is forked."""


def can_run() -> bool:
    """Return whether a new Python would start as the one that is forked did; ``PYTHONPATH`` names its clock."""
    if not _python_path:
        _context.set_forkserver_preload([PRELOADED])
        _python_path.append(os.environ.get("PYTHONPATH"))
    return _python_path == [os.environ.get("PYTHONPATH")]


def run(arguments: Sequence[str], environ: Mapping[str, str], text: str, timeout: float) -> tuple[int, str, str]:
    """Run one of our commands to its end.

    Args:
        arguments: after the program's name.
        environ: all of its environment.
        text: its standard input.
        timeout: seconds that it may take.

    Returns:
        Its exit code, standard output and standard error.

    Raises:
        subprocess.TimeoutExpired: it took longer, and was killed.
    """
    with tempfile.TemporaryDirectory() as directory:
        streams = [Path(directory, name) for name in ("in", "out", "err")]
        for path, content in zip(streams, (text, "", ""), strict=True):
            path.write_text(content)
        process = _context.Process(target=_command, args=(list(arguments), dict(environ), streams))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(list(arguments), timeout)
        return process.exitcode, streams[1].read_text(), streams[2].read_text()


def _command(arguments: list[str], environ: dict[str, str], streams: Sequence[Path]) -> None:
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    for descriptor, (path, mode) in enumerate(zip(streams, (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY), strict=True)):
        opened = os.open(path, mode)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    sys.argv = ["annex-bootstrap", *arguments]
    from annex_bootstrap.main import main

    main()
