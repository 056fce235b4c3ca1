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

BUILDER_TYPES = {"amd64": "t3.medium", "arm64": "t4g.medium"}
"""The type of the machine that an image is built on where the user names none, by architecture: small, and one whose
console can be read while it runs, as that of every type on Nitro:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html"""

FREE_PLAN_TYPES = {
    "amd64": ("t3.small", "c7i-flex.large", "m7i-flex.large", "t3.micro"),
    "arm64": ("t4g.small", "t4g.micro"),
}
"""The only types that an account on the free plan may start, by architecture, in the order in which a builder tries
them: the cheapest with enough memory first. Seen in https://github.com/RhinoSecurityLabs/cloudgoat/issues/375."""


def is_free_plan(message: str) -> bool:
    """Return whether EC2 refuses a type because the account is on the free plan.

    Args:
        message: what AWS said, as in https://github.com/splunk/attack_range/issues/1302.
    """
    return "Free Tier" in message
