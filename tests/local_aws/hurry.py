"""A ``sitecustomize`` for the processes under test: their time passes as fast as that of an AWS that is sped up.

Pauses get shorter and the clock that patience is measured with runs faster, by the same factor. So 60 seconds of
patience stand against 30 seconds of AWS's, and a test of both takes a few.
"""

from __future__ import annotations

from pathlib import Path

SITECUSTOMIZE = """\
import os, time

if "ANNEX_BOOTSTRAP_STRICTNESS" not in os.environ:  # but not the server itself
    def hurried(sleep, monotonic):
        return (lambda seconds: sleep(seconds / {speed})), (lambda: monotonic() * {speed})

    time.sleep, time.monotonic = hurried(time.sleep, time.monotonic)
"""


def write(directory: Path, speed: float) -> Path:
    """Write it.

    Args:
        directory: to add to ``PYTHONPATH``.
        speed: the factor.
    """
    (directory / "sitecustomize.py").write_text(SITECUSTOMIZE.format(speed=speed))
    return directory
