"""The names of parameters in Parameter Store by which somebody outside steers the local AWS, and of its images.

``local_aws.server.ec2.scripts``, ``local_aws.server.account`` and ``local_aws.server.ec2.machines`` read them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

BASES = {"amd64": ("ami-0deb13000000a0001", "x86_64"), "arm64": ("ami-0deb13000000a0002", "arm64")}
"""The image of each architecture that the public parameter names, and EC2's name of the architecture. All made up."""

MACHINES = "/local-aws/machines"
"""What becomes of machines that run a script from their user data, and of images: a JSON object."""

CONSOLE = "/local-aws/console/"
"""With an instance ID: the console output of that machine, where somebody outside plays it."""

ACCOUNT = "/local-aws/account"
"""What kind of account it is, and what its organisation forbids: a JSON object, in the default region.

``local_aws.server.account`` reads it.
"""

HARDWARE = "/local-aws/hardware"
"""What machines have that are powered on from now on, where they are real: `Hardware` as JSON."""


@dataclass(frozen=True)
class Hardware:
    """What real machines have that differs from EC2's usual ones.

    Attributes:
        clock: where their clock starts, as QEMU's ``-rtc base`` has it.
        packages: whether Debian's mirror can be found.
        metadata: whether the metadata service answers.
        instance_store: whether they have a disk of the instance store.
        processors: how many they have.
        without: units that do not start, because they take long to emulate.
    """

    clock: str = "utc"
    packages: bool = True
    metadata: bool = True
    instance_store: bool = False
    processors: int = 2
    without: Sequence[str] = ()

    def to_json(self) -> str:
        """Return it as the parameter's value."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Hardware:
        """Return what ``to_json`` returned the text of."""
        return Hardware(**json.loads(text))
