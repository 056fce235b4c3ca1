"""The machines' role and instance profile: what the 8.7.0 guide's ``generate-role`` made.

Properties: ``RoleName``, ``TrustedService``, ``BucketName``, ``KeyPattern``, ``PermissionsBoundaryArn``. Attributes:
``ProfileArn``, ``RoleArn``.

The stock boot script finds its tarball by reading its own role: it looks for an inline policy whose Resource is
exactly ``arn:<partition>:s3:::<bucket>/<pattern>`` and cannot parse managed ones. So that statement stands alone
in a policy of its own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from annex_bootstrap.contract import ROLE_PATH
from custom_resources.lifecycle import (
    CLIENT_CONFIG,
    Outcome,
    Request,
    ResourceError,
    error_code,
    retry_while,
    serve,
)
from custom_resources.roles import delete_role, find_role, put_role

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_iam.type_defs import InstanceProfileTypeDef

CONFIGURATION_POLICY = "annex-configuration"
BOOT_POLICY = "annex-boot"


def name(request: Request) -> str:
    """The name of the role and of the profile, which is the physical ID too."""
    return str(request.properties["RoleName"])


def put(request: Request) -> Outcome:
    """Make role and profile, or bring ours to what the properties ask for.

    Raises:
        ResourceError: a role or profile of that name exists and is not this stack's.
        ClientError: AWS refused a call.
    """
    iam: IAMClient = boto3.client("iam", config=CLIENT_CONFIG)
    role_name = name(request)
    role_arn = put_role(iam, request, find_role(iam, role_name), "Lets the machines of HTCondor annexes join the pool")
    partition, account = role_arn.split(":")[1], role_arn.split(":")[4]
    profile_arn = f"arn:{partition}:iam::{account}:instance-profile{ROLE_PATH}{role_name}"
    policies = {
        CONFIGURATION_POLICY: configuration_policy(
            partition, request.properties["BucketName"], request.properties["KeyPattern"]
        ),
        BOOT_POLICY: boot_policy(role_arn, profile_arn),
    }
    for policy_name, document in policies.items():
        iam.put_role_policy(RoleName=role_name, PolicyName=policy_name, PolicyDocument=json.dumps(document))
    _put_profile(iam, request, role_name)
    return Outcome(role_name, {"ProfileArn": profile_arn, "RoleArn": role_arn})


def delete(request: Request) -> None:
    """Delete the profile and the role if this stack made them."""
    iam: IAMClient = boto3.client("iam", config=CLIENT_CONFIG)
    role_name = request.physical_id
    profile = _find_profile(iam, role_name)
    if profile is not None and request.owns(profile.get("Tags", [])):
        for held in profile["Roles"]:
            iam.remove_role_from_instance_profile(InstanceProfileName=role_name, RoleName=held["RoleName"])
        iam.delete_instance_profile(InstanceProfileName=role_name)
    role = find_role(iam, role_name)
    if role is not None and request.owns(role.get("Tags", [])):
        delete_role(iam, role_name)


def configuration_policy(partition: str, bucket: str, key_pattern: str) -> dict[str, Any]:
    """The policy that lets a machine read the pool's configuration, in the shape the boot script looks for."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "ReadPoolConfiguration",
                "Effect": "Allow",
                "Action": "s3:GetObject",
                "Resource": f"arn:{partition}:s3:::{bucket}/{key_pattern}",
            }
        ],
    }


def boot_policy(role_arn: str, profile_arn: str) -> dict[str, Any]:
    """The policy that lets the boot script read its own role, its client token and its fleet."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "ReadOwnRole",
                "Effect": "Allow",
                "Action": [
                    "iam:GetRolePolicy",
                    "iam:ListAttachedRolePolicies",
                    "iam:ListRolePolicies",
                ],
                "Resource": role_arn,
            },
            {
                "Sid": "ReadOwnProfile",
                "Effect": "Allow",
                "Action": "iam:GetInstanceProfile",
                "Resource": profile_arn,
            },
            {
                "Sid": "FindOwnAnnex",
                "Effect": "Allow",
                "Action": ["ec2:DescribeInstances", "ec2:DescribeSpotFleetRequests"],
                "Resource": "*",
            },
        ],
    }


def _find_profile(iam: IAMClient, profile_name: str) -> InstanceProfileTypeDef | None:
    try:
        return iam.get_instance_profile(InstanceProfileName=profile_name)["InstanceProfile"]
    except ClientError as error:
        if error_code(error) == "NoSuchEntity":
            return None
        raise


def _put_profile(iam: IAMClient, request: Request, role_name: str) -> None:
    profile = _find_profile(iam, role_name)
    if profile is None:
        profile = iam.create_instance_profile(
            InstanceProfileName=role_name,
            Path=ROLE_PATH,
            Tags=request.tags,
        )["InstanceProfile"]
    elif not request.owns(profile.get("Tags", [])):
        raise ResourceError(
            f"an instance profile {role_name} exists and was not made by this stack; delete or rename it"
        )
    if not profile["Roles"]:
        retry_while(
            request,
            ("NoSuchEntity",),
            lambda: iam.add_role_to_instance_profile(InstanceProfileName=role_name, RoleName=role_name),
            f"the role {role_name} to become visible",
        )


handler = serve(name, put, delete)
