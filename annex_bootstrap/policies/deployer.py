"""The minimal policy for ``deploy``, ``pull-config`` and ``delete``, for an administrator to grant.

CloudFormation acts with the permissions of its caller, so this covers every resource in the template as well as our
own calls. It is scoped to our resource names where AWS allows it.
"""

from __future__ import annotations

from typing import Any

from annex_bootstrap import PROGRAM
from annex_bootstrap.errors import CommandLineError
from annex_bootstrap.policies.limits import keep_boundaries
from annex_bootstrap.stack.staging import prefix
from annex_contract.boundaries import Holder, boundary_name
from annex_contract.iam import Statement, allow, deny, document, only_targets
from annex_contract.operating_system import SYSTEM
from annex_contract.resources import CUSTOM_RESOURCES
from annex_contract.stack import (
    ROLE_PATH,
    STACK_TAG,
    LogicalId,
    Part,
    function_of,
    stack_name_problem,
    stack_path,
    sweep_rule_name,
)

FUNCTIONS = (
    *(function_of(resource.logical_id) for resource in CUSTOM_RESOURCES),
    *(LogicalId.LEASE_FUNCTION, LogicalId.CONNECTIVITY_FUNCTION),
)
"""The logical IDs of the stack's functions."""

ALARMS = (LogicalId.LEASE_ALARM, LogicalId.THROTTLE_ALARM, LogicalId.SWEEP_ALARM, LogicalId.SILENCE_ALARM)

USER_POLICIES = (LogicalId.ANNEX_USER_POLICY, LogicalId.START_POLICY)
"""The policies that a stack's users get, all under the one path: another path would replace them in every stack."""


def deployer_policy(partition: str, account: str, stack_name: str, boundary: str = "") -> dict[str, Any]:
    """Return the policy document for deploying a stack of that name in any region of an account.

    Args:
        partition: such as ``aws``.
        account: the account ID, 12 digits.
        stack_name: the stack's name, with which the names of its functions and log groups begin.
        boundary: the ARN of the permissions boundary that every role must have. Without one, the policy's holder can
            give a role any permission, and so can do anything.

    Raises:
        CommandLineError: our stacks cannot have that name.
    """
    if problem := stack_name_problem(stack_name):
        raise CommandLineError(problem)
    return document(_statements(partition, account, stack_name, boundary))


def _manage_roles(roles: list[str], every_role: str, boundary: str) -> list[Statement]:
    reading = "GetRole GetRolePolicy ListAttachedRolePolicies ListRolePolicies"
    if not boundary:
        return [
            allow(
                "ManageRoles",
                "iam: CreateRole DeleteRole DeleteRolePermissionsBoundary DeleteRolePolicy DetachRolePolicy"
                " PutRolePermissionsBoundary PutRolePolicy TagRole UntagRole UpdateAssumeRolePolicy UpdateRole"
                f" UpdateRoleDescription {reading}",
                roles,
            )
        ]
    bounded = {"iam:PermissionsBoundary": boundary}
    return [
        allow(
            "ManageBoundedRoles",
            "iam: CreateRole DeleteRolePolicy DetachRolePolicy PutRolePermissionsBoundary PutRolePolicy",
            roles,
            {"StringEquals": bounded},
        ),
        # Whether AWS sends the key with these is not certain. A role of these names has the boundary in any case.
        allow(
            "UpdateRoles",
            "iam: UpdateAssumeRolePolicy UpdateRole UpdateRoleDescription",
            roles,
            {"StringEqualsIfExists": bounded},
        ),
        allow("ReadAndDeleteRoles", f"iam: DeleteRole TagRole UntagRole {reading}", roles),
        deny("KeepBoundary", "iam: DeleteRolePermissionsBoundary", every_role),
        *keep_boundaries(boundary),
    ]


def _manage_user_role(role: str, policies: list[str], boundary: str) -> list[Statement]:
    """Return the statements for the role that people take. Only the stack's policies for people can be attached to it.

    Args:
        role: the pattern of its ARN.
        policies: of the stack, for people.
        boundary: the ARN of the one that it must have; empty for none.
    """
    bounded = {"StringEquals": {"iam:PermissionsBoundary": boundary}} if boundary else {}
    making = "CreateRole" if boundary else "CreateRole DeleteRolePermissionsBoundary PutRolePermissionsBoundary"
    return [
        allow("MakeUserRole", f"iam: {making}", role, bounded),
        allow(
            "AttachPoliciesOfUsers",
            "iam: AttachRolePolicy DetachRolePolicy",
            role,
            {**bounded, "ArnLike": {"iam:PolicyARN": policies}},
        ),
        allow(
            "ManageUserRole",
            "iam: DeleteRole DeleteRolePolicy GetRole GetRolePolicy ListAttachedRolePolicies ListRolePolicies TagRole"
            " UntagRole UpdateAssumeRolePolicy UpdateRole UpdateRoleDescription",
            role,
        ),
    ]


def _statements(partition: str, account: str, stack_name: str, boundary: str) -> list[Statement]:

    def arn(service: str, resource: str, region: str = "*") -> str:
        return f"arn:{partition}:{service}:{region}:{account}:{resource}"

    stack = arn("cloudformation", f"stack/{stack_name}/*")
    # Their IDs say nothing, so their tag has to.
    launch_template = arn("ec2", "launch-template/*")
    user_policies = [arn("iam", f"policy{ROLE_PATH}{stack_name}-{policy}-*", region="") for policy in USER_POLICIES]
    functions = [arn("lambda", f"function:{stack_name}-{function}-*") for function in FUNCTIONS]
    lease_function = arn("lambda", f"function:{stack_name}-{LogicalId.LEASE_FUNCTION}-*")
    alarms = [arn("cloudwatch", f"alarm:{stack_name}-{alarm}-*") for alarm in ALARMS]
    topic = arn("sns", f"{stack_name}-{LogicalId.ALARM_TOPIC}-*")
    # Under the stack's own path, and those of versions before it had one, which an update replaces.
    roles = [
        arn("iam", f"role{stack_path(stack_name)}{stack_name}-*{Part.ROLE}-*", region=""),
        *(arn("iam", f"role{ROLE_PATH}{stack_name}-{function}Role-*", region="") for function in FUNCTIONS),
    ]
    user_role = arn("iam", f"role{stack_path(stack_name)}{stack_name}-{LogicalId.ANNEX_USER_ROLE}-*", region="")
    users_boundary = arn("iam", f"policy/{boundary_name(Holder.USERS, stack_name)}", region="")
    staging = f"arn:{partition}:s3:::annex-bootstrap-staging-{account}-*"
    staged = f"{staging}/{prefix(stack_name)}*"
    return [
        allow(
            "ManageStack",
            "cloudformation: CreateChangeSet DeleteChangeSet DeleteStack DescribeChangeSet"
            " DescribeStackEvents DescribeStackResource DescribeStacks ExecuteChangeSet GetTemplate ListChangeSets",
            stack,
        ),
        allow(
            "ReadFailedChangeSets",
            "cloudformation: DescribeEvents",
            arn("cloudformation", f"changeSet/{PROGRAM}-*/*"),
        ),
        # Those of condor_annex -setup, to report that they stay as they are.
        allow("SeeEarlierSetup", "cloudformation: DescribeStacks", arn("cloudformation", "stack/HTCondorAnnex-*/*")),
        allow("ManageStaging", "s3: CreateBucket DeleteBucket ListBucket PutBucketPublicAccessBlock", staging),
        allow(
            "ListStaged",
            "s3: ListBucketVersions",
            staging,
            {"StringEquals": {"s3:prefix": prefix(stack_name)}},
        ),
        allow("ReadAndDeleteStaged", "s3: DeleteObject DeleteObjectVersion GetObject", staged),
        # Nothing that is there is replaced, and without the header nothing is copied or uploaded in parts:
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
        allow("StageTemplate", "s3: PutObject", staged, {"Null": {"s3:if-none-match": "false"}}),
        *_manage_roles(roles, arn("iam", "role/*", region=""), boundary),
        *_manage_user_role(user_role, user_policies, users_boundary if boundary else ""),
        # For a role that does not exist, because somebody deleted it by hand, IAM checks the ARN without a path.
        allow(
            "PassOverMissingRoles",
            "iam: DeleteRole DeleteRolePolicy GetRole GetRolePolicy ListAttachedRolePolicies ListRolePolicies",
            [arn("iam", f"role/{stack_name}-{Part.ROLE.of(function)}-*", region="") for function in FUNCTIONS],
        ),
        allow(
            "PassRolesToFunctions",
            "iam: PassRole",
            roles,
            {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}},
        ),
        allow(
            "ManageUserPolicy",
            "iam: CreatePolicy CreatePolicyVersion DeletePolicy DeletePolicyVersion GetPolicy"
            " GetPolicyVersion ListEntitiesForPolicy ListPolicyVersions",
            user_policies,
        ),
        # CloudFormation detaches the policy from everyone who still has it before deleting it.
        allow(
            "DetachUserPolicy",
            "iam: DetachGroupPolicy DetachRolePolicy DetachUserPolicy",
            [arn("iam", f"{kind}/*", region="") for kind in ("group", "role", "user")],
            {"ArnLike": {"iam:PolicyARN": user_policies}},
        ),
        allow(
            "ManageFunctions",
            "lambda: CreateFunction DeleteFunction DeleteFunctionConcurrency DeleteFunctionEventInvokeConfig"
            " GetFunction GetFunctionCodeSigningConfig GetFunctionConfiguration"
            " GetFunctionEventInvokeConfig GetFunctionRecursionConfig GetFunctionScalingConfig GetPolicy"
            " GetRuntimeManagementConfig InvokeFunction ListTags PutFunctionConcurrency PutFunctionEventInvokeConfig"
            " RemovePermission"
            " TagResource UntagResource UpdateFunctionCode UpdateFunctionConfiguration"
            " UpdateFunctionEventInvokeConfig",
            functions,
        ),
        allow(
            "LetRulesInvoke",
            "lambda: AddPermission",
            lease_function,
            {"StringEquals": {"lambda:Principal": "events.amazonaws.com"}},
        ),
        allow(
            "ManageLogGroups",
            "logs: AssociateKmsKey CreateLogGroup DeleteLogGroup DeleteRetentionPolicy DisassociateKmsKey"
            " FilterLogEvents GetDataProtectionPolicy ListTagsForResource PutRetentionPolicy TagResource UntagResource",
            [arn("logs", f"log-group:{stack_name}-{Part.LOGS.of(function)}-*") for function in FUNCTIONS],
        ),
        allow("ReadLogSettings", "logs: DescribeIndexPolicies DescribeLogGroups DescribeResourcePolicies", "*"),
        allow(
            "ManageSweepRule",
            "events: DeleteRule DescribeRule ListTagsForResource ListTargetsByRule PutRule PutTargets"
            " RemoveTargets TagResource UntagResource",
            arn("events", f"rule/{sweep_rule_name(stack_name)}"),
        ),
        # Checked before deleting, so that no annex is left without its lease function.
        allow("ListLeases", "events: ListRuleNamesByTarget", "*"),
        allow("ReadLeases", "events: ListTargetsByRule", arn("events", "rule/*")),
        # condor_annex chooses the rules' names, so limit this by what they may target.
        allow(
            "ExpireLeases",
            "events: PutTargets",
            arn("events", "rule/*"),
            only_targets(lease_function),
        ),
        allow(
            "ManageAlarm",
            "cloudwatch: DeleteAlarms DescribeAlarms ListTagsForResource TagResource UntagResource",
            alarms,
        ),
        # An alarm could also end machines of others, in CloudWatch's own name. Without Null: it may have no action:
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/iam-cw-condition-keys-alarm-actions.html
        allow(
            "PutAlarmThatMails",
            "cloudwatch: PutMetricAlarm",
            alarms,
            {"ForAllValues:StringLike": {"cloudwatch:AlarmActions": topic}},
        ),
        allow(
            "ManageAlarmTopic",
            "sns: CreateTopic DeleteTopic GetDataProtectionPolicy GetTopicAttributes"
            " ListSubscriptionsByTopic ListTagsForResource SetTopicAttributes Subscribe TagResource"
            " Unsubscribe UntagResource",
            topic,
        ),
        # No resource of the stack: CloudFormation makes no budgets in half of the regions. A region ends its name, and
        # so does that of a longer-named stack's; but that has the other stack's tag.
        allow(
            "ManageBudget",
            "budgets: ListTagsForResource ModifyBudget TagResource ViewBudget",
            arn("budgets", f"budget/{stack_name}-*", region=""),
            {"StringLikeIfExists": {f"aws:ResourceTag/{STACK_TAG}": stack}},
        ),
        allow("ManageKeyPair", "ec2: CreateKeyPair DeleteKeyPair", arn("ec2", "key-pair/annex-bootstrap-*")),
        allow("DescribeKeyPairs", "ec2: DescribeKeyPairs", "*"),
        # To make the stack's image from its system's newest one, and to keep another that somebody chose.
        allow("FindNewestBase", "ssm: GetParameter", f"arn:{partition}:ssm:*::parameter{SYSTEM.base_parameters}*"),
        allow("DescribeImagesAndLaunchTemplates", "ec2: DescribeImages DescribeLaunchTemplates", "*"),
        # Where a function runs in subnets, Lambda looks at these, and CloudFormation waits until it has left them.
        allow(
            "DescribeNetwork",
            "ec2: DescribeNetworkInterfaces DescribeSecurityGroups DescribeSubnets DescribeVpcs",
            "*",
        ),
        allow(
            "CreateLaunchTemplate",
            "ec2: CreateLaunchTemplate",
            launch_template,
            {"StringLike": {f"aws:RequestTag/{STACK_TAG}": stack}},
        ),
        allow(
            "TagLaunchTemplate",
            "ec2: CreateTags",
            launch_template,
            {"StringEquals": {"ec2:CreateAction": "CreateLaunchTemplate"}},
        ),
        allow(
            "UpdateAndDeleteLaunchTemplate",
            "ec2: CreateLaunchTemplateVersion DeleteLaunchTemplate DeleteTags",
            launch_template,
            {"StringLike": {f"aws:ResourceTag/{STACK_TAG}": stack}},
        ),
        # CloudFormation names the private key by the key pair's ID, which nobody knows before. So what exists is not
        # overwritten: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ec2-keypair.html
        allow(
            "PutPrivateKey",
            "ssm: PutParameter",
            arn("ssm", "parameter/ec2/keypair/key-*"),
            {"StringEqualsIfExists": {"ssm:Overwrite": "false"}},
        ),
        allow("DeletePrivateKey", "ssm: DeleteParameter", arn("ssm", "parameter/ec2/keypair/key-*")),
    ]
