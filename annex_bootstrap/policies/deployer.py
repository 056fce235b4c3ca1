"""The minimal policy for ``deploy``, ``pull-config`` and ``delete``, for an administrator to grant.

CloudFormation acts with the permissions of its caller, so this covers every resource in the template as well as our
own calls. It is scoped to our resource names where AWS allows it.
"""

from __future__ import annotations

from typing import Any

from annex_contract.iam import allow, document
from annex_contract.stack import ROLE_PATH


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
    return document(
        [
            allow(
                "ManageStack",
                "cloudformation: CreateChangeSet DeleteChangeSet DeleteStack DescribeChangeSet"
                " DescribeStackEvents DescribeStackResource DescribeStacks ExecuteChangeSet",
                arn("cloudformation", f"stack/{stack_name}/*"),
            ),
            allow(
                "StageTemplate",
                "s3: CreateBucket DeleteBucket DeleteObject GetObject ListBucket PutBucketPublicAccessBlock PutObject",
                [staging, f"{staging}/*"],
            ),
            allow(
                "ManageRoles",
                "iam: CreateRole DeleteRole DeleteRolePermissionsBoundary DeleteRolePolicy DetachRolePolicy"
                " GetRole GetRolePolicy ListAttachedRolePolicies ListRolePolicies PutRolePermissionsBoundary"
                " PutRolePolicy TagRole UntagRole UpdateAssumeRolePolicy UpdateRole UpdateRoleDescription",
                arn("iam", f"role{ROLE_PATH}{stack_name}-*", region=""),
            ),
            allow(
                "PassRolesToFunctions",
                "iam: PassRole",
                arn("iam", f"role{ROLE_PATH}{stack_name}-*", region=""),
                {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}},
            ),
            allow(
                "ManageUserPolicy",
                "iam: CreatePolicy CreatePolicyVersion DeletePolicy DeletePolicyVersion GetPolicy"
                " GetPolicyVersion ListEntitiesForPolicy ListPolicyVersions",
                user_policy,
            ),
            # CloudFormation detaches the policy from whoever still has it before deleting it.
            allow(
                "DetachUserPolicy",
                "iam: DetachGroupPolicy DetachRolePolicy DetachUserPolicy",
                [arn("iam", f"{kind}/*", region="") for kind in ("group", "role", "user")],
                {"ArnLike": {"iam:PolicyARN": user_policy}},
            ),
            allow(
                "ManageFunctions",
                "lambda: AddPermission CreateFunction DeleteFunction DeleteFunctionEventInvokeConfig"
                " GetFunction GetFunctionCodeSigningConfig GetFunctionConfiguration"
                " GetFunctionEventInvokeConfig GetFunctionRecursionConfig GetFunctionScalingConfig GetPolicy"
                " GetRuntimeManagementConfig InvokeFunction PutFunctionEventInvokeConfig RemovePermission"
                " TagResource UntagResource UpdateFunctionCode UpdateFunctionConfiguration"
                " UpdateFunctionEventInvokeConfig",
                function,
            ),
            allow(
                "ManageLogGroups",
                "logs: CreateLogGroup DeleteLogGroup DeleteRetentionPolicy FilterLogEvents"
                " GetDataProtectionPolicy ListTagsForResource PutRetentionPolicy TagResource UntagResource",
                arn("logs", f"log-group:{stack_name}-*"),
            ),
            allow("ReadLogSettings", "logs: DescribeIndexPolicies DescribeLogGroups DescribeResourcePolicies", "*"),
            allow(
                "ManageSweepRule",
                "events: DeleteRule DescribeRule ListTargetsByRule PutRule PutTargets RemoveTargets",
                arn("events", f"rule/{stack_name}-*"),
            ),
            # Checked before deleting, so that no annex is left without its lease function.
            allow("ListLeases", "events: ListRuleNamesByTarget", "*"),
            allow("ReadLeases", "events: ListTargetsByRule", arn("events", "rule/*")),
            # condor_annex chooses the rules' names, so limit this by what they may target.
            allow(
                "ExpireLeases",
                "events: PutTargets",
                arn("events", "rule/*"),
                {"ForAllValues:ArnLike": {"events:TargetArn": function}},
            ),
            allow(
                "ManageAlarm",
                "cloudwatch: DeleteAlarms DescribeAlarms PutMetricAlarm",
                arn("cloudwatch", f"alarm:{stack_name}-*"),
            ),
            allow(
                "ManageAlarmTopic",
                "sns: CreateTopic DeleteTopic GetDataProtectionPolicy GetTopicAttributes"
                " ListSubscriptionsByTopic SetTopicAttributes Subscribe Unsubscribe",
                arn("sns", f"{stack_name}-*"),
            ),
            allow("ManageKeyPair", "ec2: CreateKeyPair DeleteKeyPair", arn("ec2", "key-pair/annex-bootstrap-*")),
            allow("DescribeKeyPairs", "ec2: DescribeKeyPairs", "*"),
            allow("ManagePrivateKey", "ssm: DeleteParameter PutParameter", arn("ssm", "parameter/ec2/keypair/*")),
        ]
    )
