"""What the machines may do.

The stock boot script finds its tarball by reading its own role: it looks for an inline policy whose Resource is
exactly ``arn:<partition>:s3:::<bucket>/<pattern>``. That is why this statement has a policy of its own.
"""

from __future__ import annotations

from typing import Any


def configuration_policy(partition: str, bucket: str, key_pattern: str) -> dict[str, Any]:
    """Return the policy that lets a machine read the pool configuration, in the form that the boot script expects."""
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
    """Return the policy that lets the boot script read its own role, its client token and its fleet."""
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
