"""The stack's own machine image: the names that its makers, the sweep and the client share."""

from __future__ import annotations

IMAGE_TAG = "annex-bootstrap:image"
"""The tag of an image, its snapshots, and the machine that it is built on; its value names the build."""

BASE_TAG = "annex-bootstrap:base"
"""The tag of an image with the ID of the image that it was built from."""

CONDOR_TAG = "annex-bootstrap:htcondor"
"""The tag of an image with the version of HTCondor in it."""

DEBIAN = "136693071363"
"""Debian's account, which owns its images: https://wiki.debian.org/Cloud/AmazonEC2Image"""

IMAGE_YES = "yes"
IMAGE_NO = "no"
"""Values of the parameter Image; any other is the ID of an image of the user's."""

BASE_PARAMETERS = "/aws/service/debian/release/13/latest/"
"""With an architecture: the public parameter with the ID of Debian 13's newest image. Debian publishes them in no
partition but ``aws``. Source: https://wiki.debian.org/Cloud/AmazonEC2Image/Trixie"""

ARCHITECTURES = {"amd64": "x86_64", "arm64": "arm64"}
"""Debian's names of the architectures, and EC2's."""

MACHINE_TYPES = {"amd64": "m7i.large", "arm64": "m7g.large"}
"""The type of on-demand machines where the user names none, by the image's architecture."""
