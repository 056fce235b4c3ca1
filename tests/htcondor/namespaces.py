"""The namespaces that ``python -m tests.htcondor`` works in."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from local_aws.launcher import METADATA_ADDRESS, aws_names
from local_aws.machines.debian import UnavailableError

POOL = "pool.example.org"
POOL_ADDRESS = "192.0.2.1"
AWS_ADDRESS = "198.51.100.1"
"""Of those that documentation may use (RFC 5737): machines have networks of their own, so no loopback address."""

REGION = "us-east-1"
OTHER_REGION = "us-west-2"
REGIONS = (REGION, OTHER_REGION)

# The route takes every address for one of this machine: the metadata address, and the public addresses of machines.
# The shell stays, as the first process, with which the kernel ends all others: it takes in orphans, which the end of a
# host waits for.
_ENTER = """
set -eu
root=$1 hosts=$2
shift 2
chroot "$root" ip link set lo up
chroot "$root" ip route add local default dev lo
mount -t tmpfs tmpfs "$root/mnt"
echo "$hosts" > "$root/mnt/hosts"
mount --bind "$root/mnt/hosts" /etc/hosts
# What a killed process cannot delete goes with the namespace.
export TMPDIR="$root/mnt"
"$@" && status=0 || status=$?
exit $status
"""


def enter(root: Path) -> list[str]:
    """Return the beginning of a command line that runs the rest in namespaces of its own.

    Args:
        root: a root directory with HTCondor, for its ``ip``.

    Raises:
        UnavailableError: this machine does not allow namespaces; most containers do not.
    """
    tried = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False)
    if tried.returncode:
        raise UnavailableError(
            "HTCondor for tests needs namespaces of its own, which this machine does not allow: use a whole machine, or"
            " a container with --privileged."
        )
    # Ends with this process, and its first process with it, however this process ends.
    unshare = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"]
    return [*unshare, "--mount-proc", "sh", "-c", _ENTER, "sh", str(root), hosts()]


def inside() -> bool:
    """Tell whether this process runs in such namespaces, where the metadata address is local."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((METADATA_ADDRESS, 0))
        except OSError:
            return False
    return True


def hosts() -> str:
    """Return the text of the hosts file."""
    addresses = {"localhost": "127.0.0.1", **names()}
    return "".join(f"{address} {name}\n" for name, address in addresses.items())


def names() -> dict[str, str]:
    """Return the addresses of pool and AWS, by host name, without wildcards, which a hosts file cannot hold."""
    aws = (name for name in aws_names(REGIONS) if "*" not in name)
    return {POOL: POOL_ADDRESS, **dict.fromkeys(aws, AWS_ADDRESS)}
