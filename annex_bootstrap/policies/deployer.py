"""The least policy with which ``deploy``, ``pull-config`` and ``delete`` work, for an administrator to grant.

CloudFormation acts with the rights of whoever calls it, so this covers every resource of the template besides our
own calls. Everything that has a name of ours is limited to that name.
"""

from __future__ import annotations

from typing import Any

from annex_contract.stack import ROLE_PATH

Statement = dict[str, Any]


def deployer_policy(partition: str, account: str, stack_name: str) -> dict[str, Any]:
    """The policy document for deploying a stack of that name in any region of an account.

    Args:
        partition: such as ``aws``.
        account: its number, 12 digits.
        stack_name: the stack's name; the names of its functions and log groups begin so.
    """

    def arn(service: str, resource: str, region: str = "*") -> str:
        return f"arn:{partition}:{service}:{region}:{account}:{resource}"

    user_policy = arn("iam", f"policy{ROLE_PATH}{stack_name}-*", region="")
    function = arn("lambda", f"function:{stack_name}-*")
    staging = f"arn:{partition}:s3:::annex-bootstrap-staging-{account}-*"
    return {
        "Version": "2012-10-17",
        "Statement": [
            _allow(
                "ChangeTheStack",
                "cloudformation",
                "CreateChangeSet DeleteChangeSet DeleteStack DescribeChangeSet DescribeStackEvents"
                " DescribeStackResource DescribeStacks ExecuteChangeSet",
                arn("cloudformation", f"stack/{stack_name}/*"),
            ),
            _allow(
                "StageTheTemplate",
                "s3",
                "CreateBucket DeleteBucket DeleteObject GetObject ListBucket PutBucketPublicAccessBlock PutObject",
                [staging, f"{staging}/*"],
            ),
            _allow(
                "MakeRoles",
                "iam",
                "CreateRole DeleteRole DeleteRolePermissionsBoundary DeleteRolePolicy DetachRolePolicy GetRole"
                " GetRolePolicy ListAttachedRolePolicies ListRolePolicies PutRolePermissionsBoundary"
                " PutRolePolicy TagRole UntagRole UpdateAssumeRolePolicy UpdateRole UpdateRoleDescription",
                arn("iam", f"role{ROLE_PATH}{stack_name}-*", region=""),
            ),
            _allow(
                "GiveFunctionsTheirRoles", "iam", "PassRole", arn("iam", f"role{ROLE_PATH}{stack_name}-*", region="")
            )
            | {"Condition": {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}},
            _allow(
                "MakeUserPolicy",
                "iam",
                "CreatePolicy CreatePolicyVersion DeletePolicy DeletePolicyVersion GetPolicy GetPolicyVersion"
                " ListEntitiesForPolicy ListPolicyVersions",
                user_policy,
            ),
            # CloudFormation takes the policy off everybody who still has it, before it deletes it.
            _allow(
                "TakeUserPolicyBack",
                "iam",
                "DetachGroupPolicy DetachRolePolicy DetachUserPolicy",
                [arn("iam", f"{kind}/*", region="") for kind in ("group", "role", "user")],
            )
            | {"Condition": {"ArnLike": {"iam:PolicyARN": user_policy}}},
            _allow(
                "MakeFunctions",
                "lambda",
                "AddPermission CreateFunction DeleteFunction DeleteFunctionEventInvokeConfig GetFunction"
                " GetFunctionCodeSigningConfig GetFunctionConfiguration GetFunctionEventInvokeConfig"
                " GetFunctionRecursionConfig GetFunctionScalingConfig GetPolicy GetRuntimeManagementConfig"
                " InvokeFunction PutFunctionEventInvokeConfig RemovePermission TagResource UntagResource"
                " UpdateFunctionCode UpdateFunctionConfiguration UpdateFunctionEventInvokeConfig",
                function,
            ),
            _allow(
                "MakeLogGroups",
                "logs",
                "CreateLogGroup DeleteLogGroup DeleteRetentionPolicy FilterLogEvents GetDataProtectionPolicy"
                " ListTagsForResource PutRetentionPolicy TagResource UntagResource",
                arn("logs", f"log-group:{stack_name}-*"),
            ),
            _allow("DescribeLogGroups", "logs", "DescribeIndexPolicies DescribeLogGroups", arn("logs", "log-group:*")),
            _allow("ReadLogSettings", "logs", "DescribeResourcePolicies", "*"),
            _allow(
                "MakeSweepRule",
                "events",
                "DeleteRule DescribeRule ListTargetsByRule PutRule PutTargets RemoveTargets",
                arn("events", f"rule/{stack_name}-*"),
            ),
            # Asked of the lease function before deleting, so that no annex is left without its lease.
            _allow("SeeLeases", "events", "ListRuleNamesByTarget", "*"),
            _allow("ReadLeases", "events", "ListTargetsByRule", arn("events", "rule/*")),
            # condor_annex names the rules of leases, so what limits this is what they may point at.
            _allow("EndLeases", "events", "PutTargets", arn("events", "rule/*"))
            | {"Condition": {"ForAllValues:ArnLike": {"events:TargetArn": function}}},
            _allow(
                "MakeAlarm",
                "cloudwatch",
                "DeleteAlarms DescribeAlarms PutMetricAlarm",
                arn("cloudwatch", f"alarm:{stack_name}-*"),
            ),
            _allow(
                "MakeAlarmTopic",
                "sns",
                "CreateTopic DeleteTopic GetDataProtectionPolicy GetTopicAttributes ListSubscriptionsByTopic"
                " SetTopicAttributes Subscribe Unsubscribe",
                arn("sns", f"{stack_name}-*"),
            ),
            _allow("MakeKeyPair", "ec2", "CreateKeyPair DeleteKeyPair", arn("ec2", "key-pair/annex-bootstrap-*")),
            _allow("SeeKeyPairs", "ec2", "DescribeKeyPairs", "*"),
            _allow("KeepPrivateKey", "ssm", "DeleteParameter PutParameter", arn("ssm", "parameter/ec2/keypair/*")),
        ],
    }


def _allow(sid: str, service: str, verbs: str, resource: str | list[str]) -> Statement:
    actions = [f"{service}:{verb}" for verb in sorted(verbs.split())]
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}
