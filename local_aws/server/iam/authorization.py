"""Where MiniStack decides whether a call is allowed: what AWS looks at there and MiniStack does not.

MiniStack checks one resource of most calls, knows few condition keys, and never asks for ``iam:PassRole``.
`Rules` say per service what to add. Without ``AUTH=true`` MiniStack checks nothing, and neither do they.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
import uuid
from collections.abc import Callable
from typing import Any

from botocore.parsers import RpcV2CBORParser
from ministack import app as ministack
from ministack.core import iam_actions, iam_evaluator
from ministack.core.router import extract_access_key_id

from local_aws.server.budgets import permissions as budgets_permissions
from local_aws.server.cloudformation import permissions as cloudformation_permissions
from local_aws.server.ec2 import permissions as ec2_permissions
from local_aws.server.events import permissions as events_permissions
from local_aws.server.iam import decisions
from local_aws.server.iam import permissions as iam_permissions
from local_aws.server.iam.caller import CALLER
from local_aws.server.iam.rules import Context, Rules
from local_aws.server.lambda_functions import permissions as lambda_permissions
from local_aws.server.logs import permissions as logs_permissions
from local_aws.server.monitoring import permissions as monitoring_permissions
from local_aws.server.quotas import service_quotas
from local_aws.server.ssm import permissions as ssm_permissions
from local_aws.server.wire import Params, Response

RULES = {
    "budgets": budgets_permissions.RULES,
    "cloudformation": cloudformation_permissions.RULES,
    "ec2": ec2_permissions.RULES,
    "events": events_permissions.RULES,
    "iam": iam_permissions.RULES,
    "lambda": lambda_permissions.RULES,
    "logs": logs_permissions.RULES,
    "monitoring": monitoring_permissions.RULES,
    "servicequotas": service_quotas.RULES,
    "ssm": ssm_permissions.RULES,
}
"""The rules of each service, by MiniStack's name of it."""

_called: contextvars.ContextVar[tuple[str, Params]] = contextvars.ContextVar("called", default=("", {}))
"""The action that is being called, and the members of the request."""


def install() -> None:
    """Put the rules where MiniStack looks things up at every request."""
    enforce = iam_evaluator.enforce
    first_resource = iam_actions.extract_resource_arn
    more_resources = iam_actions.verified_access_resource_arns
    request_context = iam_actions.request_tag_context

    def extract_resource_arn(
        service: str, method: str, path: str, headers: Any, body: bytes, params: Params, *scope: str
    ) -> str:
        listed = RULES[service].resources(_members(service, body, params)) if service in RULES else []
        found: str = listed[0] if listed else first_resource(service, method, path, headers, body, params, *scope)
        return found

    def ec2_resource_arns(params: Params, *scope: str) -> list[str]:
        # MiniStack checks all of this list but the first, for EC2 alone.
        found: list[str] = RULES["ec2"].resources(params) or more_resources(params, *scope)
        return found

    def request_tag_context(service: str, iam_action: str, body: bytes, params: Params) -> Context:
        _called.set((iam_action, _members(service, body, params)))
        found: Context = request_context(service, iam_action, body, params)
        return found

    def enforce_with_tags(
        access_key_id: str,
        iam_action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: Context | None = None,
    ) -> Any:
        context = dict(service_context or {})
        if service in RULES:
            called, members = _called.get()
            # What a call needs beside its own action brings its own keys.
            if iam_action == called:
                context |= RULES[service].request_context(members, resource_arn)
            context |= RULES[service].resource_context(resource_arn)
            iam_action = RULES[service].actions.get(iam_action.partition(":")[2], iam_action)
        return decisions.decide(
            lambda: enforce(
                access_key_id, iam_action, service, region, resource_arn=resource_arn, service_context=context
            )
        )

    iam_actions.extract_resource_arn = extract_resource_arn
    iam_actions.verified_access_resource_arns = ec2_resource_arns
    iam_actions.request_tag_context = request_tag_context
    iam_evaluator.enforce = enforce_with_tags
    # A service that MiniStack lacks has one action, and that needs nothing else.
    for service, rules in ((service, RULES[service]) for service in RULES if service in ministack.SERVICE_HANDLERS):
        ministack.SERVICE_HANDLERS[service] = _checking(service, rules, ministack.SERVICE_HANDLERS[service])


def _members(service: str, body: bytes, params: Params) -> Params:
    """Return the members of a request: of its form, or of its body, which MiniStack has not read yet."""
    members = params
    if body.startswith(b"{"):
        # What a function is invoked with may be anything.
        with contextlib.suppress(ValueError):
            members = json.loads(body)
    elif service == "monitoring" and body and not params.get("Action"):
        # https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html
        reader: Any = RpcV2CBORParser()
        members = reader.parse_data_item(reader.get_peekable_stream_from_bytes(body))
    return members


def _checking(service: str, rules: Rules, handler: Callable[..., Any]) -> Callable[..., Any]:
    async def checked(
        method: str, path: str, headers: dict[str, str], body: bytes, query_params: dict[str, Any]
    ) -> Response:
        CALLER.set(extract_access_key_id(headers, query_params))
        members = _members(service, body, ministack._routing_params(method, path, headers, body, query_params))
        for check in rules.implied_checks(members):
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
                return rules.denied(members, denied)
        answer: Response = await handler(method, path, headers, body, query_params)
        return answer

    return checked
