"""Describing what a first creation makes, opens and costs. Pure: data in, lines out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from annex_bootstrap.stack.plan import Change
from annex_bootstrap.words import NOTHING, SUMMARIES, TYPES
from annex_contract.image import IMAGE_NO, MACHINE_TYPES
from annex_contract.resources import BY_TYPE, IMAGE, IMAGE_BUILDER
from annex_contract.stack import Parameter

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
    if parameters[Parameter.IMAGE] == IMAGE_NO:
        return ""
    return parameters[Parameter.INSTANCE_TYPE] or MACHINE_TYPES[parameters[Parameter.IMAGE_ARCHITECTURE]]


def describe(changes: Sequence[Change], parameters: Mapping[str, str], price: Decimal | None = None) -> list[str]:
    """Describe a first creation in lines, which a narrower terminal breaks.

    Args:
        changes: of the change set; all of them add a resource.
        parameters: the values of all parameters.
        price: of a machine, dollars an hour on demand; None where it is not known.
    """
    types = [change.resource_type for change in changes if change.resource_type in BY_TYPE]
    kept = [TYPES[name] for name in types if name != IMAGE_BUILDER.resource_type]
    others = [SUMMARIES[change.resource] for change in changes if change.resource in SUMMARIES]
    return [
        f"creates {len(changes)} resources, among them",
        *(f"  - {summary}" for summary in [*(words.summary for words in kept), *others]),
        "opens, on the machines of annexes",
        f"  - port {parameters[Parameter.CONDOR_PORT]} (HTCondor) to {_who(parameters[Parameter.CONDOR_CIDRS])}",
        f"  - port 22 (SSH) to {_who(parameters[Parameter.SSH_CIDRS])}",
        "who may do what, once it exists",
        *(f"  - {line}" for line in _rights(parameters)),
        *(f"costs once: {_lowered(TYPES[name].cost)}" for name in types if name == IMAGE_BUILDER.resource_type),
        "costs while no annex runs",
        "  - cents a year for logs and the template",
        *(f"  - {words.name}: {_lowered(words.cost)}" for words in kept if words.cost != NOTHING),
        "costs while annexes run",
        f"  - each machine: {_price(machine_type(parameters), price)}, until its annex ends",
        "  - annex-bootstrap leases shows what all of them cost",
        f"takes about {MINUTES} minutes{IMAGE_TIME if IMAGE.resource_type in types else ''} (an estimate)",
    ]


def _rights(parameters: Mapping[str, str]) -> list[str]:
    """Say who may do what. docs/permissions.md has every right of every role."""
    boundary = parameters[Parameter.PERMISSIONS_BOUNDARY_ARN].rpartition("/")[2]
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
