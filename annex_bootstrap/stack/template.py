"""The built template: where it is, what its parameters allow, and what each will be in a deployment."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from importlib import resources
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annex_bootstrap.errors import CommandLineError, UserError
from annex_contract.image import IMAGE_NO
from annex_contract.operating_system import SYSTEM
from annex_contract.stack import TEMPLATE_NAME, Parameter
from annex_contract.statuses import State

if TYPE_CHECKING:
    from annex_bootstrap.stack.read import Stack


Template = Mapping[str, Any]


class Source(Enum):
    """Where a parameter's value comes from."""

    GIVEN = "GIVEN"
    """The change set names it."""
    KEPT = "KEPT"
    """The stack has it, and the change set keeps it."""
    DEFAULT = "DEFAULT"
    """The template has it, and the change set says nothing."""


@dataclass(frozen=True)
class ParameterValue:
    """A parameter of a stack that will be deployed.

    Attributes:
        name: its name.
        value: what it will be.
        was: what it is; its default where there is no stack.
        default: the template's.
        source: of the value.
    """

    name: str
    value: str
    was: str
    default: str
    source: Source


def built_template() -> str:
    """Return the template that comes with this version: inside the installed package, or in a checkout's ``dist/``.

    Raises:
        UserError: this is a checkout in which nothing has been built yet.
    """
    try:
        return template_path().read_text()
    except FileNotFoundError as error:
        raise UserError(f"{TEMPLATE_NAME} is not built yet: run python build.py first") from error


def template_path() -> Path:
    """Return where the built template is, or will be."""
    # Both are files: a wheel is unpacked when it is installed.
    packaged = Path(str(resources.files("annex_bootstrap"))) / "data" / TEMPLATE_NAME
    return packaged if packaged.is_file() else Path(__file__).parents[2] / "dist" / TEMPLATE_NAME


def parse_template(text: str) -> Template:
    """Return the template as data."""
    template: Template = json.loads(text)
    return template


class WrittenTwiceError(ValueError):
    """An object of JSON has a key twice; Python takes the last one, others another."""


def read_once(text: str | bytes) -> Any:
    """Return JSON as data.

    Raises:
        WrittenTwiceError: a key is written twice.
        ValueError: it is not JSON.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise WrittenTwiceError(f"has the key {key!r} twice")
        found[key] = value
    return found


def written(value: Any) -> str:
    """Return JSON in one way of writing it. Python takes 1, 1.0 and true for equal, which AWS need not."""
    return json.dumps(value, sort_keys=True)


def is_same(text: str, built: str) -> bool:
    """Return whether a text is our template, perhaps with other white space.

    Args:
        text: what somebody else calls the template.
        built: ours.
    """
    try:
        return text == built or written(read_once(text)) == written(read_once(built))
    except (ValueError, RecursionError):
        return False


def check_parameters(template: Template, given: Mapping[str, str]) -> None:
    """Check what was given as CloudFormation would, before anything is sent.

    Source of the rules:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html

    Raises:
        UserError: a name is not a parameter of the template, or a value is not allowed, with what to type instead.
    """
    known = template["Parameters"]
    for name, value in given.items():
        if name not in known:
            close = get_close_matches(name, known)
            hint = f"did you mean {' or '.join(close)}?" if close else f"choose from {', '.join(sorted(known))}"
            raise CommandLineError(f"there is no parameter {name}: {hint}")
        if not _is_allowed(known[name], value):
            raise CommandLineError(f"{name}={value!r} is not allowed: {_what_to_type(known[name])}")
        if name in (Parameter.CONDOR_CIDRS, Parameter.SSH_CIDRS):
            for text in filter(None, map(str.strip, value.split(","))):
                _check_range(name, text)


def check_network(values: Mapping[str, str]) -> None:
    """Refuse to put the connectivity function into subnets where there are none.

    Args:
        values: of parameters, by name; others have their defaults.

    Raises:
        UserError: with what to type instead.
    """
    if values.get(Parameter.CONNECTIVITY_VPC) == "yes" and not values.get(Parameter.SUBNET_IDS):
        raise CommandLineError(
            f"{Parameter.CONNECTIVITY_VPC}=yes needs the subnets in which the function then runs: add --param "
            f"{Parameter.SUBNET_IDS}= and their IDs with commas between them"
        )


def _check_range(name: str, text: str) -> None:
    """Refuse what has the form of a range of addresses and is none, or is only an address within one."""
    try:
        network = ip_network(text, strict=False)
    except ValueError as error:
        raise CommandLineError(f"{name}: invalid range {text!r} ({error})") from error
    if ip_address(text.partition("/")[0]) != network.network_address:
        raise CommandLineError(f"{name}: {text!r} is an address within a range: type {network} for the whole range")


def default_image(partition: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return ``Image=no`` where a new stack would make an image, and there is none to make it from; else nothing.

    Args:
        partition: of the stack.
        given: the parameters that were given, by name.
    """
    if partition in SYSTEM.partitions or given.get(Parameter.IMAGE) or given.get(Parameter.BASE_IMAGE):
        return {}
    return {Parameter.IMAGE.value: IMAGE_NO}


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
    return f"type one of {', '.join(str(value) for value in parameter.get('AllowedValues', []))}"


def plan_parameters(template: Template, stack: Stack | None, given: Mapping[str, str]) -> list[ParameterValue]:
    """Return what all parameters will be, by name: what is given, else what the stack had, else the template's default.

    A failed first creation counts too: a port that was closed at the first attempt stays closed at the second. A stack
    that was made before there was a parameter Image gets no image until somebody asks for one.

    Args:
        template: that will be deployed.
        stack: as it is, or None.
        given: the parameters that were given, by name.
    """
    earlier: dict[str, str] = {}
    kept: set[str] = set()
    if stack is not None and stack.state is State.CREATION_FAILED:
        earlier = dict(stack.parameters)
    elif stack is not None and stack.state is State.DEPLOYED:
        earlier = {Parameter.IMAGE: IMAGE_NO, **stack.parameters}
        kept = stack.parameters.keys() - given.keys()
    planned = []
    for name, described in sorted(template["Parameters"].items()):
        default = str(described.get("Default", ""))
        was = earlier.get(name, default)
        source = Source.KEPT if name in kept else Source.GIVEN if name in {**earlier, **given} else Source.DEFAULT
        planned.append(ParameterValue(name, given.get(name, was), was, default, source))
    return planned
