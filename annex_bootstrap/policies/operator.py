"""The least policy of the person who looks after a pool: credentials, fleet-config, leases and doctor.

It reads prices, instance types and the stack's parts, changes leases, and makes users that can do nothing but run
annexes.
"""

from __future__ import annotations

from typing import Any

from annex_contract.stack import ROLE_PATH


def operator_policy(partition: str, account: str, stack_name: str) -> dict[str, Any]:
    """The policy document for looking after a stack of that name in any region of an account.

    Args:
        partition: such as ``aws``.
        account: its number, 12 digits.
        stack_name: the stack's name; the names of its functions, policies and users begin so.
    """

    def arn(service: str, resource: str, region: str = "*") -> str:
        return f"arn:{partition}:{service}:{region}:{account}:{resource}"

    user = arn("iam", f"user{ROLE_PATH}{stack_name}-*", region="")
    # IAM knows no path of a user that does not exist yet, and asks about the bare name.
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
                "MakeUsers",
                "iam:CreateAccessKey iam:CreateUser iam:DeleteAccessKey iam:DeleteUser iam:ListAccessKeys"
                " iam:ListAttachedUserPolicies iam:TagUser",
                user,
            ),
            # Only the stack's own policy can be given: nobody gains more than the right to run annexes.
            _allow("GrantUsers", "iam:AttachUserPolicy", user) | {"Condition": {"ArnLike": {"iam:PolicyARN": policy}}},
            _allow("UngrantUsers", "iam:DetachUserPolicy", user),
            _allow(
                "SeeWhatEC2Offers",
                "ec2:DescribeImages ec2:DescribeInstanceTypeOfferings ec2:DescribeInstanceTypes ec2:DescribeInstances"
                " ec2:DescribeSecurityGroups ec2:DescribeSpotFleetRequests ec2:DescribeSubnets",
                "*",
            ),
            _allow("SeePrices", "pricing:GetProducts", "*"),
            _allow("FindLeases", "events:ListRuleNamesByTarget", "*"),
            _allow("SetLeases", "events:ListTargetsByRule events:PutTargets", arn("events", "rule/*")),
            _allow("UseFunctions", "lambda:GetFunctionConfiguration lambda:InvokeFunction", functions),
            _allow("ReadLogs", "logs:FilterLogEvents", arn("logs", f"log-group:{stack_name}-*")),
            _allow("CheckRoles", "iam:GetInstanceProfile iam:GetRole", roles),
            _allow("CheckBucket", "s3:GetBucketPublicAccessBlock s3:ListBucket", f"arn:{partition}:s3:::*"),
        ],
    }


def _allow(sid: str, actions: str, resource: str | list[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": sorted(actions.split()), "Resource": resource}
