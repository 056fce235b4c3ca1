"""What the machines may do, and the spot fleets that start them.

The stock boot script finds its tarball by reading its own role: it looks for an inline policy whose Resource is
exactly ``arn:<partition>:s3:::<bucket>/<pattern>``. That is why this statement has a policy of its own.
"""

from __future__ import annotations

from typing import Any

from annex_contract.iam import Expression, allow, document
from annex_contract.keys import read_objects, through, use_for_volumes
from annex_contract.lease import MACHINES_PREFIX
from annex_contract.stack import FLEET_TAG, PASSED_TO_EC2

CONFIGURATION_POLICY = "annex-configuration"
BOOT_POLICY = "annex-boot"
KEY_POLICY = "annex-key"
FLEET_POLICY = "annex-fleet"
START_POLICY = "annex-start"


def configuration_policy(objects: Expression) -> dict[str, Any]:
    """Return the policy that lets a machine read the pool's configuration, in the shape the boot script looks for.

    Args:
        objects: ``arn:<partition>:s3:::<bucket>/<pattern>``.
    """
    return document([allow("ReadPoolConfiguration", "s3:GetObject", objects)])


def boot_policy(role_arn: str, profile_arn: str) -> dict[str, Any]:
    """Return the policy that lets the boot script read its own role, its client token and its fleet."""
    return document(
        [
            allow("ReadOwnRole", "iam: GetRolePolicy ListAttachedRolePolicies ListRolePolicies", role_arn),
            allow("ReadOwnProfile", "iam:GetInstanceProfile", profile_arn),
            allow("FindOwnAnnex", "ec2: DescribeInstances DescribeSpotFleetRequests", "*"),
        ]
    )


def key_policy(key: str) -> dict[str, Any]:
    """Return the policy that lets a machine read the pool's configuration where it is encrypted with a key.

    Args:
        key: its ARN.
    """
    return document([read_objects(key, through("s3", key))])


def start_policy(partition: str, bucket: str) -> dict[str, Any]:
    """Return the policy that lets a machine read its own configuration and delete it, and nothing else.

    Args:
        partition: such as ``aws``.
        bucket: in which it is, for each annex under its name.
    """
    own = f"arn:{partition}:s3:::{bucket}/{MACHINES_PREFIX}*/${{aws:userid}}"
    return document([allow("ReadOwnConfigurationOnce", "s3: DeleteObject GetObject", own)])


def fleet_policy(partition: str, account: str, machine_role_arn: str, key: str = "") -> dict[str, Any]:
    """Return the policy that lets a spot fleet start, tag and end its own machines, with the machines' role or none.

    AWS's managed policy for this lets a fleet pass every role of the account, and end and tag every machine:
    https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AmazonEC2SpotFleetTaggingRole.html

    Args:
        partition: such as ``aws``.
        account: the account ID, 12 digits.
        machine_role_arn: the only role that the machines can have.
        key: the ARN of the key of their volumes; empty for AWS's own.
    """

    def arn(resource: str) -> str:
        return f"arn:{partition}:ec2:*:{account}:{resource}"

    # Not of snapshots: those of an image are not asked for, only those that a request names itself.
    image = f"arn:{partition}:ec2:*::image/*"
    kinds = ("instance", "spot-fleet-request", "spot-instances-request", "volume")
    return document(
        [
            allow("FindMachines", "ec2: DescribeImages DescribeInstanceStatus DescribeSubnets", "*"),
            allow("StartMachines", "ec2: RequestSpotInstances RunInstances", [arn("*"), image]),
            allow(
                "TagNewMachines",
                "ec2:CreateTags",
                [arn(f"{kind}/*") for kind in kinds],
                {"Null": {"ec2:CreateAction": "false"}},
            ),
            allow(
                "TagAndEndOwnMachines",
                "ec2: CreateTags TerminateInstances",
                arn("instance/*"),
                {"Null": {f"aws:ResourceTag/{FLEET_TAG}": "false"}},
            ),
            allow(
                "PassMachineRole",
                "iam:PassRole",
                machine_role_arn,
                {"StringEquals": {"iam:PassedToService": PASSED_TO_EC2}},
            ),
            *(use_for_volumes(key, through("ec2", key)) if key else []),
        ]
    )
