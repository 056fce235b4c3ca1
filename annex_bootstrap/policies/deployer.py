"""The minimal policy for ``deploy``, ``pull-config`` and ``delete``, for an administrator to grant.

CloudFormation acts with the permissions of its caller, so this covers every resource in the template as well as our
own calls. It is scoped to our resource names where AWS allows it.
"""

from __future__ import annotations

from typing import Any

from annex_contract.stack import ROLE_PATH

Statement = dict[str, Any]


def deployer_policy(partition: str, account: str, stack_name: str) -> dict[str, Any]:
    """Return the policy document for deploying a stack of that name in any region of an account.

    Args:
        partition: such as ``aws``.
        account: the account ID, 12 digits.
        stack_name: the stack's name, with which the names of its functions and log groups begin.
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
                "ManageStack",
                "cloudformation",
                "CreateChangeSet DeleteChangeSet DeleteStack DescribeChangeSet DescribeStackEvents"
                " DescribeStackResource DescribeStacks ExecuteChangeSet",
                arn("cloudformation", f"stack/{stack_name}/*"),
            ),
            _allow(
                "StageTemplate",
                "s3",
                "CreateBucket DeleteBucket DeleteObject GetObject ListBucket PutBucketPublicAccessBlock PutObject",
                [staging, f"{staging}/*"],
            ),
            _allow(
                "ManageRoles",
                "iam",
                "CreateRole DeleteRole DeleteRolePermissionsBoundary DeleteRolePolicy DetachRolePolicy GetRole"
                " GetRolePolicy ListAttachedRolePolicies ListRolePolicies PutRolePermissionsBoundary"
                " PutRolePolicy TagRole UntagRole UpdateAssumeRolePolicy UpdateRole UpdateRoleDescription",
                arn("iam", f"role{ROLE_PATH}{stack_name}-*", region=""),
            ),
            _allow("PassRolesToFunctions", "iam", "PassRole", arn("iam", f"role{ROLE_PATH}{stack_name}-*", region=""))
            | {"Condition": {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}},
            _allow(
                "ManageUserPolicy",
                "iam",
                "CreatePolicy CreatePolicyVersion DeletePolicy DeletePolicyVersion GetPolicy GetPolicyVersion"
                " ListEntitiesForPolicy ListPolicyVersions",
                user_policy,
            ),
            # CloudFormation detaches the policy from whoever still has it before deleting it.
            _allow(
                "DetachUserPolicy",
                "iam",
                "DetachGroupPolicy DetachRolePolicy DetachUserPolicy",
                [arn("iam", f"{kind}/*", region="") for kind in ("group", "role", "user")],
            )
            | {"Condition": {"ArnLike": {"iam:PolicyARN": user_policy}}},
            _allow(
                "ManageFunctions",
                "lambda",
                "AddPermission CreateFunction DeleteFunction DeleteFunctionEventInvokeConfig GetFunction"
                " GetFunctionCodeSigningConfig GetFunctionConfiguration GetFunctionEventInvokeConfig"
                " GetFunctionRecursionConfig GetFunctionScalingConfig GetPolicy GetRuntimeManagementConfig"
                " InvokeFunction PutFunctionEventInvokeConfig RemovePermission TagResource UntagResource"
                " UpdateFunctionCode UpdateFunctionConfiguration UpdateFunctionEventInvokeConfig",
                function,
            ),
            _allow(
                "ManageLogGroups",
                "logs",
                "CreateLogGroup DeleteLogGroup DeleteRetentionPolicy FilterLogEvents GetDataProtectionPolicy"
                " ListTagsForResource PutRetentionPolicy TagResource UntagResource",
                arn("logs", f"log-group:{stack_name}-*"),
            ),
            _allow("ReadLogSettings", "logs", "DescribeIndexPolicies DescribeLogGroups DescribeResourcePolicies", "*"),
            _allow(
                "ManageSweepRule",
                "events",
                "DeleteRule DescribeRule ListTargetsByRule PutRule PutTargets RemoveTargets",
                arn("events", f"rule/{stack_name}-*"),
            ),
            # Checked before deleting, so that no annex is left without its lease function.
            _allow("ListLeases", "events", "ListRuleNamesByTarget", "*"),
            _allow("ReadLeases", "events", "ListTargetsByRule", arn("events", "rule/*")),
            # condor_annex chooses the rules' names, so limit this by what they may target.
            _allow("ExpireLeases", "events", "PutTargets", arn("events", "rule/*"))
            | {"Condition": {"ForAllValues:ArnLike": {"events:TargetArn": function}}},
            _allow(
                "ManageAlarm",
                "cloudwatch",
                "DeleteAlarms DescribeAlarms PutMetricAlarm",
                arn("cloudwatch", f"alarm:{stack_name}-*"),
            ),
            _allow(
                "ManageAlarmTopic",
                "sns",
                "CreateTopic DeleteTopic GetDataProtectionPolicy GetTopicAttributes ListSubscriptionsByTopic"
                " SetTopicAttributes Subscribe Unsubscribe",
                arn("sns", f"{stack_name}-*"),
            ),
            _allow("ManageKeyPair", "ec2", "CreateKeyPair DeleteKeyPair", arn("ec2", "key-pair/annex-bootstrap-*")),
            _allow("DescribeKeyPairs", "ec2", "DescribeKeyPairs", "*"),
            _allow("ManagePrivateKey", "ssm", "DeleteParameter PutParameter", arn("ssm", "parameter/ec2/keypair/*")),
        ],
    }


def _allow(sid: str, service: str, verbs: str, resource: str | list[str]) -> Statement:
    actions = [f"{service}:{verb}" for verb in sorted(verbs.split())]
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}
