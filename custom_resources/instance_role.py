"""The machines' role and instance profile: what the 8.7.0 guide's ``generate-role`` made.

Both policies are inline, because the boot script cannot parse managed ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from annex_contract.machine_policies import (
    BOOT_POLICY,
    CONFIGURATION_POLICY,
    KEY_POLICY,
    boot_policy,
    configuration_policy,
    key_policy,
)
from annex_contract.resources import INSTANCE_ROLE, Attribute, Property
from annex_contract.stack import ROLE_PATH
from custom_resources.lifecycle import Request, ResourceError, client, error_code, serve
from custom_resources.roles import delete_role, find_role, put_role

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_iam.type_defs import InstanceProfileTypeDef


def put(request: Request) -> Mapping[str, str]:
    """Make role and profile, or bring ours to what the properties ask for.

    Raises:
        ResourceError: a role or profile of that name exists and is not this stack's.
        ClientError: AWS refused a call.
    """
    iam: IAMClient = client("iam")
    role = find_role(iam, request.name)
    role_arn = put_role(iam, request, role, "Lets the machines of HTCondor annexes join the pool")
    partition = role_arn.split(":")[1]
    profile_arn = f"arn:{partition}:iam::{request.account}:instance-profile{ROLE_PATH}{request.name}"
    bucket, pattern = request.properties[Property.BUCKET_NAME], request.properties[Property.KEY_PATTERN]
    policies = {
        CONFIGURATION_POLICY: configuration_policy(f"arn:{partition}:s3:::{bucket}/{pattern}"),
        BOOT_POLICY: boot_policy(role_arn, profile_arn),
    }
    for policy_name, document in policies.items():
        iam.put_role_policy(RoleName=request.name, PolicyName=policy_name, PolicyDocument=json.dumps(document))
    if key := request.properties.get(Property.KMS_KEY, ""):
        iam.put_role_policy(RoleName=request.name, PolicyName=KEY_POLICY, PolicyDocument=json.dumps(key_policy(key)))
    elif request.old_properties.get(Property.KMS_KEY):
        with suppress(iam.exceptions.NoSuchEntityException):
            iam.delete_role_policy(RoleName=request.name, PolicyName=KEY_POLICY)
    _put_profile(iam, request, is_likely=role is not None)
    return {Attribute.PROFILE_ARN: profile_arn, Attribute.ROLE_ARN: role_arn}


def delete(request: Request) -> str:
    """Delete the profile and the role if this stack made them."""
    iam: IAMClient = client("iam")
    profile = _find_profile(iam, request.name)
    if profile is not None and request.owns(profile.get("Tags", [])):
        _take_out(iam, profile, keep="")
        iam.delete_instance_profile(InstanceProfileName=request.name)
    delete_role(iam, request)
    return ""


def _find_profile(iam: IAMClient, profile_name: str) -> InstanceProfileTypeDef | None:
    try:
        return iam.get_instance_profile(InstanceProfileName=profile_name)["InstanceProfile"]
    except ClientError as error:
        if error_code(error) == "NoSuchEntity":
            return None
        raise


def _put_profile(iam: IAMClient, request: Request, *, is_likely: bool) -> None:
    # It is made after the role, so where there was no role there is hardly a profile to look for.
    profile = _find_profile(iam, request.name) if is_likely else None
    if profile is None:
        try:
            profile = iam.create_instance_profile(InstanceProfileName=request.name, Path=ROLE_PATH, Tags=request.tags)[
                "InstanceProfile"
            ]
        except iam.exceptions.EntityAlreadyExistsException:
            if is_likely:
                raise
            _put_profile(iam, request, is_likely=True)
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


handler = serve(INSTANCE_ROLE.name_property, put, delete)
