"""IAM policies: the one builder of their statements and documents.

Source of the form: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Statement = dict[str, Any]

Expression = Any
"""Text, a list of texts, a mapping, or a template expression for one of these."""


def allow(
    sid: str, actions: str, resource: Expression, condition: Expression = None, *, principal: Expression = None
) -> Statement:
    """Return a statement that allows actions.

    Args:
        sid: what it is for: letters and digits.
        actions: a service and its actions, such as ``s3: GetObject PutObject``, several of these with ``; `` between
            them, or one action, such as ``s3:GetObject``.
        resource: an ARN or several.
        condition: the Condition, if any.
        principal: the Principal, in a policy of a resource.
    """
    return _statement(sid, "Allow", actions, resource, condition, principal)


def deny(
    sid: str, actions: str, resource: Expression, condition: Expression = None, *, principal: Expression = None
) -> Statement:
    """Return a statement that denies actions. See ``allow`` for the arguments."""
    return _statement(sid, "Deny", actions, resource, condition, principal)


def trust(service: Expression, sid: str = "") -> Statement:
    """Return the statement of a trust policy that lets a service take the role.

    Args:
        service: its principal, such as ``lambda.amazonaws.com``.
        sid: what it is for: letters and digits; empty for none.
    """
    return _statement(sid, "Allow", "sts:AssumeRole", None, None, {"Service": service})


def document(statements: Iterable[Statement]) -> dict[str, Any]:
    """Return the policy document of statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _statement(
    sid: str, effect: str, actions: str, resource: Expression, condition: Expression, principal: Expression
) -> Statement:
    listed = []
    for part in actions.split("; "):
        service, several, verbs = part.partition(": ")
        listed += [f"{service}:{verb}" for verb in sorted(verbs.split())] if several else [part]
    parts = {
        "Sid": sid,
        "Effect": effect,
        "Principal": principal,
        "Action": listed if ": " in actions else actions,
        "Resource": resource,
        "Condition": condition,
    }
    return {name: part for name, part in parts.items() if part}


def only_targets(function: Expression) -> dict[str, Any]:
    """Return the condition that all targets of PutTargets are functions with ARNs of a pattern, and that there are any.

    Without ``Null``, a request without targets would pass ``ForAllValues``:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
    """
    return {"ForAllValues:ArnLike": {"events:TargetArn": function}, "Null": {"events:TargetArn": "false"}}


REQUIRING_TOKENS: dict[str, Any] = {"StringEqualsIgnoreCaseIfExists": {"ec2:Attribute": "ImdsSupport"}}
"""The condition that ModifyImageAttribute does nothing but require IMDSv2: it would also share the image. The reference
lists the key, and nothing says how EC2 spells its value or whether it always sends it, as below; an image must not fail
by that."""

UNPROTECTING: dict[str, Any] = {
    "StringEqualsIgnoreCaseIfExists": {
        "ec2:Attribute": "DisableApiTermination",
        "ec2:Attribute/DisableApiTermination": "false",
    }
}
"""The condition that ModifyInstanceAttribute does nothing but lift termination protection.

The service authorization reference lists both keys for it, and nothing says how EC2 spells their values or whether it
always sends them: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html. A machine
must not outlive its lease by that, so a key that is missing is no obstacle."""

ON_CREATION: dict[str, Any] = {
    "StringEquals": {"ec2:CreateAction": ["CreateFleet", "RequestSpotFleet", "RunInstances"]}
}
"""The condition that tags are those of machines and fleets that are being made: nothing that exists is tagged.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/supported-iam-actions-tagging.html"""
