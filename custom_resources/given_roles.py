"""The machines' role and profile where an administrator made them: looked at, used, never changed and never deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from annex_contract.resources import Property
from custom_resources.lifecycle import Request, ResourceError
from custom_resources.profiles import find_profile, profile_arn
from custom_resources.roles import find_role, trusts

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_iam.type_defs import RoleTypeDef

NEXT = "an administrator updates the roles' stack: annex-bootstrap policy roles"
"""What to do, in few words: CloudFormation shows 256 characters of a reason."""


def check_unchanged(request: Request) -> None:
    """Refuse to change who makes the roles of a stack that exists: everything in it would get another name.

    Raises:
        ResourceError: the stack was made with other roles, or with its own.
    """
    before = request.old_properties.get(Property.GIVEN_ROLES, "")
    if request.old_properties and before != request.properties.get(Property.GIVEN_ROLES, ""):
        raise ResourceError("GivenRoles is only for a new stack: delete this one first, or leave GivenRoles as it was")


def use_given(iam: IAMClient, request: Request, inline: Mapping[str, dict[str, Any]]) -> tuple[RoleTypeDef, str]:
    """Check the role and the profile of a request's name, and use them as they are.

    Args:
        iam: the client.
        request: gives the name and the property ``TrustedService``.
        inline: the policies that the role must have, by name.

    Returns:
        The role, and the ARN of the profile.

    Raises:
        ResourceError: they are not what this version's ``policy roles`` prints.
        ClientError: AWS refused a call.
    """
    role = find_role(iam, request.name)
    if role is None:
        raise ResourceError(f"there is no role {request.name}; {NEXT}")
    service = request.properties[Property.TRUSTED_SERVICE]
    if not trusts(role, service):
        raise ResourceError(f"the role {request.name} does not trust {service}; {NEXT}")
    for name, document in inline.items():
        try:
            held = iam.get_role_policy(RoleName=request.name, PolicyName=name)["PolicyDocument"]
        except iam.exceptions.NoSuchEntityException:
            held = None
        if held != document:
            raise ResourceError(f"the policy {name} of the role {request.name} is not what it should be; {NEXT}")
    profile = find_profile(iam, request.name)
    if profile is None or request.name not in {held["RoleName"] for held in profile["Roles"]}:
        raise ResourceError(f"there is no instance profile {request.name} with the role of its name; {NEXT}")
    return role, profile_arn(request, role["Arn"])
