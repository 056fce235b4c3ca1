"""A throw-away machine of an annex, booted by the unmodified stock boot script."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.htcondor.host import Host
from tests.htcondor.network import Network

BOOT_SCRIPT = "/usr/libexec/condor/condor-annex-ec2"
BOOT_RESULT = "/etc/condor/config.d/49ec2-instance.config"

# The boot script is written for Red Hat's images: it reads this file, and calls iptables.
_RED_HAT_FUNCTIONS = "/etc/init.d/functions"
_IPTABLES = "/usr/sbin/iptables"

_CONFIG = "/etc/condor/config.d/99-stand-in.config"
_CONFIG_LINES = """\
# This needs ecryptfs in the kernel, which many no longer have.
ENCRYPT_EXECUTE_DIRECTORY = False
# Or the master, being root, changes the test machine's own kernel settings.
ENABLE_KERNEL_TUNING = False
# The master must not shut the test machine down when its work is over.
DEFAULT_MASTER_SHUTDOWN_SCRIPT =
"""


class Machine(Host):
    """A machine as AWS would start it, with what the boot script expects and Debian lacks."""

    def __init__(self, root: Path, network: Network, *, hosts: Mapping[str, str], ca_pem: str) -> None:
        """Describe the machine; entering it as a context manager starts it, not yet booted.

        Args:
            root: a root directory with HTCondor and its boot script.
            network: its own.
            hosts: names that the machine resolves, and the address of each.
            ca_pem: a certificate authority that its programs trust besides the public ones.
        """
        super().__init__(root, "machine.example.org", hosts=hosts, ca_pem=ca_pem, network=network)

    def _start(self) -> None:
        self.write(_RED_HAT_FUNCTIONS, "")
        # Access to the metadata need not be restricted on a network with one machine.
        self.must(["ln", "-s", "/usr/bin/true", _IPTABLES])
        self.write(_CONFIG, _CONFIG_LINES)
