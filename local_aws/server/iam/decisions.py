"""Every decision about a call, with all that it was taken on, for `recording`."""

from __future__ import annotations

import contextvars
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from ministack.core import iam_evaluator

from local_aws.server import recording

_parts: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar("parts", default=None)


def install() -> None:
    """Let MiniStack's evaluation note what it looks at."""
    evaluate, combine = iam_evaluator.evaluate, iam_evaluator.combine_resource_policy

    def noting_evaluate(ctx: Any, policies: Any, *limits: Any) -> Any:
        parts = _parts.get()
        if parts is not None:
            # The first evaluation is of the principal's own policies.
            parts.setdefault("evaluated", (ctx, policies, limits))
        return evaluate(ctx, policies, *limits)

    def noting_combine(identity: Any, ctx: Any, policy: Any, owner: Any, **more: Any) -> Any:
        parts = _parts.get()
        if parts is not None:
            parts["resource_policy"] = policy
        return combine(identity, ctx, policy, owner, **more)

    iam_evaluator.evaluate = noting_evaluate
    iam_evaluator.combine_resource_policy = noting_combine


@contextmanager
def noted() -> Iterator[list[Any]]:
    """Record the decision taken within; what was answered is to be appended to the list."""
    token = _parts.set({})
    answers: list[Any] = []
    try:
        yield answers
        parts = _parts.get()
        # Neither the root nor somebody who is not known is decided about.
        if recording.directory() and parts and "evaluated" in parts and answers:
            recording.write(recording.DECISIONS, _document(parts, allowed=answers[0] is None))
    finally:
        _parts.reset(token)


def _document(parts: dict[str, Any], *, allowed: bool) -> dict[str, Any]:
    ctx, policies, limits = parts["evaluated"]
    resource_policy = parts.get("resource_policy")
    documents = [_policy(statements) for statements in policies]
    limiting = [[_policy(statements) for statements in layer] for layer in limits]
    # As a policy spells them: MiniStack writes the keys of tags in lower case.
    spelled = {
        key.lower(): key
        for document in (*documents, *(each for layer in limiting for each in layer))
        for statement in document["Statement"]
        for block in statement["Condition"].values()
        for key in block
    }
    keys = {**{key: key for key in ctx.service_context}, **spelled}
    found = {name: iam_evaluator._resolve_condition_key(name, ctx) for name in keys.values()}
    return {
        "principal": ctx.principal_arn,
        "account": ctx.principal_account,
        "action": ctx.action,
        "resource": ctx.resource_arn,
        "context": {name: value for name, value in found.items() if value is not None},
        "policies": documents,
        "limits": limiting,
        "resource_policy": json.loads(resource_policy or "null")
        if isinstance(resource_policy, str)
        else resource_policy,
        "allowed": allowed,
    }


def _policy(statements: Any) -> dict[str, Any]:
    names = {"actions": "Action", "not_actions": "NotAction", "resources": "Resource", "not_resources": "NotResource"}
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": statement.effect, "Condition": statement.conditions}
            | {names[name]: value for name, value in asdict(statement).items() if name in names and value}
            for statement in statements
        ],
    }
