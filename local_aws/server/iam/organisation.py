"""Service control policies and tag policies: what an organisation forbids everybody in the account, its root included.

MiniStack has none. Service-linked roles are exempt:
https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps.html
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ministack.core import iam_evaluator

from local_aws.server import account
from local_aws.server.iam import tag_policies

FULL_ACCESS = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}

KINDS = ("service control policy", "tag policy")
"""The kinds of its policies, as AWS names them in a message."""

STEERING = ":parameter/local-aws/"
"""What the ARNs of the settings of this server contain, which are no part of AWS."""


def install() -> None:
    """Have MiniStack decide about the root too, which it otherwise allows everything, where a policy may forbid it."""
    resolve = iam_evaluator.resolve_principal

    def resolve_limited(*arguments: Any, **options: Any) -> Any:
        found = resolve(*arguments, **options)
        limited = isinstance(found, iam_evaluator.PrincipalInfo) and found.policies is None and _limits_root()
        return replace(found, policies=[iam_evaluator.parse_policy_document(FULL_ACCESS)]) if limited else found

    iam_evaluator.resolve_principal = resolve_limited


def _limits_root() -> bool:
    return bool(account.settings().service_control_policies or account.settings().tag_policies)


def policies() -> list[dict[str, Any]]:
    """Return the documents that are attached; none where there is no organisation."""
    attached = account.settings().service_control_policies
    statements = [statement for document in attached for statement in document["Statement"]]
    allowing = any(statement["Effect"] == "Allow" for statement in statements)
    return attached if allowing or not attached else [FULL_ACCESS, *attached]


def layers(ctx: Any) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the kinds of policies that hold for the sender of a request, each with its documents."""
    if ":assumed-role/AWSServiceRoleFor" in ctx.principal_arn:
        return []
    tagging = [tag_policies.denying(policy) for policy in account.settings().tag_policies]
    found = zip(KINDS, (policies(), tagging), strict=True)
    return [(kind, documents) for kind, documents in found if documents]
