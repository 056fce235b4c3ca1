"""What ``python -m tests.machines`` prepares where there is a way out, for the tests, which have none."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass

VARIABLE = "ANNEX_BOOTSTRAP_GIVEN_MACHINES"


@dataclass(frozen=True)
class Given:
    """What the tests find.

    Attributes:
        directory: on a disk, for those of machines.
        base: the file with Debian's disk.
        packages: the Unix socket where Debian's packages are.
        everything: whether the slow tests run as well, and with them the packages that they need in the image.
    """

    directory: str
    base: str
    packages: str
    everything: bool = False

    def environ(self) -> dict[str, str]:
        """Return the variable that ``read`` reads."""
        return {VARIABLE: json.dumps(asdict(self))}


def read() -> Given | None:
    """Return what was prepared, or None where nothing was."""
    text = os.environ.get(VARIABLE)
    return Given(**json.loads(text)) if text else None
