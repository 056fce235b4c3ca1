"""What the machines may do.

The stock boot script finds its tarball by reading its own role: it looks for an inline policy whose Resource is
exactly ``arn:<partition>:s3:::<bucket>/<pattern>``. That is why this statement has a policy of its own.
"""

from __future__ import annotations

from typing import Any

from annex_contract.iam import Expression, allow, document

CONFIGURATION_POLICY = "annex-configuration"
BOOT_POLICY = "annex-boot"


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
