"""What was just created is not found yet by the calls that read it or build on it.

EC2: https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html. IAM:
https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency.
Neither names a time.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

from ministack.services import ec2, iam

from local_aws.server.strict.chance import count, later, now

LONGEST = 5.0
"""Seconds."""

_found_from: dict[tuple[str, str], float] = {}
"""Since when each thing is found, by kind and ID."""

STORES: dict[str, MutableMapping[str, Any]] = {
    "group": ec2._security_groups,
    "instance": ec2._instances,
    "profile": iam._instance_profiles,
    "role": iam._roles,
    "user": iam._users,
}

READS = {
    "DescribeInstances": "instance",
    "DescribeSecurityGroups": "group",
    "AuthorizeSecurityGroupIngress": "group",
    "GetInstanceProfile": "profile",
    "AddRoleToInstanceProfile": "profile",
    "GetRole": "role",
    "AttachRolePolicy": "role",
    "ListAttachedRolePolicies": "role",
    "ListRolePolicies": "role",
    "PutRolePolicy": "role",
    "AttachUserPolicy": "user",
    "CreateAccessKey": "user",
    "GetUser": "user",
}
"""The calls that look for each kind."""


def install() -> None:
    """Let those calls miss what is young."""
    for handlers in (ec2._ACTION_MAP, iam._IAM_HANDLERS):
        for action, kind in READS.items():
            if action in handlers:
                handlers[action] = _missing(kind, handlers[action])


def observe(count_from: Callable[[float], float] = later) -> None:
    """Note what is new; to be called after everything that may create something."""
    for kind, store in STORES.items():
        for name in store:
            _found_from.setdefault((kind, name), count_from(LONGEST))
    for known in [(kind, name) for kind, name in _found_from if name not in STORES[kind]]:
        del _found_from[known]


def _missing(kind: str, handler: Callable[..., Any]) -> Callable[..., Any]:
    store = STORES[kind]

    def missing(params: Any) -> Any:
        young = {name: store[name] for name in store if _found_from.get((kind, name), 0.0) > now()}
        for name in young:
            del store[name]
        try:
            answer = handler(params)
        finally:
            store.update(young)
        if any(name in str(value) for name in young for value in params.values()):
            count(f"a {kind} that is not found yet")
        return answer

    return missing
