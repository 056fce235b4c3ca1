"""The image of an annex's machines, built as on AWS: a fresh Debian 13 boots, and cloud-init runs our user data.

What Debian's image for EC2 has and a minimal system lacks is in the base image: systemd, cloud-init and an SSH client.
``python -m tests.htcondor.image`` builds the image that the tests boot from, and says where it is.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local_aws.machines.debian import UnavailableError, cached
from machine_image.user_data import ImageInputs, Outcome, read_outcome, render_user_data
from tests.htcondor.booted import BootedHost
from tests.htcondor.network import Network
from tests.htcondor.root import ensure_root

SUITE = "trixie"

INPUTS = ImageInputs(
    "tested",
    packages=("jq",),
    commands="# What a person adds by hand.\njq --version > /etc/annex-image-commands\n",
    boot_commands='echo "$ANNEX_ID in $AWS_REGION" > /run/boot-commands',
)
"""What the tests have in their image: a program, which a job uses, and commands of one's own."""

_BASE = ("ca-certificates", "cloud-init", "dbus", "iproute2", "openssh-client", "python3", "systemd-sysv")

# The network is not the builder's own, so cloud-init must leave it alone, as Debian's image for EC2 lets it.
_NO_NETWORK = "network: {config: disabled}\n"
_CONFIG = """\
# Nothing here may change the test machine's kernel.
ENABLE_KERNEL_TUNING = False
"""
_SEED = "/var/lib/cloud/seed/nocloud"


@dataclass(frozen=True)
class Built:
    """How a build went.

    Attributes:
        outcome: what the builder's console says; None where it says nothing.
        console: all that it says.
        seconds: from power on to power off.
    """

    outcome: Outcome | None
    console: str
    seconds: float


class Builder(BootedHost):
    """A machine that boots from the base image with user data, and shuts itself down."""

    def __init__(self, root: Path, inputs: ImageInputs, *, kept: bool) -> None:
        """Describe the builder.

        Args:
            root: the base image's root directory.
            inputs: what its user data shall put in the image.
            kept: whether the root directory becomes the image.
        """
        super().__init__(root, "builder.example.org", kept=kept)
        self._inputs = inputs

    def _prepare(self) -> None:
        self.must(["ssh-keygen", "-A"])
        self.write("/etc/cloud/cloud.cfg.d/99-no-network.cfg", _NO_NETWORK)
        self.write(f"{_SEED}/meta-data", "instance-id: i-builder\n")
        user_data = base64.b64encode(render_user_data(self._inputs)).decode()
        self.must(["sh", "-c", 'base64 --decode > "$1"', "sh", f"{_SEED}/user-data"], stdin=user_data)

    def build(self, seconds: float) -> Built:
        """Wait until the builder has shut itself down.

        Args:
            seconds: to wait at most.
        """
        began = time.monotonic()
        self.wait_until_off(seconds)
        return Built(read_outcome(self.console, self._inputs.build_id), self.console, time.monotonic() - began)


class ImageMachine(BootedHost):
    """A machine of an annex that boots from an image, without a hand on it."""

    def __init__(
        self, image: Path, network: Network, *, hosts: Mapping[str, str], ca_pem: str, files: Mapping[str, str]
    ) -> None:
        """Describe the machine; entering it as a context manager lets it boot.

        Args:
            image: the image's root directory; it is only read.
            network: its own.
            hosts: names that it resolves, and the address of each.
            ca_pem: a certificate authority that its programs trust besides the public ones.
            files: what another image would have besides, by path.
        """
        self._files = files
        super().__init__(image, "machine.example.org", hosts=hosts, ca_pem=ca_pem, network=network)

    def _prepare(self) -> None:
        self.write("/etc/condor/config.d/99-stand-in.config", _CONFIG)
        for path, text in self._files.items():
            self.write(path, text)


def base_image() -> Path:
    """Return the root directory of the base image, building it first where that has not been done.

    Raises:
        UnavailableError: it cannot be built here; the text says why.
    """
    return ensure_root(SUITE, _BASE, "base")


def ensure_image(inputs: ImageInputs = INPUTS) -> Path:
    """Return the root directory of an image, building it first where that has not been done: two or three minutes.

    Args:
        inputs: what goes into it.

    Raises:
        UnavailableError: it cannot be built here; the text says why.
    """
    base = base_image()
    recipe = hashlib.sha256(base.name.encode() + render_user_data(inputs)).hexdigest()[:12]

    def build(target: Path) -> None:
        subprocess.run(["cp", "--archive", "--no-target-directory", str(base), str(target)], check=True)
        with Builder(target, inputs, kept=True) as builder:
            built = builder.build(900)
        if built.outcome is None or not built.outcome.succeeded:
            reason = built.outcome.reason if built.outcome else built.console[-2000:]
            raise UnavailableError(f"No image of a machine for tests, because building it failed: {reason}")
        sys.stdout.write(f"Built the image of a machine in {built.seconds:.0f} s: {dict(built.outcome.versions)}\n")

    return cached(f"image-{SUITE}-{recipe}", build)


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{ensure_image()}\n")
    except UnavailableError as error:
        sys.exit(str(error))
