"""The console of a machine, on which the boot script of the stack's image says what it does.

What it shows comes from the machine, which is not trusted: it is only shown to people.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from annex_bootstrap.aws import Account, explained
from annex_bootstrap.errors import AwsError, DeniedError

STARTED = "done; HTCondor starts"
"""The last words of a boot script that found its annex. Source: machine_image/annex_machine.py."""

GAVE_UP = "giving up, the machine shuts down: "
"""What comes before the reason why a boot script ends its machine; same source."""

LINE_LENGTH = 300

_LINE = re.compile(r"annex-boot: (.*)")


@dataclass(frozen=True)
class Console:
    """What a console shows.

    Attributes:
        text: empty where it shows nothing yet.
    """

    text: str

    @property
    def said(self) -> Sequence[str]:
        """What the boot script of the stack's image said, line by line."""
        found = _LINE.findall(self.text)
        return ["".join(filter(str.isprintable, line))[:LINE_LENGTH].strip() for line in found]

    @property
    def has_started(self) -> bool:
        """Whether the machine found its annex, so that HTCondor started."""
        return STARTED in self.said

    @property
    def gave_up(self) -> str:
        """Why the boot script ended the machine; empty where it did not."""
        return next((line.removeprefix(GAVE_UP) for line in self.said if line.startswith(GAVE_UP)), "")


def read_console(account: Account, instance_id: str, *, running: bool) -> Console | None:
    """Return what a machine's console shows; None where AWS does not say.

    Only machines of the Nitro system can be asked for the latest output; AWS posts that of others after a while:
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html

    Args:
        account: where it is.
        instance_id: of the machine, which AWS may have forgotten.
        running: whether it still runs.
    """
    for latest in [True, False] if running else [False]:
        try:
            with explained(f"reading the console of {instance_id}"):
                output = account.ec2.get_console_output(InstanceId=instance_id, Latest=latest).get("Output", "")
            return Console(output)
        except DeniedError:
            return None
        except AwsError:
            continue
    return None


def console_command(region: str, instance_id: str) -> str:
    """Return the command that shows the console of a machine."""
    return f"aws ec2 get-console-output --region {region} --latest --output text --instance-id {instance_id}"
