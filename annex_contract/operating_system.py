"""The operating system of the machine image: one record of all that depends on it, besides its script.

The script is a file of ``machine_image/files``: shell functions with which ``build.sh`` reaches, installs and cleans
up packages. Another operating system is another record, another script, and ``SYSTEM`` that names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class OperatingSystem:
    """What an image is made from.

    Attributes:
        name: what people call it and its publisher.
        release: the release that is installed.
        owner: the account that owns its images.
        base_parameters: with one of its architectures, the public parameter of Systems Manager that holds the ID of its
            newest image.
        partitions: those in which it publishes images and that parameter.
        architectures: EC2's names of the architectures, by its own.
        script: the file of ``machine_image/files`` that knows its packages.
        package_pattern: a regular expression that matches the name of a package, with what the package manager allows
            after it to choose a version.
    """

    name: str
    release: str
    owner: str
    base_parameters: str
    partitions: frozenset[str]
    architectures: Mapping[str, str]
    script: str
    package_pattern: str


DEBIAN = OperatingSystem(
    name="Debian",
    release="Debian 13",
    # https://wiki.debian.org/Cloud/AmazonEC2Image
    owner="136693071363",
    base_parameters="/aws/service/debian/release/13/latest/",
    # Not in GovCloud: https://wiki.debian.org/Cloud/AmazonEC2Image/Trixie
    partitions=frozenset({"aws"}),
    architectures={"amd64": "x86_64", "arm64": "arm64"},
    script="debian.sh",
    # A name that ends in - would have apt remove the package.
    package_pattern=r"[a-z0-9][a-z0-9+.-]*[a-z0-9+.](?:[=/][A-Za-z0-9.+:~-]+)?",
)

SYSTEM = DEBIAN
"""The one that images have."""
