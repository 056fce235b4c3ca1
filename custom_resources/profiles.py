"""The instance profiles of the machines: making, filling and deleting an owned one, of its role's name."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from annex_contract.machine_policies import KEY_POLICY, key_policy
from annex_contract.resources import Property
from annex_contract.stack import ROLE_PATH
from custom_resources.lifecycle import Request, ResourceError, client, error_code
from custom_resources.roles import delete_role

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_iam.type_defs import InstanceProfileTypeDef


def profile_arn(request: Request, role_arn: str) -> str:
    """Return the ARN of the profile of a request's name, in the partition of its role."""
    return f"arn:{role_arn.split(':')[1]}:iam::{request.account}:instance-profile{ROLE_PATH}{request.name}"


def put_key_policy(iam: IAMClient, request: Request) -> None:
    """Let the role read what is encrypted with the stack's key, where it has one."""
    if key := request.properties.get(Property.KMS_KEY, ""):
        iam.put_role_policy(RoleName=request.name, PolicyName=KEY_POLICY, PolicyDocument=json.dumps(key_policy(key)))
    elif request.old_properties.get(Property.KMS_KEY):
        with suppress(iam.exceptions.NoSuchEntityException):
            iam.delete_role_policy(RoleName=request.name, PolicyName=KEY_POLICY)


def delete_profile_and_role(request: Request) -> str:
    """Delete the profile and the role of a request's name if this stack made them."""
    iam: IAMClient = client("iam")
    profile = find_profile(iam, request.name)
    if profile is not None and request.owns(profile.get("Tags", [])):
        _take_out(iam, profile, keep="")
        iam.delete_instance_profile(InstanceProfileName=request.name)
    delete_role(iam, request)
    return ""


def find_profile(iam: IAMClient, profile_name: str) -> InstanceProfileTypeDef | None:
    """Return the instance profile of that name, or None."""
    try:
        return iam.get_instance_profile(InstanceProfileName=profile_name)["InstanceProfile"]
    except ClientError as error:
        if error_code(error) == "NoSuchEntity":
            return None
        raise


def put_profile(iam: IAMClient, request: Request, *, is_likely: bool) -> None:
    """Make the profile with the role of its name in it, or bring ours to that.

    Args:
        iam: the client.
        request: gives the name and the tags.
        is_likely: whether there may be one already.

    Raises:
        ResourceError: a profile of that name exists and is not this stack's.
    """
    # It is made after the role, so where there was no role there is hardly a profile to look for.
    profile = find_profile(iam, request.name) if is_likely else None
    if profile is None:
        try:
            profile = iam.create_instance_profile(InstanceProfileName=request.name, Path=ROLE_PATH, Tags=request.tags)[
                "InstanceProfile"
            ]
        except iam.exceptions.EntityAlreadyExistsException:
            if is_likely:
                raise
            put_profile(iam, request, is_likely=True)
            return
    elif not request.owns(profile.get("Tags", [])):
        raise ResourceError(
            f"an instance profile {request.name} exists and was not made by this stack; delete or rename it"
        )
    _take_out(iam, profile, keep=request.name)
    if request.name not in {held["RoleName"] for held in profile["Roles"]}:
        iam.add_role_to_instance_profile(InstanceProfileName=request.name, RoleName=request.name)


def _take_out(iam: IAMClient, profile: InstanceProfileTypeDef, keep: str) -> None:
    for held in profile["Roles"]:
        if held["RoleName"] != keep:
            iam.remove_role_from_instance_profile(
                InstanceProfileName=profile["InstanceProfileName"], RoleName=held["RoleName"]
            )
