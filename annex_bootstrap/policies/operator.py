"""The minimal policy for whoever operates a pool: ``credentials``, ``fleet-config``, ``leases`` and ``doctor``.

It can read prices, instance types and the stack's resources, change leases, and create users that can run annexes and
nothing else.
"""

from __future__ import annotations

from typing import Any

from annex_contract.iam import allow, document
from annex_contract.stack import ROLE_PATH


def operator_policy(partition: str, account: str, stack_name: str) -> dict[str, Any]:
    """Return the policy document for operating a stack of that name in any region of an account.

    Args:
        partition: such as ``aws``.
        account: the account ID, 12 digits.
        stack_name: the stack's name, with which the names of its functions, policies and users begin.
    """

    def arn(service: str, resource: str, region: str = "*") -> str:
        return f"arn:{partition}:{service}:{region}:{account}:{resource}"

    user = arn("iam", f"user{ROLE_PATH}{stack_name}-*", region="")
    # For a user that does not exist, IAM checks the ARN without a path.
    missing_user = arn("iam", f"user/{stack_name}-*", region="")
    policy = arn("iam", f"policy{ROLE_PATH}{stack_name}-*", region="")
    roles = [arn("iam", f"{kind}{ROLE_PATH}*", region="") for kind in ("role", "instance-profile")]
    functions = arn("lambda", f"function:{stack_name}-*")
    return document(
        [
            allow("FindStack", "cloudformation: DescribeStacks", arn("cloudformation", f"stack/{stack_name}/*")),
            allow("FindUsers", "iam: GetUser", [user, missing_user]),
            allow(
                "ManageUsers",
                "iam: CreateAccessKey CreateUser DeleteAccessKey DeleteUser ListAccessKeys"
                " ListAttachedUserPolicies TagUser",
                user,
            ),
            # Only the stack's own policy can be attached, so nobody gains more than the right to run annexes.
            allow("AttachPolicy", "iam: AttachUserPolicy", user, {"ArnLike": {"iam:PolicyARN": policy}}),
            allow("DetachPolicies", "iam: DetachUserPolicy", user),
            allow(
                "DescribeMachinesAndOffers",
                "ec2: DescribeImages DescribeInstanceTypeOfferings DescribeInstanceTypes DescribeInstances"
                " DescribeSecurityGroups DescribeSpotFleetRequests DescribeSubnets",
                "*",
            ),
            allow("ReadPrices", "pricing: GetProducts", "*"),
            allow("ListLeases", "events: ListRuleNamesByTarget", "*"),
            allow("ReadAndUpdateLeases", "events: ListTargetsByRule PutTargets", arn("events", "rule/*")),
            allow("CheckAndInvokeFunctions", "lambda: GetFunctionConfiguration InvokeFunction", functions),
            allow("ReadLogs", "logs: FilterLogEvents", arn("logs", f"log-group:{stack_name}-*")),
            allow("CheckRoles", "iam: GetInstanceProfile GetRole", roles),
            allow("CheckBuckets", "s3: GetBucketPublicAccessBlock ListBucket", f"arn:{partition}:s3:::*"),
        ]
    )
