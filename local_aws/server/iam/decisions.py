"""Every decision about a call: what the organisation adds to it, why it was denied, and the record of it."""

from __future__ import annotations

import contextvars
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from ministack.core import iam_evaluator
from ministack.services import iam

from local_aws.server import recording
from local_aws.server.iam import organisation, rehearsal, variables

_parts: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar("parts", default=None)

Policies: TypeAlias = Iterable[Any]
"""MiniStack's parsed policies: a list of statements each."""


@dataclass(frozen=True)
class Denial:
    """Why a call was denied.

    Attributes:
        ctx: MiniStack's description of the request.
        explicit: whether a statement denies it; otherwise none allows it.
        kind: of the policies that decided, as AWS names them in a message.
    """

    ctx: Any
    explicit: bool
    kind: str

    @property
    def reason(self) -> str:
        """The end of AWS's message.

        Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
        """
        if self.explicit:
            return f"with an explicit deny in {'an' if self.kind[0] in 'aeiou' else 'a'} {self.kind}"
        return f"because no {self.kind} allows the {self.ctx.action} action"


last_denial: contextvars.ContextVar[Denial | None] = contextvars.ContextVar("last_denial", default=None)
"""The latest denial of this request."""


def install() -> None:
    """Let MiniStack's evaluation note what it looks at, and know variables."""
    evaluate, combine = iam_evaluator.evaluate, iam_evaluator.combine_resource_policy
    resolve_key = iam_evaluator._resolve_condition_key

    def noting_evaluate(ctx: Any, policies: Any, *limits: Any) -> Any:
        parts = _parts.get()
        if parts is not None:
            # The first evaluation is of the principal's own policies.
            parts.setdefault("evaluated", (ctx, policies, limits))
        return evaluate(ctx, variables.filled(policies, ctx), *(variables.filled(layer, ctx) for layer in limits))

    def noting_combine(identity: Any, ctx: Any, policy: Any, owner: Any, **more: Any) -> Any:
        parts = _parts.get()
        if parts is not None:
            parts["resource_policy"] = policy
        return combine(identity, ctx, policy, owner, **more)

    def resolve_key_of_roles(key: str, ctx: Any) -> Any:
        # Of a session, it is the role's with its path:
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn
        name = iam_evaluator._role_name_from_assumed_arn(ctx.principal_arn)
        if key.lower() == "aws:principalarn" and ":assumed-role/" in ctx.principal_arn and name in iam._roles:
            return iam._roles[name]["Arn"]
        return resolve_key(key, ctx)

    iam_evaluator._resolve_condition_key = resolve_key_of_roles
    iam_evaluator.evaluate = noting_evaluate
    iam_evaluator.combine_resource_policy = noting_combine


def decide(enforce: Callable[[], Any]) -> Any:
    """Return what MiniStack's enforcement answers within what the organisation allows: None, or a denial."""
    token = _parts.set({})
    try:
        answer = enforce()
        parts = _parts.get() or {}
        # Somebody who is not known, or the root of an account without an organisation, is not decided about.
        if "evaluated" not in parts:
            return answer
        ctx, policies, limits = parts["evaluated"]
        layers = _layers(ctx, policies, limits, denied=answer is not None)
        denial = _denial(ctx, layers, denied=answer is not None)
        if rehearsal.is_on():
            rehearsal.note_keys(ctx)
            if denial and rehearsal.sets_aside(ctx, layers, denied=answer is not None):
                return None
        last_denial.set(denial)
        if recording.directory() and ctx.principal_type != "Root":
            recording.write(recording.DECISIONS, _document(parts, allowed=denial is None))
        if denial is None or answer is not None:
            return answer
        decision = "Deny" if denial.explicit else "ImplicitDeny"
        return iam_evaluator.EvalResult(decision, principal_arn=ctx.principal_arn)
    finally:
        _parts.reset(token)


def _layers(ctx: Any, policies: Policies, limits: Iterable[Policies], *, denied: bool) -> Sequence[rehearsal.Layer]:
    """Return what may deny a call: the organisation's policies and, where MiniStack denies it, the principal's."""
    layers: list[rehearsal.Layer] = [(kind, [*_parsed(documents)]) for kind, documents in organisation.layers(ctx)]
    if denied:
        layers += [
            ("identity-based policy", [*policies]),
            *(("permissions boundary", [*layer]) for layer in limits),
        ]
    return layers


def _denial(ctx: Any, layers: Iterable[rehearsal.Layer], *, denied: bool) -> Denial | None:
    decisions = [(kind, iam_evaluator.evaluate(ctx, layer).decision) for kind, layer in layers]
    for wanted in ("Deny", "ImplicitDeny"):
        for kind, decision in decisions:
            if decision == wanted and (denied or organisation.STEERING not in ctx.resource_arn):
                return Denial(ctx, wanted == "Deny", kind)
    # Denied, and not by any of these.
    return Denial(ctx, True, "resource-based policy") if denied else None


def _parsed(documents: Iterable[dict[str, Any]]) -> Policies:
    return [iam_evaluator.parse_policy_document(document) for document in documents]


def _document(parts: dict[str, Any], *, allowed: bool) -> dict[str, Any]:
    ctx, policies, limits = parts["evaluated"]
    resource_policy = parts.get("resource_policy")
    if isinstance(resource_policy, str):
        resource_policy = json.loads(resource_policy or "null")
    documents = [_policy(statements) for statements in policies]
    limiting = [[_policy(statements) for statements in layer] for layer in limits]
    controls = [document for _, documents in organisation.layers(ctx) for document in documents]
    return {
        "principal": ctx.principal_arn,
        "account": ctx.principal_account,
        "action": ctx.action,
        "resource": ctx.resource_arn,
        "context": _context(
            ctx,
            [
                *documents,
                *controls,
                *(each for layer in limiting for each in layer),
                resource_policy or {"Statement": []},
            ],
        ),
        "policies": documents,
        "limits": limiting,
        "controls": controls,
        "resource_policy": resource_policy,
        "allowed": allowed,
    }


def _context(ctx: Any, documents: Iterable[dict[str, Any]]) -> dict[str, Any]:
    statements = [statement for document in documents for statement in document["Statement"]]
    named = [key for statement in statements for block in statement.get("Condition", {}).values() for key in block]
    used = [name for name, _ in variables.VARIABLE.findall(json.dumps(statements)) if name not in variables.LITERAL]
    # As a policy spells them: MiniStack writes the keys of tags in lower case.
    keys = {**{key: key for key in ctx.service_context}, **{key.lower(): key for key in [*named, *used]}}
    found = {name: iam_evaluator._resolve_condition_key(name, ctx) for name in keys.values()}
    return {name: value for name, value in found.items() if value is not None}


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
