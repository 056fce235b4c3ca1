"""What IAM checks before a call: paths in ARNs, and the condition keys of roles.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
"""

from __future__ import annotations

from collections.abc import Iterator

from ministack.core.responses import get_account_id
from ministack.services import iam

from local_aws.server.iam.rules import Check, Context, Rules, action_of, value_of
from local_aws.server.iam.service_linked_roles import NAMES
from local_aws.server.iam.users import new_arn
from local_aws.server.wire import Params

_NAMED = (
    ("InstanceProfileName", "instance-profile", iam._instance_profiles),
    ("RoleName", "role", iam._roles),
    ("UserName", "user", iam._users),
)

_TAGGED_ON_CREATION = {"CreateInstanceProfile": "iam:TagInstanceProfile", "CreateRole": "iam:TagRole"}

_CHECKED_FOR_BOUNDARY = (
    "AttachRolePolicy",
    "AttachUserPolicy",
    "DeleteRole",
    "DeleteRolePermissionsBoundary",
    "DeleteRolePolicy",
    "DeleteUserPermissionsBoundary",
    "DeleteUserPolicy",
    "DetachRolePolicy",
    "DetachUserPolicy",
    "GetRole",
    "PutRolePolicy",
    "PutUserPolicy",
    "UpdateAssumeRolePolicy",
    "UpdateRole",
    "UpdateRoleDescription",
)
"""The actions whose ``iam:PermissionsBoundary`` is that of the role or user, not of the request."""


def resources(params: Params) -> list[str]:
    """Return the ARN of the role, instance profile or user, with its path, which MiniStack leaves out."""
    service = value_of(params, "AWSServiceName")
    if service in NAMES:
        return [f"arn:aws:iam::{get_account_id()}:role/aws-service-role/{service}/{NAMES[service]}"]
    for parameter, kind, store in _NAMED:
        name = value_of(params, parameter)
        if name:
            new = f"arn:aws:iam::{get_account_id()}:{kind}{value_of(params, 'Path') or '/'}{name}"
            return [store[name]["Arn"] if name in store else new]
    return []


def request_context(params: Params, _: str) -> Context:
    """Return the boundary that a role or a user gets or has, and the policy that is attached or the service."""
    boundary = value_of(params, "PermissionsBoundary")
    if action_of(params) in _CHECKED_FOR_BOUNDARY:
        store, name = (iam._users, "UserName") if value_of(params, "UserName") else (iam._roles, "RoleName")
        boundary = store.get(value_of(params, name), {}).get("PermissionsBoundary")
    attached = value_of(params, "PolicyArn") if action_of(params).startswith(("Attach", "Detach")) else ""
    context = {
        "iam:PermissionsBoundary": boundary,
        "iam:PolicyARN": attached,
        "iam:AWSServiceName": value_of(params, "AWSServiceName"),
    }
    return {key: value for key, value in context.items() if value}


def resource_context(arn: str) -> Context:
    """Return the tags of a role, instance profile or user; IAM's own key for them leaves out instance profiles."""
    return {
        f"{prefix}:ResourceTag/{tag['Key']}": tag["Value"]
        for _, kind, store in _NAMED
        for record in store.values()
        if record["Arn"] == arn
        for tag in record.get("Tags") or []
        for prefix in (("aws",) if kind == "instance-profile" else ("aws", "iam"))
    }


def implied_checks(params: Params) -> Iterator[Check]:
    """Yield iam:PassRole for the role that an instance profile gets, tagging on creation, and the new path of a user.

    "You must have the permission to perform this action on both the source and the target":
    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_users_rename.html
    """
    if action_of(params) == "UpdateUser":
        yield Check("iam:UpdateUser", new_arn(params), {})
    role = iam._roles.get(value_of(params, "RoleName"))
    if role and action_of(params) == "AddRoleToInstanceProfile":
        yield Check("iam:PassRole", role["Arn"], {"iam:PassedToService": "ec2.amazonaws.com"})
    tagging = _TAGGED_ON_CREATION.get(action_of(params))
    tags = {
        value_of(params, name): value_of(params, name.removesuffix("Key") + "Value")
        for name in params
        if name.startswith("Tags.member.") and name.endswith(".Key")
    }
    if tagging and tags:
        (arn,) = resources(params)
        context: dict[str, str | list[str]] = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
        yield Check(tagging, arn, context | {"aws:TagKeys": list(tags)})


RULES = Rules(resources, request_context, resource_context, implied_checks)
