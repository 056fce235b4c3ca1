"""The stack's own machine image: the names that its makers, the sweep and the client share."""

from __future__ import annotations

IMAGE_TAG = "annex-bootstrap:image"
"""The tag of an image, its snapshots, and the machine that it is built on; its value names the build."""

BASE_TAG = "annex-bootstrap:base"
"""The tag of an image with the ID of the image that it was built from."""

CONDOR_TAG = "annex-bootstrap:htcondor"
"""The tag of an image with the version of HTCondor in it."""

IMAGE_YES = "yes"
IMAGE_NO = "no"
"""Values of the parameter Image; any other is the ID of an image of the user's."""

MACHINE_TYPES = {"amd64": "m7i.large", "arm64": "m7g.large"}
"""The type of on-demand machines where the user names none, by the image's architecture."""
