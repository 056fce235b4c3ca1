"""A throw-away machine of an annex, booted by the unmodified stock boot script."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.htcondor.host import Host

BOOT_SCRIPT = "/usr/libexec/condor/condor-annex-ec2"
BOOT_RESULT = "/etc/condor/config.d/49ec2-instance.config"

# The boot script is written for Red Hat's images: it reads this file, and calls iptables.
_RED_HAT_FUNCTIONS = "/etc/init.d/functions"
_IPTABLES = "/usr/sbin/iptables"

_CONFIG = "/etc/condor/config.d/99-stand-in.config"
_CONFIG_LINES = """\
# Pool and machine share one network here, and with it the port 9618.
NETWORK_INTERFACE = {address}
BIND_ALL_INTERFACES = False
ENABLE_IPV6 = False
# Pool and machine have the same addresses here, and must not be mistaken for one family of daemons.
SEC_USE_FAMILY_SESSION = False
# This needs ecryptfs in the kernel, which many no longer have.
ENCRYPT_EXECUTE_DIRECTORY = False
# Or the master, being root, changes the test machine's own kernel settings.
ENABLE_KERNEL_TUNING = False
# The master must not shut the test machine down when its work is over.
DEFAULT_MASTER_SHUTDOWN_SCRIPT =
"""


class Machine(Host):
    """A machine as AWS would start it, with what the boot script expects and Debian lacks."""

    def __init__(self, root: Path, address: str, *, hosts: Mapping[str, str], ca_pem: str) -> None:
        """Describe the machine; entering it as a context manager starts it, not yet booted.

        Args:
            root: a root directory with HTCondor and its boot script.
            address: its public IPv4 address; the network takes it as one of its own.
            hosts: names that the machine resolves, and the address of each.
            ca_pem: a certificate authority that its programs trust besides the public ones.
        """
        super().__init__(root, "machine.example.org", hosts=hosts, ca_pem=ca_pem)
        self._address = address

    def _start(self) -> None:
        self.write(_RED_HAT_FUNCTIONS, "")
        # Access to the metadata need not be restricted on a network with one machine.
        self.must(["ln", "-s", "/usr/bin/true", _IPTABLES])
        self.must(["ip", "address", "add", f"{self._address}/32", "dev", "lo"])
        self.write(_CONFIG, _CONFIG_LINES.format(address=self._address))
