"""Measure the help of the client and the completion of a shell against a bare interpreter.

Run from a checkout: ``python -m benchmarks.client``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import cache

from benchmarks.processes import Taken, run

BARE = "a bare interpreter"
HELP = "`annex-bootstrap --help`"

COMPLETION = {"COMP_WORDS": "annex-bootstrap pu", "COMP_CWORD": "1", "_ANNEX_BOOTSTRAP_COMPLETE": "bash_complete"}
"""What bash sets when somebody presses Tab."""


@cache
def processes() -> Mapping[str, Taken]:
    """Return what each process took, by what it is."""
    return {
        BARE: run(["-c", ""]),
        "one that imports click": run(["-c", "import click"]),
        HELP: run(["-m", "annex_bootstrap", "--help"]),
        "Tab after `annex-bootstrap pu`": run(["-m", "annex_bootstrap"], {**os.environ, **COMPLETION}),
    }


def table() -> str:
    """Return the measurements as Markdown."""
    bare = processes()[BARE]
    lines = [
        f"| {name} | {taken.seconds * 1000:.0f} | {taken.seconds / bare.seconds:.1f} "
        f"| {taken.busy * 1000:.0f} | {taken.busy / bare.busy:.1f} |"
        for name, taken in processes().items()
    ]
    heads = ["| process | ms | ratio | busy ms | ratio |", "| --- | ---: | ---: | ---: | ---: |"]
    return "\n".join([*heads, *lines]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
