"""What a deployment would make, change, open and cost, in lines for people. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from annex_bootstrap.stack.plan import Change, Step
from annex_bootstrap.stack.template import ParameterValue
from annex_bootstrap.words import IMAGE_COSTS, IMAGE_TIME, MINUTES, NOTHING, SUMMARIES, TYPES, is_everyone, open_ports
from annex_contract.image import IMAGE_NO, MACHINE_TYPES
from annex_contract.resources import (
    BY_TYPE,
    FLEET_ROLE,
    IMAGE,
    IMAGE_BUILDER,
    INSTANCE_ROLE,
    START_ROLE,
)
from annex_contract.stack import Parameter

if TYPE_CHECKING:
    from annex_bootstrap.stack.deployment import Preview

CONDOR_CIDRS, SSH_CIDRS = Parameter.CONDOR_CIDRS, Parameter.SSH_CIDRS
PORTS = (Parameter.CONDOR_PORT, CONDOR_CIDRS, SSH_CIDRS)

Item = tuple[str, list[str]]
"""A word, and the lines beside it."""


def describe(preview: Preview, price: Decimal | None = None, *, verbose: bool = False) -> list[Item]:
    """Describe what a deployment would do in a region.

    Args:
        preview: it changes something.
        price: of a machine, dollars an hour on demand; None where it is not known.
        verbose: whether to name every resource, right and cost.
    """
    is_new = preview.step is Step.CREATE
    if is_new:
        items = describe_creation(preview.changes, preview.values, price)
        items += explain_creation(preview.changes, preview.values) if verbose else []
    elif preview.step is Step.REPLACE_FAILED:
        status = preview.stack.status if preview.stack is not None else ""
        items = [("Deletes", [f"what the failed creation left ({status})"])]
    else:
        items = [("Changes", describe_update(preview.changes))]
        items += [("Opens", open_ports(preview.values))] if opens_to_everyone(preview) else []
    if verbose and preview.changes:
        items.append(("Each", [f"{change.action:<6}  {change.resource}  {change.type}" for change in preview.changes]))
    notes = [*([preview.base.note] if preview.base.note else []), *_warnings(preview)]
    note = [("Note", notes)] if notes else []
    sets = describe_parameters(preview.parameters, is_new=is_new)
    return [*items, *note, *sets, *describe_earlier_setup(preview.earlier_setup)]


def _warnings(preview: Preview) -> list[str]:
    found = preview.change_set.warnings if preview.change_set is not None else ()
    return [f"CloudFormation warns: {warning}" for warning in found]


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
) -> list[Item]:
    """Describe a first creation in a dozen lines.

    Args:
        changes: of the change set; all of them add a resource.
        parameters: the values of all parameters.
        price: of a machine, dollars an hour on demand; None where it is not known.
    """
    types = {change.type for change in changes if change.type in BY_TYPE}
    names = [words.name for name, words in TYPES.items() if name in types - _not_made(parameters)]
    makes_image = IMAGE.resource_type in types
    return [
        ("Makes", [f"{len(changes)} resources, among them {', '.join(names)}"]),
        ("Opens", open_ports(parameters)),
        (
            "Costs",
            [
                IMAGE_COSTS if makes_image else "cents a year while no annex runs",
                f"each machine of an annex: {_price(machine_type(parameters), price)}",
            ],
        ),
        ("Takes", [f"about {MINUTES} minutes{IMAGE_TIME if makes_image else ''} (an estimate)"]),
    ]


def _not_made(parameters: Mapping[str, str]) -> set[str]:
    """Return the types of custom resources that leave nothing, or only look at what an administrator made."""
    roles = {custom.resource_type for custom in (INSTANCE_ROLE, START_ROLE, FLEET_ROLE)}
    return {IMAGE_BUILDER.resource_type, *(roles if parameters[Parameter.GIVEN_ROLES] else ())}


def opens_to_everyone(preview: Preview) -> bool:
    """Tell whether a port opens to everyone on the Internet that is closed to some of them now."""
    return any(
        parameter.name in (CONDOR_CIDRS, SSH_CIDRS)
        and is_everyone(parameter.value)
        and (preview.step is not Step.UPDATE or not is_everyone(parameter.was))
        for parameter in preview.parameters
    )


def explain_creation(changes: Sequence[Change], parameters: Mapping[str, str]) -> list[Item]:
    """Describe what a first creation makes, grants and costs, kind by kind, for those who want to know more.

    Args:
        changes: of the change set.
        parameters: the values of all parameters.
    """
    kept = [
        TYPES[change.type] for change in changes if change.type in BY_TYPE and change.type not in _not_made(parameters)
    ]
    others = [SUMMARIES[change.resource] for change in changes if change.resource in SUMMARIES]
    return [
        ("Among", [*(words.summary for words in kept), *others]),
        ("Rights", _rights(parameters)),
        (
            "Keeping",
            [
                "logs and the template: cents a year",
                *(f"{words.name}: {_lowered(words.cost)}" for words in kept if words.cost != NOTHING),
            ],
        ),
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


def describe_parameters(parameters: Iterable[ParameterValue], *, is_new: bool = False) -> list[Item]:
    """Describe the parameters that change or differ from their default.

    Args:
        parameters: of the stack.
        is_new: whether there is no stack yet, so that ``describe_creation`` names the ports.
    """
    named = [one for one in parameters if not (is_new and one.name in PORTS)]
    sets = [
        f"{one.name} to {one.value or 'empty'} (it is {one.was or 'empty'})" for one in named if one.value != one.was
    ]
    keeps = [
        f"{one.name} {f'at {one.value}' if one.value else 'empty'}"
        for one in named
        if one.value == one.was and one.value != one.default
    ]
    return [*([("Sets", sets)] if sets else []), *([("Keeps", [", ".join(keeps)])] if keeps else [])]


def describe_earlier_setup(names: Sequence[str]) -> list[Item]:
    """Return what to tell a person about the stacks of ``condor_annex -setup``; nothing where there are none."""
    if not names:
        return []
    own = "their annexes keep their leases; new annexes use this stack once the configuration names it"
    return [("Leaves", [f"what condor_annex -setup made: {', '.join(names)}", own])]


def _rights(parameters: Mapping[str, str]) -> list[str]:
    """Say who may do what. docs/permissions.md has every right of every role."""
    boundary = parameters[Parameter.PERMISSIONS_BOUNDARY_ARN].rpartition("/")[2]
    given = parameters[Parameter.GIVEN_ROLES]
    return [
        "machines of annexes: read their configuration from the bucket",
        "spot fleets: start machines",
        "the lease function: end machines of annexes and delete their leases",
        *(
            ["the connectivity function: network interfaces in the subnets, which Lambda makes and its code cannot"]
            if parameters[Parameter.CONNECTIVITY_VPC] == "yes"
            else []
        ),
        "people: nothing more, until annex-bootstrap credentials makes a user who may start annexes",
        *(["the roles are an administrator's: deploying makes none and deletes none"] if given else []),
        *([f"all of its roles: nothing that the boundary {boundary} does not allow"] if boundary and not given else []),
    ]


def _price(machine: str, price: Decimal | None) -> str:
    if price is None:
        return f"AWS's price for {machine or 'its type'}"
    return f"${price.normalize():f}/hour on demand ({machine})"


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
