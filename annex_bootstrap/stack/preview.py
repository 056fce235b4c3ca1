"""What a deployment would make, change, open and cost, in lines for people. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from annex_bootstrap.stack.plan import Change
from annex_bootstrap.stack.template import ParameterValue
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


def describe_creation(
    changes: Sequence[Change], parameters: Mapping[str, str], price: Decimal | None = None
) -> list[str]:
    """Describe a first creation in lines, which a narrower terminal breaks.

    Args:
        changes: of the change set; all of them add a resource.
        parameters: the values of all parameters.
        price: of a machine, dollars an hour on demand; None where it is not known.
    """
    types = [change.type for change in changes if change.type in BY_TYPE]
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


def describe_update(changes: Iterable[Change]) -> list[str]:
    """Describe a change set in words, one line for each kind of change."""
    changes = list(changes)
    added = [change for change in changes if change.action == "Add"]
    removed = [change for change in changes if change.action == "Remove"]
    modified = [change for change in changes if change.action == "Modify"]
    lines = [f"creates {_count(added)}"] if added else []
    lines += [f"replaces {_name(change)}{_why(change)}" for change in modified if change.replaces]
    for verb, some in (
        ("changes", [change for change in modified if change.replaces is False]),
        ("changes, possibly by replacing,", [change for change in modified if change.replaces is None]),
        ("removes", removed),
    ):
        if some:
            lines.append(f"{verb} {_count(some)}: {', '.join(change.resource for change in some)}")
    if any(change.type == IMAGE_BUILDER.resource_type and change.makes_new for change in changes):
        lines.append("rebuilds the image: 5 to 15 minutes, about a cent (estimates)")
    return lines


def describe_parameters(parameters: Iterable[ParameterValue]) -> list[str]:
    """Describe the parameters that change or differ from their default, a line each."""
    lines = []
    for parameter in parameters:
        if parameter.value != parameter.was:
            lines.append(f"sets {parameter.name} to {parameter.value or 'empty'} (it is {parameter.was or 'empty'})")
        elif parameter.value != parameter.default:
            lines.append(f"keeps {parameter.name} {f'at {parameter.value}' if parameter.value else 'empty'}")
    return lines


def describe_earlier_setup(names: Sequence[str]) -> list[str]:
    """Return what to tell a person about the stacks of ``condor_annex -setup``; nothing where there are none."""
    if not names:
        return []
    return [
        f"leaves alone what condor_annex -setup made: {', '.join(names)}",
        "  their annexes keep their leases; new annexes use this stack once the configuration names it",
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
    return f"${price.normalize():f}/hour on demand ({machine})"


def _who(blocks: str) -> str:
    named = ", ".join(block.strip() for block in blocks.split(",") if block.strip())
    if not named:
        return "nobody"
    open_to_all = any(block.strip() in EVERYONE for block in blocks.split(","))
    return f"everyone on the Internet ({named})" if open_to_all else named


def _lowered(text: str) -> str:
    return text[0].lower() + text[1:]


def _name(change: Change) -> str:
    words = TYPES.get(change.type)
    return (words.name if words is not None else "") or change.resource


def _why(change: Change) -> str:
    reasons = change.replacing or change.properties
    verb = "changes" if len(reasons) == 1 else "change"
    return f": {' and '.join(reasons)} {verb}" if reasons else ""


def _count(changes: Sequence[Change]) -> str:
    return "1 resource" if len(changes) == 1 else f"{len(changes)} resources"
