"""What CloudFormation's handlers call for our resources, with its caller's rights.

From the registry's schemas and the service authorization reference, which a plain install does not have;
`tests/unit/local_aws/test_handlers.py` compares them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

CALLS: Mapping[str, Mapping[str, str]] = {
    "AWS::CloudWatch::Alarm": {
        "create": "cloudwatch: DescribeAlarms ListTagsForResource PutMetricAlarm TagResource UntagResource",
        "read": "cloudwatch: DescribeAlarms ListTagsForResource TagResource UntagResource",
        "update": "cloudwatch: DescribeAlarms ListTagsForResource PutMetricAlarm TagResource UntagResource",
        "delete": "cloudwatch: DeleteAlarms DescribeAlarms ListTagsForResource TagResource UntagResource",
    },
    "AWS::EC2::KeyPair": {
        "create": "ec2: CreateKeyPair CreateTags; ssm: PutParameter",
        "read": "ec2: DescribeKeyPairs",
        "delete": "ec2: DeleteKeyPair DescribeKeyPairs; ssm: DeleteParameter",
    },
    "AWS::EC2::LaunchTemplate": {
        "create": "ec2: CreateLaunchTemplate CreateTags",
        "read": "ec2: DescribeLaunchTemplates",
        "update": "ec2: CreateLaunchTemplateVersion CreateTags DeleteTags",
        "delete": "ec2: DeleteLaunchTemplate DeleteTags DescribeLaunchTemplates",
    },
    "AWS::Events::Rule": {
        "create": (
            "events: DescribeRule ListTagsForResource PutRule PutTargets TagResource UntagResource; iam: PassRole"
        ),
        "read": "events: DescribeRule ListTagsForResource ListTargetsByRule TagResource UntagResource; iam: PassRole",
        "update": (
            "events: DescribeRule ListTagsForResource PutRule PutTargets RemoveTargets TagResource UntagResource; iam:"
            " PassRole"
        ),
        "delete": (
            "events: DeleteRule DescribeRule ListTagsForResource ListTargetsByRule RemoveTargets TagResource"
            " UntagResource; iam: PassRole"
        ),
    },
    "AWS::IAM::ManagedPolicy": {
        "create": "iam: AttachRolePolicy CreatePolicy",
        "read": "iam: GetPolicy GetPolicyVersion ListEntitiesForPolicy",
        "update": (
            "iam: AttachRolePolicy CreatePolicyVersion DeletePolicyVersion DetachGroupPolicy DetachRolePolicy"
            " DetachUserPolicy GetPolicy ListPolicyVersions"
        ),
        "delete": (
            "iam: DeletePolicy DeletePolicyVersion DetachGroupPolicy DetachRolePolicy DetachUserPolicy GetPolicy"
            " ListEntitiesForPolicy ListPolicyVersions"
        ),
    },
    "AWS::IAM::Role": {
        "create": "iam: AttachRolePolicy CreateRole GetRole GetRolePolicy PutRolePolicy TagRole UntagRole",
        "read": "iam: GetRole GetRolePolicy ListAttachedRolePolicies ListRolePolicies",
        "update": (
            "iam: AttachRolePolicy DeleteRolePermissionsBoundary DeleteRolePolicy DetachRolePolicy"
            " PutRolePermissionsBoundary"
            " PutRolePolicy TagRole UntagRole UpdateAssumeRolePolicy UpdateRole UpdateRoleDescription"
        ),
        "delete": (
            "iam: DeleteRole DeleteRolePolicy DetachRolePolicy GetRole ListAttachedRolePolicies ListRolePolicies"
            " TagRole UntagRole"
        ),
    },
    "AWS::IAM::RolePolicy": {
        "create": "iam: GetRolePolicy PutRolePolicy",
        "read": "iam: GetRolePolicy",
        "update": "iam: GetRolePolicy PutRolePolicy",
        "delete": "iam: DeleteRolePolicy GetRolePolicy",
    },
    "AWS::Lambda::EventInvokeConfig": {
        "create": "lambda: PutFunctionEventInvokeConfig",
        "read": "lambda: GetFunctionEventInvokeConfig",
        "update": "lambda: UpdateFunctionEventInvokeConfig",
        "delete": "lambda: DeleteFunctionEventInvokeConfig",
    },
    "AWS::Lambda::Function": {
        "create": (
            "ec2: DescribeSecurityGroups DescribeSubnets DescribeVpcs; iam: PassRole;"
            " lambda: CreateFunction GetFunction GetFunctionCodeSigningConfig GetFunctionRecursionConfig"
            " GetRuntimeManagementConfig ListTags PutFunctionConcurrency TagResource UntagResource; s3: GetObject"
        ),
        "read": (
            "lambda: GetFunction GetFunctionCodeSigningConfig GetFunctionRecursionConfig GetFunctionScalingConfig"
            " GetRuntimeManagementConfig ListTags TagResource UntagResource"
        ),
        "update": (
            "ec2: DescribeSecurityGroups DescribeSubnets DescribeVpcs; iam: PassRole;"
            " lambda: DeleteFunctionConcurrency GetFunction GetFunctionCodeSigningConfig"
            " GetFunctionRecursionConfig GetRuntimeManagementConfig ListTags PutFunctionConcurrency TagResource"
            " UntagResource UpdateFunctionCode UpdateFunctionConfiguration; s3: GetObject"
        ),
        "delete": (
            "ec2: DescribeNetworkInterfaces; lambda: DeleteFunction GetFunction ListTags TagResource UntagResource"
        ),
    },
    "AWS::Lambda::Permission": {
        "create": "lambda: AddPermission",
        "read": "lambda: GetPolicy",
        "delete": "lambda: RemovePermission",
    },
    "AWS::Logs::LogGroup": {
        "create": (
            "logs: CreateLogGroup DescribeIndexPolicies DescribeLogGroups DescribeResourcePolicies"
            " GetDataProtectionPolicy ListTagsForResource PutRetentionPolicy TagResource UntagResource"
        ),
        "read": (
            "logs: DescribeIndexPolicies DescribeLogGroups DescribeResourcePolicies GetDataProtectionPolicy"
            " ListTagsForResource TagResource UntagResource"
        ),
        "update": (
            "logs: AssociateKmsKey DeleteRetentionPolicy DescribeLogGroups DescribeResourcePolicies DisassociateKmsKey"
            " GetDataProtectionPolicy ListTagsForResource PutRetentionPolicy TagResource UntagResource"
        ),
        "delete": "logs: DeleteLogGroup DescribeLogGroups ListTagsForResource TagResource UntagResource",
    },
    "AWS::SNS::Topic": {
        "create": (
            "iam: GetRole PassRole; sns: CreateTopic GetTopicAttributes ListTagsForResource Subscribe TagResource"
            " UntagResource"
        ),
        "read": (
            "sns: GetDataProtectionPolicy GetTopicAttributes ListSubscriptionsByTopic ListTagsForResource TagResource"
            " UntagResource"
        ),
        "update": (
            "iam: GetRole PassRole; sns: GetDataProtectionPolicy GetTopicAttributes ListSubscriptionsByTopic"
            " ListTagsForResource SetTopicAttributes Subscribe TagResource Unsubscribe UntagResource"
        ),
        "delete": "sns: DeleteTopic GetTopicAttributes ListTagsForResource TagResource UntagResource",
    },
}
"""Actions by resource type and handler."""

ON_ALL = (
    "ec2: DescribeKeyPairs DescribeLaunchTemplates DescribeNetworkInterfaces DescribeSecurityGroups DescribeSubnets"
    " DescribeVpcs;"
    " logs: DescribeIndexPolicies DescribeLogGroups DescribeResourcePolicies"
)
"""Those of the actions that cannot be limited to a resource."""

KEYS: Mapping[str, str] = {
    "cloudwatch:AlarmActions": "cloudwatch: PutMetricAlarm",
    "ec2:CreateAction": "ec2: CreateTags",
    "events:TargetArn": "events: PutTargets",
    "iam:PassedToService": "iam: PassRole",
    "iam:PolicyARN": "iam: AttachRolePolicy DetachGroupPolicy DetachRolePolicy DetachUserPolicy",
    "iam:PermissionsBoundary": (
        "iam: AttachRolePolicy CreateRole DeleteRole DeleteRolePermissionsBoundary DeleteRolePolicy DetachRolePolicy"
        " DetachUserPolicy GetRole PutRolePermissionsBoundary PutRolePolicy UpdateAssumeRolePolicy UpdateRole"
        " UpdateRoleDescription"
    ),
    "lambda:Principal": "lambda: AddPermission RemovePermission",
    "ssm:Overwrite": "ssm: PutParameter",
}
"""Those of the actions that have a condition key whose value our properties give."""


def needed(resource_type: str, *handlers: str) -> set[str]:
    """Return the actions that a caller of CloudFormation needs for one of our resources."""
    return {action for each in handlers for action in actions(CALLS[resource_type].get(each, ""))}


def actions(text: str) -> Iterator[str]:
    """Yield the actions of a text such as ``iam: GetRole PassRole; s3: GetObject``."""
    for part in filter(None, text.split("; ")):
        service, _, verbs = part.partition(": ")
        yield from (f"{service}:{verb}" for verb in verbs.split())
