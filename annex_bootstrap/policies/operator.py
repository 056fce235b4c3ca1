"""The minimal policy to operate a pool: ``credentials``, ``fleet-config``, ``leases``, ``status`` and ``doctor``.

It can read prices, instance types and the stack's resources, change leases, and create users that can run annexes and
nothing else.
"""

from __future__ import annotations

from typing import Any

from annex_bootstrap import PROGRAM
from annex_bootstrap.errors import CommandLineError
from annex_bootstrap.policies.deployer import ALARMS
from annex_bootstrap.policies.limits import keep_boundaries
from annex_contract.iam import UNPROTECTING, Statement, allow, deny, document, only_targets
from annex_contract.operating_system import SYSTEM
from annex_contract.stack import (
    ROLE_PATH,
    SPOT_ROLE,
    STACK_TAG,
    LogicalId,
    Part,
    stack_name_problem,
    stack_path,
    sweep_rule_name,
)


def operator_policy(partition: str, account: str, stack_name: str, boundary: str = "", key: str = "") -> dict[str, Any]:
    """Return the policy document for operating a stack of that name in any region of an account.

    Args:
        partition: such as ``aws``.
        account: the account ID, 12 digits.
        stack_name: the stack's name, with which the names of its functions, policies and users begin.
        boundary: the ARN of the permissions boundary that every user must have. Without one, a user may do anything
            that the stack's policy for users comes to allow.
        key: the ARN of the stack's key, which ``doctor`` then checks; empty for none.

    Raises:
        CommandLineError: our stacks cannot have that name.
    """
    if problem := stack_name_problem(stack_name):
        raise CommandLineError(problem)

    def arn(service: str, resource: str, region: str = "*") -> str:
        return f"arn:{partition}:{service}:{region}:{account}:{resource}"

    stack = arn("cloudformation", f"stack/{stack_name}/*")
    user = arn("iam", f"user{stack_path(stack_name)}*", region="")
    # For a user that does not exist, IAM checks the ARN without a path.
    missing_user = arn("iam", f"user/{stack_name}-*", region="")
    policy = arn("iam", f"policy{ROLE_PATH}{stack_name}-{LogicalId.ANNEX_USER_POLICY}-*", region="")
    profiles = arn("iam", f"instance-profile{ROLE_PATH}*", region="")
    lease_function = arn("lambda", f"function:{stack_name}-{LogicalId.LEASE_FUNCTION}-*")
    connectivity = arn("lambda", f"function:{stack_name}-{LogicalId.CONNECTIVITY_FUNCTION}-*")
    bounded = {"StringEquals": {"iam:PermissionsBoundary": boundary}} if boundary else {}
    return document(
        [
            allow(
                "FindStack",
                "cloudformation: DescribeStackResource DescribeStacks",
                stack,
            ),
            allow("FindNoUser", "iam: GetUser", missing_user),
            allow(
                "ManageUsers",
                "iam: CreateAccessKey DeleteAccessKey DeleteUser GetUser ListAccessKeys ListAttachedUserPolicies"
                " TagUser UpdateUser",
                user,
            ),
            # Those of versions before a stack had a path of its own, which credentials moves there; that takes the
            # right for both paths. Their tag says whose they are.
            allow(
                "MoveEarlierUsers",
                "iam: GetUser UpdateUser",
                arn("iam", f"user{ROLE_PATH}{stack_name}-*", region=""),
                {"StringLike": {f"aws:ResourceTag/{STACK_TAG}": stack}},
            ),
            allow("CreateUsers", "iam: CreateUser DetachUserPolicy PutUserPermissionsBoundary", user, bounded),
            # Only the stack's own policy can be attached, so a user gains nothing but the right to run annexes.
            allow("AttachPolicy", "iam: AttachUserPolicy", user, bounded | {"ArnLike": {"iam:PolicyARN": policy}}),
            *_keep_boundary(arn("iam", "user/*", region=""), boundary),
            # None of these can be limited to a resource, GetMetricStatistics to nothing at all:
            # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html
            allow(
                "SeeOffers",
                "ec2: DescribeImages DescribeInstanceTypeOfferings DescribeInstanceTypes DescribeInstances"
                " DescribeFleets DescribeLaunchTemplates DescribeRouteTables DescribeSecurityGroups"
                " DescribeSpotFleetRequests DescribeSpotInstanceRequests DescribeSubnets DescribeVpcEndpoints;"
                " cloudwatch: GetMetricStatistics; events: ListRuleNamesByTarget; pricing: GetProducts",
                "*",
            ),
            allow("FindNewestBase", "ssm: GetParameter", f"arn:{partition}:ssm:*::parameter{SYSTEM.base_parameters}*"),
            allow("ReadQuotas", "servicequotas: GetServiceQuota", arn("servicequotas", "ec2/*")),
            allow("ReadLeases", "events: DescribeRule ListTargetsByRule", arn("events", "rule/*")),
            allow("UpdateLeases", "events: PutTargets", arn("events", "rule/*"), only_targets(lease_function)),
            deny(
                "KeepOtherRules",
                "events: PutTargets",
                [arn("events", "rule/*/*"), arn("events", f"rule/{sweep_rule_name('*')}")],
            ),
            # Where the lease function does not work. No launch but one by the stack's template has this tag.
            allow(
                "UnprotectAndEndMachines",
                "ec2: GetConsoleOutput ModifyInstanceAttribute TerminateInstances",
                arn("ec2", "instance/*"),
                {"StringLike": {f"aws:ResourceTag/{STACK_TAG}": stack}} | UNPROTECTING,
            ),
            # Those of condor_annex have no tag that others cannot give, only the profile, and its name has the stack's
            # unique ID, which is not known here:
            # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
            allow(
                "ReadConsoles",
                "ec2: GetConsoleOutput",
                arn("ec2", "instance/*"),
                {"ArnLike": {"ec2:InstanceProfile": profiles}},
            ),
            # Not the functions of custom resources: only CloudFormation sends them events.
            allow(
                "CheckAndInvokeFunctions",
                "lambda: GetFunctionConfiguration GetPolicy InvokeFunction",
                [lease_function, connectivity],
            ),
            *([allow("CheckKey", "kms: DescribeKey GetKeyPolicy", key)] if key else []),
            allow(
                "ReadLogs",
                "logs: FilterLogEvents",
                [
                    arn("logs", f"log-group:{stack_name}-{Part.LOGS.of(function)}-*")
                    for function in (LogicalId.LEASE_FUNCTION, LogicalId.CONNECTIVITY_FUNCTION)
                ],
            ),
            allow(
                "ReadAlarms",
                "cloudwatch: DescribeAlarms",
                [arn("cloudwatch", f"alarm:{stack_name}-{alarm}-*") for alarm in ALARMS],
            ),
            allow(
                "CheckMailOfAlarms",
                "sns: ListSubscriptionsByTopic",
                arn("sns", f"{stack_name}-{LogicalId.ALARM_TOPIC}-*"),
            ),
            # Also without a path, as IAM checks the ARN of what does not exist; those of spot machines are AWS's own.
            allow(
                "CheckRoles",
                "iam: GetInstanceProfile GetRole",
                [
                    arn("iam", name, region="")
                    for name in (f"role/{PROGRAM}*", f"instance-profile/{PROGRAM}*", f"role/*{SPOT_ROLE}*")
                ],
            ),
            # Whatever an adopted one is called; no keys are listed.
            allow("CheckBuckets", "s3: GetBucketPublicAccessBlock", f"arn:{partition}:s3:::*"),
        ]
    )


def _keep_boundary(every_user: str, boundary: str) -> list[Statement]:
    if not boundary:
        return []
    return [deny("KeepBoundary", "iam: DeleteUserPermissionsBoundary", every_user), *keep_boundaries(boundary)]
