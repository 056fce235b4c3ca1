"""The minimal policy for whoever operates a pool: ``credentials``, ``fleet-config``, ``leases`` and ``doctor``.

It can read prices, instance types and the stack's resources, change leases, and create users that can run annexes and
nothing else.
"""

from __future__ import annotations

from typing import Any

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
    return {
        "Version": "2012-10-17",
        "Statement": [
            _allow("FindStack", "cloudformation:DescribeStacks", arn("cloudformation", f"stack/{stack_name}/*")),
            _allow("FindUsers", "iam:GetUser", [user, missing_user]),
            _allow(
                "ManageUsers",
                "iam:CreateAccessKey iam:CreateUser iam:DeleteAccessKey iam:DeleteUser iam:ListAccessKeys"
                " iam:ListAttachedUserPolicies iam:TagUser",
                user,
            ),
            # Only the stack's own policy can be attached, so nobody gains more than the right to run annexes.
            _allow("AttachPolicy", "iam:AttachUserPolicy", user)
            | {"Condition": {"ArnLike": {"iam:PolicyARN": policy}}},
            _allow("DetachPolicies", "iam:DetachUserPolicy", user),
            _allow(
                "DescribeMachinesAndOffers",
                "ec2:DescribeImages ec2:DescribeInstanceTypeOfferings ec2:DescribeInstanceTypes ec2:DescribeInstances"
                " ec2:DescribeSecurityGroups ec2:DescribeSpotFleetRequests ec2:DescribeSubnets",
                "*",
            ),
            _allow("ReadPrices", "pricing:GetProducts", "*"),
            _allow("ListLeases", "events:ListRuleNamesByTarget", "*"),
            _allow("ReadAndUpdateLeases", "events:ListTargetsByRule events:PutTargets", arn("events", "rule/*")),
            _allow("CheckAndInvokeFunctions", "lambda:GetFunctionConfiguration lambda:InvokeFunction", functions),
            _allow("ReadLogs", "logs:FilterLogEvents", arn("logs", f"log-group:{stack_name}-*")),
            # GetMetricStatistics can be limited to nothing:
            # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html
            _allow("CountCalls", "cloudwatch:GetMetricStatistics", "*"),
            _allow("CheckRoles", "iam:GetInstanceProfile iam:GetRole", roles),
            _allow("CheckBuckets", "s3:GetBucketPublicAccessBlock s3:ListBucket", f"arn:{partition}:s3:::*"),
        ],
    }


def _allow(sid: str, actions: str, resource: str | list[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": sorted(actions.split()), "Resource": resource}
