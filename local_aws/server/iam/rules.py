"""What a service says about the permissions of its calls; ``authorization`` applies it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from local_aws.server.wire import Params, Response

Context: TypeAlias = Mapping[str, str | list[str]]
"""Condition keys and their values."""


@dataclass(frozen=True)
class Check:
    """A permission that a call needs beside its own action's.

    Attributes:
        action: an IAM action.
        resource: the ARN that it is checked on.
        context: condition keys of this check alone.
    """

    action: str
    resource: str
    context: Context


@dataclass(frozen=True)
class Rules:
    """What to add for one service.

    Attributes:
        resources: the ARNs that a call is authorized on; none leaves the choice to MiniStack.
        request_context: condition keys that a call itself brings, for the resource with an ARN.
        resource_context: condition keys of the resource with an ARN.
        implied_checks: what a call needs beside its own action.
        denied: what a call answers where one of those is denied.
        actions: the actions that calls need whose own name is none, by that name.
    """

    resources: Callable[[Params], list[str]]
    request_context: Callable[[Params, str], Context] = lambda *_: {}
    resource_context: Callable[[str], Context] = lambda _: {}
    implied_checks: Callable[[Params], Iterable[Check]] = lambda _: ()
    denied: Callable[[Params, Response], Response] = lambda _, denial: denial
    actions: Mapping[str, str] = field(default_factory=dict)


def action_of(params: Params) -> str:
    """Return the action that a form asks for."""
    return value_of(params, "Action")


def value_of(params: Params, name: str) -> str:
    """Return one value of a request, or an empty text."""
    value = params.get(name, "")
    return value if isinstance(value, str) else value[0]
