"""A throw-away machine of an annex, booted by the stock boot script as it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.htcondor.host import Host

BOOT_SCRIPT = "/usr/libexec/condor/condor-annex-ec2"
BOOT_RESULT = "/etc/condor/config.d/49ec2-instance.config"

# The boot script is written for Red Hat's images, and reads two files that only they have.
_RED_HAT_FUNCTIONS = "/etc/init.d/functions"

_CONFIG = "/etc/condor/config.d/00-stand-in.conf"
_CONFIG_LINES = """\
# Or the master, being root, changes the test machine's own kernel settings.
ENABLE_KERNEL_TUNING = False
# The master must not shut the test machine down when its work is over.
DEFAULT_MASTER_SHUTDOWN_SCRIPT =
"""


class Machine(Host):
    """A machine as AWS would start it, with what Debian lacks put around the boot script."""

    def __init__(self, root: Path, *, hosts: Mapping[str, str], ca_pem: str) -> None:
        """Describes the machine; entering it as a context manager starts it, not yet booted.

        Args:
            root: a root directory with HTCondor and its boot script.
            hosts: names that the machine resolves, and the address of each.
            ca_pem: a certificate authority that its programs trust besides the public ones.
        """
        super().__init__(root, "machine.example.org", hosts=hosts, ca_pem=ca_pem)

    def _start(self) -> None:
        self.write(_RED_HAT_FUNCTIONS, "")
        self.write(_CONFIG, _CONFIG_LINES)
