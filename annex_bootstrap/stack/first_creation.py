"""Describing what a first creation makes, opens and costs. Pure: data in, lines out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from annex_bootstrap.stack.plan import Change
from annex_contract.image import ARCHITECTURE_PARAMETER, IMAGE_NO, IMAGE_PARAMETER, MACHINE_TYPES
from annex_contract.resources import BY_TYPE, IMAGE, IMAGE_BUILDER

PLAIN = {
    "LeaseFunction": "lease function, which ends annexes whose time is up",
    "ConnectivityFunction": "function that checks whether machines can reach the pool",
    "AnnexUserPolicy": "policy for whoever runs annexes; nobody has it yet",
    "AnnexKeyPair": "SSH key pair",
}
"""What a person calls those resources that are not custom ones, by their name in the template."""

MINUTES = 2
"""What creating everything but the image takes: roles and functions take seconds each, one after another."""

IMAGE_TIME = ", and 5 to 15 for the image"
"""Installing takes minutes, and so does making the image. Source:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/creating-an-ami-ebs.html"""

EVERYONE = ("0.0.0.0/0", "::/0")


def machine_type(parameters: Mapping[str, str]) -> str:
    """Return the type of on-demand machines, or nothing for a stack without an image, where HTCondor chooses it.

    Args:
        parameters: the values of all parameters.
    """
    if parameters[IMAGE_PARAMETER] == IMAGE_NO:
        return ""
    return parameters["InstanceType"] or MACHINE_TYPES[parameters[ARCHITECTURE_PARAMETER]]


def describe(changes: Sequence[Change], parameters: Mapping[str, str], price: Decimal | None = None) -> list[str]:
    """Describe a first creation in lines, which a narrower terminal breaks.

    Args:
        changes: of the change set; all of them add a resource.
        parameters: the values of all parameters.
        price: of a machine, dollars an hour on demand; None where it is not known.
    """
    made = [BY_TYPE[change.resource_type] for change in changes if change.resource_type in BY_TYPE]
    plain = [PLAIN[change.resource] for change in changes if change.resource in PLAIN]
    return [
        f"creates {len(changes)} resources, among them",
        *(
            f"  - {summary}"
            for summary in [*(custom.summary for custom in made if custom is not IMAGE_BUILDER), *plain]
        ),
        "opens, on the machines of annexes",
        f"  - port {parameters['CondorPort']} (HTCondor) to {_who(parameters['CondorCidrs'])}",
        f"  - port 22 (SSH) to {_who(parameters['SshCidrs'])}",
        "who may do what, once it exists",
        *(f"  - {line}" for line in _rights(parameters)),
        *(f"costs once: {_lowered(custom.cost)}" for custom in made if custom is IMAGE_BUILDER),
        "costs while no annex runs",
        "  - cents a year for logs and the template",
        *(
            f"  - {custom.name}: {_lowered(custom.cost)}"
            for custom in made
            if custom is not IMAGE_BUILDER and custom.cost != "Nothing"
        ),
        "costs while annexes run",
        f"  - each machine: {_price(machine_type(parameters), price)}, until its annex ends",
        "  - annex-bootstrap leases shows what all of them cost",
        f"takes about {MINUTES} minutes{IMAGE_TIME if IMAGE in made else ''} (an estimate)",
    ]


def _rights(parameters: Mapping[str, str]) -> list[str]:
    """Say who may do what. docs/permissions.md has every right of every role."""
    boundary = parameters["PermissionsBoundaryArn"].rpartition("/")[2]
    return [
        "machines of annexes: read their configuration from the bucket",
        "spot fleets: start machines",
        "the lease function: end machines of annexes and delete their leases",
        "people: nothing more, until annex-bootstrap credentials makes a user who may start annexes",
        *([f"all of its roles: nothing that the boundary {boundary} does not allow"] if boundary else []),
    ]


def _price(machine: str, price: Decimal | None) -> str:
    if price is None:
        return f"AWS's price for {machine or 'its type'}"
    return f"{price.normalize():f} $/hour on demand ({machine})"


def _who(blocks: str) -> str:
    named = ", ".join(block.strip() for block in blocks.split(",") if block.strip())
    if not named:
        return "nobody"
    open_to_all = any(block.strip() in EVERYONE for block in blocks.split(","))
    return f"everyone on the Internet ({named})" if open_to_all else named


def _lowered(text: str) -> str:
    return text[0].lower() + text[1:]
