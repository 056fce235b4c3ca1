"""What the two roles that custom resources make have in common: making, updating and deleting an owned role."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from annex_contract.iam import document, trust
from annex_contract.resources import Property
from annex_contract.stack import ROLE_PATH
from custom_resources.lifecycle import Request, ResourceError, error_code

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_iam.type_defs import RoleTypeDef


def find_role(iam: IAMClient, role_name: str) -> RoleTypeDef | None:
    """Return the role of that name, or None."""
    try:
        return iam.get_role(RoleName=role_name)["Role"]
    except ClientError as error:
        if error_code(error) == "NoSuchEntity":
            return None
        raise


def put_role(iam: IAMClient, request: Request, existing: RoleTypeDef | None, description: str) -> RoleTypeDef:
    """Make the role, or bring ours to what the properties ask for.

    Args:
        iam: the client.
        request: gives the name, the tags and the properties ``TrustedService`` (the principal that may take the
            role) and ``PermissionsBoundaryArn`` (empty: none).
        existing: the role as ``find_role`` saw it.
        description: what a person reads in the console.

    Returns:
        The role as IAM has it.

    Raises:
        ResourceError: a role of that name exists and is not this stack's.
    """
    boundary = str(request.properties[Property.PERMISSIONS_BOUNDARY_ARN])
    trusting = document([trust(request.properties[Property.TRUSTED_SERVICE])])
    if existing is None:
        extra: Mapping[str, Any] = {"PermissionsBoundary": boundary} if boundary else {}
        created = iam.create_role(
            RoleName=request.name,
            Path=ROLE_PATH,
            AssumeRolePolicyDocument=json.dumps(trusting),
            Description=description,
            Tags=request.tags,
            **extra,
        )
        return created["Role"]
    if not request.owns(existing.get("Tags", [])):
        raise ResourceError(f"a role {request.name} exists and was not made by this stack; delete or rename it")
    current = existing.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", "")
    if boundary and boundary != current:
        iam.put_role_permissions_boundary(RoleName=request.name, PermissionsBoundary=boundary)
    elif current and not boundary and current == request.old_properties.get(Property.PERMISSIONS_BOUNDARY_ARN):
        # One that another person set stays.
        iam.delete_role_permissions_boundary(RoleName=request.name)
    if existing["AssumeRolePolicyDocument"] != trusting:
        iam.update_assume_role_policy(RoleName=request.name, PolicyDocument=json.dumps(trusting))
    return existing


def delete_role(iam: IAMClient, request: Request) -> None:
    """Delete the role if this stack made it, with every policy attached to it."""
    role = find_role(iam, request.name)
    if role is None or not request.owns(role.get("Tags", [])):
        return
    for attached in iam.get_paginator("list_attached_role_policies").paginate(RoleName=request.name):
        for policy in attached["AttachedPolicies"]:
            iam.detach_role_policy(RoleName=request.name, PolicyArn=policy["PolicyArn"])
    for inline in iam.get_paginator("list_role_policies").paginate(RoleName=request.name):
        for policy_name in inline["PolicyNames"]:
            iam.delete_role_policy(RoleName=request.name, PolicyName=policy_name)
    iam.delete_role(RoleName=request.name)


def trusts(role: RoleTypeDef, service: str) -> bool:
    """Return whether a service may take a role.

    Args:
        role: as IAM has it.
        service: its principal, such as ``ec2.amazonaws.com``.
    """
    # boto3 decodes the document, though its type is text.
    document: Any = role["AssumeRolePolicyDocument"]
    return any(_trusts(statement, service) for statement in _listed(document["Statement"]))


def _trusts(statement: Mapping[str, Any], service: str) -> bool:
    principal = statement.get("Principal", {})
    return (
        statement["Effect"] == "Allow"
        and isinstance(principal, dict)
        and service in _listed(principal.get("Service", []))
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
