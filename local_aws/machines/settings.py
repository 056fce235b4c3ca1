"""Where the machines of a local AWS are, for its server, which gets this in its environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

VARIABLE = "ANNEX_BOOTSTRAP_MACHINES"


@dataclass(frozen=True)
class MachineSettings:
    """What the local AWS needs to run its instances as machines.

    Attributes:
        directory: for their disks and consoles.
        aws_address: where AWS's names lead, as machines see it.
        images: files with the disks that machines can start from, by the ID of the image.
        built: a file with the disk of a builder of the same image that has ended well; empty for none.
        packages: the Unix socket of ``packages.offered``; empty for none.
        trusted: the certificate authority of the local AWS, as PEM.
        certificate: a file with a certificate for Debian's mirror.
        key: a file with its key.
    """

    directory: str
    aws_address: str
    images: Mapping[str, str] = field(default_factory=dict)
    built: str = ""
    packages: str = ""
    trusted: str = ""
    certificate: str = ""
    key: str = ""

    def environ(self) -> dict[str, str]:
        """Return the variable that ``read`` reads."""
        return {VARIABLE: json.dumps(asdict(self))}


def read() -> MachineSettings | None:
    """Return what this process was given, or None where its instances are only recorded."""
    text = os.environ.get(VARIABLE)
    return MachineSettings(**json.loads(text)) if text else None
