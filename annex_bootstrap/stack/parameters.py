"""The parameters of a deployment: check what was given, choose what a change set gets, describe it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from annex_bootstrap.errors import UserError
from annex_bootstrap.stack.artefact import Template
from annex_contract.image import IMAGE_NO
from annex_contract.stack import Parameter
from annex_contract.statuses import State

if TYPE_CHECKING:
    from annex_bootstrap.stack.read import Stack


@dataclass(frozen=True)
class ParameterValue:
    """A parameter's part in a change set: a value, or None for the stack's earlier one."""

    name: str
    value: str | None


def check_parameters(template: Template, given: Mapping[str, str]) -> None:
    """Check what was given as CloudFormation would, before anything is sent.

    Source of the rules:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html

    Raises:
        UserError: a name is no parameter of the template, or a value is not allowed, with what to type instead.
    """
    known = template["Parameters"]
    for name, value in given.items():
        if name not in known:
            raise UserError(f"there is no parameter {name}: choose from {', '.join(sorted(known))}")
        if not _is_allowed(known[name], value):
            raise UserError(f"{name}={value!r} is not allowed: {_what_to_type(known[name])}")


def _is_allowed(parameter: Mapping[str, Any], value: str) -> bool:
    if "AllowedValues" in parameter:
        return value in [str(allowed) for allowed in parameter["AllowedValues"]]
    if parameter["Type"] == "Number":
        if not re.fullmatch(r"-?\d+(\.\d+)?", value, re.ASCII):
            return False
        least, most = parameter.get("MinValue"), parameter.get("MaxValue")
        return (least is None or float(value) >= float(least)) and (most is None or float(value) <= float(most))
    pattern = parameter.get("AllowedPattern")
    # CloudFormation matches the pattern with each element of a list, without the blanks around it.
    parts = [part.strip() for part in value.split(",")] if parameter["Type"] == "CommaDelimitedList" else [value]
    return pattern is None or all(re.fullmatch(pattern, part, re.ASCII) for part in parts)


def _what_to_type(parameter: Mapping[str, Any]) -> str:
    if "ConstraintDescription" in parameter:
        text: str = parameter["ConstraintDescription"]
        return text[0].lower() + text[1:].rstrip(".")
    return f"type one of {', '.join(str(each) for each in parameter.get('AllowedValues', []))}"


def choose_parameters(template: Template, stack: Stack | None, given: Mapping[str, str]) -> list[ParameterValue]:
    """Return the parameters of a change set: what is given, else what the stack had, else the template's default.

    A failed first creation counts too: a port that was closed at the first attempt stays closed at the second.
    """
    known = template["Parameters"]
    given = {**image_of(template, stack, given), **given}
    earlier = {name: value for name, value in _earlier(stack).items() if name in known and name not in given}
    updates = stack is not None and stack.state is State.DEPLOYED
    return [
        *(ParameterValue(name, given[name]) for name in sorted(given)),
        *(ParameterValue(name, None if updates else earlier[name]) for name in sorted(earlier)),
    ]


def image_of(template: Template, stack: Stack | None, given: Mapping[str, str]) -> dict[str, str]:
    """Return the parameter Image for a stack that was made before there was one: it gets none until somebody asks."""
    asks_nothing = Parameter.IMAGE in template["Parameters"] and Parameter.IMAGE not in given
    if asks_nothing and stack is not None and stack.state is State.DEPLOYED and Parameter.IMAGE not in stack.parameters:
        return {Parameter.IMAGE: IMAGE_NO}
    return {}


def _earlier(stack: Stack | None) -> Mapping[str, str]:
    return stack.parameters if stack is not None and stack.state in (State.DEPLOYED, State.CREATION_FAILED) else {}


def effective_parameters(template: Template, stack: Stack | None, given: Mapping[str, str]) -> dict[str, str]:
    """Return the values that all parameters will have, by name."""
    earlier = _earlier(stack)
    return {
        name: given.get(name, earlier.get(name, str(parameter.get("Default", ""))))
        for name, parameter in template["Parameters"].items()
    }


def describe_parameters(template: Template, stack: Stack | None, given: Mapping[str, str]) -> list[str]:
    """Describe the parameters that change or differ from their default, a line each."""
    known, earlier = template["Parameters"], {**_earlier(stack), **image_of(template, stack, given)}
    lines = []
    for name in sorted(known):
        default = str(known[name].get("Default", ""))
        value, was = given.get(name, earlier.get(name, default)), earlier.get(name, default)
        if value != was:
            lines.append(f"sets {name} to {_shown(value)} (it is {_shown(was)})")
        elif value != default:
            lines.append(f"keeps {name} {f'at {value}' if value else 'empty'}")
    return lines


def _shown(value: str) -> str:
    return value or "empty"
