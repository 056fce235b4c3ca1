"""How long a managed policy may be; MiniStack takes any.

Sources: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html, and what IAM says, as in
https://github.com/docker/docs/issues/5815.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.services import iam
from ministack.services.cloudformation import provisioners

from local_aws.server.iam.rules import value_of
from local_aws.server.wire import Params, Response

MOST = 6144
"""Characters without white space."""

MESSAGE = f"Cannot exceed quota for PolicySize: {MOST}"


def install() -> None:
    """Extend MiniStack's IAM and CloudFormation."""
    for call in ("CreatePolicy", "CreatePolicyVersion"):
        iam._IAM_HANDLERS[call] = _limited(iam._IAM_HANDLERS[call])
    handlers = provisioners._RESOURCE_HANDLERS["AWS::IAM::ManagedPolicy"]
    create, update = handlers["create"], handlers["update"]

    def create_policy(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
        _check(properties)
        return create(logical_id, properties, stack_name)

    def update_policy(physical_id: str, old: Any, properties: dict[str, Any], *rest: Any, **more: Any) -> Any:
        _check(properties)
        return update(physical_id, old, properties, *rest, **more)

    handlers |= {"create": create_policy, "update": update_policy}


def _limited(handler: Callable[[Params], Response]) -> Callable[[Params], Response]:
    def limited(params: Params) -> Response:
        if _is_too_long(value_of(params, "PolicyDocument")):
            answer: Response = iam._error(409, "LimitExceeded", MESSAGE, ns="iam")
            return answer
        return handler(params)

    return limited


def _check(properties: dict[str, Any]) -> None:
    if _is_too_long(json.dumps(properties["PolicyDocument"], separators=(",", ":"))):
        raise ValueError(MESSAGE)


def _is_too_long(document: str) -> bool:
    return len("".join(document.split())) > MOST
