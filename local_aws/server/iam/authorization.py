"""Where MiniStack decides whether a call is allowed: what AWS looks at there and MiniStack does not.

MiniStack checks one resource of most calls, knows few condition keys, and never asks for ``iam:PassRole``.
`Rules` say per service what to add. Without ``AUTH=true`` MiniStack checks nothing, and neither do they.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from ministack import app as ministack
from ministack.core import iam_actions, iam_evaluator

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
        request_context: condition keys that a call itself brings.
        resource_context: condition keys of the resource with an ARN.
        implied_checks: what a call needs beside its own action.
    """

    resources: Callable[[Params], list[str]]
    request_context: Callable[[Params], Context]
    resource_context: Callable[[str], Context]
    implied_checks: Callable[[Params], Iterable[Check]]


def action_of(params: Params) -> str:
    """Return the action that a form asks for."""
    return value_of(params, "Action")


def value_of(params: Params, name: str) -> str:
    """Return one value of a form, or an empty text."""
    value = params.get(name, "")
    return value if isinstance(value, str) else value[0]


def install(rules: Mapping[str, Rules]) -> None:
    """Put the rules, by MiniStack's name of the service, where MiniStack looks things up at every request."""
    enforce = iam_evaluator.enforce
    first_resource = iam_actions.extract_resource_arn
    more_resources = iam_actions.verified_access_resource_arns
    request_context = iam_actions.request_tag_context

    def extract_resource_arn(
        service: str, method: str, path: str, headers: Any, body: bytes, params: Params, *scope: str
    ) -> str:
        listed = rules[service].resources(params) if service in rules else []
        found: str = listed[0] if listed else first_resource(service, method, path, headers, body, params, *scope)
        return found

    def ec2_resource_arns(params: Params, *scope: str) -> list[str]:
        # MiniStack checks all of this list but the first, for EC2 alone.
        found: list[str] = rules["ec2"].resources(params) or more_resources(params, *scope)
        return found

    def request_tag_context(service: str, iam_action: str, body: bytes, params: Params) -> Context:
        more = rules[service].request_context(params) if service in rules else {}
        return {**request_context(service, iam_action, body, params), **more}

    def enforce_with_tags(
        access_key_id: str,
        iam_action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: Context | None = None,
    ) -> Any:
        more = rules[service].resource_context(resource_arn) if service in rules else {}
        context = {**(service_context or {}), **more}
        return enforce(access_key_id, iam_action, service, region, resource_arn=resource_arn, service_context=context)

    iam_actions.extract_resource_arn = extract_resource_arn
    iam_actions.verified_access_resource_arns = ec2_resource_arns
    iam_actions.request_tag_context = request_tag_context
    iam_evaluator.enforce = enforce_with_tags
    for service, each in rules.items():
        ministack.SERVICE_HANDLERS[service] = _checking(service, each, ministack.SERVICE_HANDLERS[service])


def _checking(service: str, rules: Rules, handler: Callable[..., Any]) -> Callable[..., Any]:
    async def checked(
        method: str, path: str, headers: dict[str, str], body: bytes, query_params: dict[str, Any]
    ) -> Response:
        for check in rules.implied_checks(ministack._routing_params(method, path, headers, body, query_params)):
            denied: Response | None = ministack._enforce_data_plane(
                service,
                check.action,
                headers,
                query_params,
                str(uuid.uuid4()),
                resource_arn=check.resource,
                service_context=check.context,
            )
            if denied:
                return denied
        answer: Response = await handler(method, path, headers, body, query_params)
        return answer

    return checked
