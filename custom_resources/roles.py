"""What the two roles that custom resources make have in common: making, updating and deleting an owned role."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from annex_bootstrap.contract import ROLE_PATH
from custom_resources.lifecycle import Request, ResourceError, error_code

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_iam.type_defs import RoleTypeDef


def find_role(iam: IAMClient, role_name: str) -> RoleTypeDef | None:
    """The role of that name, or None."""
    try:
        return iam.get_role(RoleName=role_name)["Role"]
    except ClientError as error:
        if error_code(error) == "NoSuchEntity":
            return None
        raise


def put_role(iam: IAMClient, request: Request, existing: RoleTypeDef | None, description: str) -> str:
    """Make the role, or bring ours to what the properties ask for.

    Args:
        iam: the client.
        request: gives the tags and the properties ``RoleName``, ``TrustedService`` (the principal that may take the
            role) and ``PermissionsBoundaryArn`` (empty: none).
        existing: the role as ``find_role`` saw it.
        description: what a person reads in the console.

    Returns:
        The role's ARN.

    Raises:
        ResourceError: a role of that name exists and is not this stack's.
    """
    role_name = str(request.properties["RoleName"])
    boundary = str(request.properties["PermissionsBoundaryArn"])
    if existing is None:
        extra: Mapping[str, Any] = {"PermissionsBoundary": boundary} if boundary else {}
        created = iam.create_role(
            RoleName=role_name,
            Path=ROLE_PATH,
            AssumeRolePolicyDocument=json.dumps(_trust(request.properties["TrustedService"])),
            Description=description,
            Tags=request.tags,
            **extra,
        )
        return created["Role"]["Arn"]
    if not request.owns(existing.get("Tags", [])):
        raise ResourceError(f"a role {role_name} exists and was not made by this stack; delete or rename it")
    current = existing.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", "")
    if boundary and boundary != current:
        iam.put_role_permissions_boundary(RoleName=role_name, PermissionsBoundary=boundary)
    elif current and not boundary:
        iam.delete_role_permissions_boundary(RoleName=role_name)
    return existing["Arn"]


def delete_role(iam: IAMClient, role_name: str) -> None:
    """Take off what is attached to a role of ours, then delete it. Parts that are gone already are a success."""
    for attached in iam.get_paginator("list_attached_role_policies").paginate(RoleName=role_name):
        for policy in attached["AttachedPolicies"]:
            _if_there(iam.detach_role_policy, RoleName=role_name, PolicyArn=policy["PolicyArn"])
    for inline in iam.get_paginator("list_role_policies").paginate(RoleName=role_name):
        for policy_name in inline["PolicyNames"]:
            _if_there(iam.delete_role_policy, RoleName=role_name, PolicyName=policy_name)
    _if_there(iam.delete_role, RoleName=role_name)


def _if_there(call: Callable[..., object], **arguments: str) -> None:
    try:
        call(**arguments)
    except ClientError as error:
        if error_code(error) != "NoSuchEntity":
            raise


def _trust(service: str) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}],
    }
