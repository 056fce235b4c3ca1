"""The permissions boundaries of a stack's roles and of its annex users, for an administrator to make once. Pure.

A boundary grants nothing. It is the most that a role or a user can ever do, whatever policies somebody gives it. Roles
need more than users, so each has its own. Both are for every stack of the account.

How boundaries work: https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from annex_contract.iam import (
    ON_CREATION,
    REQUIRING_TOKENS,
    UNPROTECTING,
    Statement,
    allow,
    deny,
    document,
    only_targets,
)
from annex_contract.image import IMAGE_TAG
from annex_contract.keys import read_objects, through, use_as_user, use_for_volumes
from annex_contract.lease import MACHINES_PREFIX, TARBALL_PREFIX
from annex_contract.operating_system import SYSTEM
from annex_contract.stack import (
    FLEET_TAG,
    PASSED_TO_EC2,
    ROLE_PATH,
    SPOT_FLEET_SERVICE,
    SPOT_ROLE,
    SPOT_SERVICE,
    STACK_TAG,
    LogicalId,
    sweep_rule_name,
)


class Holder(StrEnum):
    """Whom a boundary is for."""

    ROLES = "roles"
    USERS = "users"


def boundary_name(holder: Holder) -> str:
    """Return the name of the managed policy. It has no path: what deployers may change is under ours."""
    return f"annex-bootstrap-{holder}-boundary"


def boundary_arn(partition: str, account: str, holder: Holder) -> str:
    """Return the ARN of the managed policy."""
    return f"arn:{partition}:iam::{account}:policy/{boundary_name(holder)}"


def boundary(partition: str, account: str, holder: Holder, key: str = "") -> dict[str, Any]:
    """Return the policy document of a boundary.

    Args:
        partition: such as ``aws``.
        account: the account ID, 12 digits.
        holder: whom it is for.
        key: the ARN of the key that the stacks have; empty for none.
    """

    def arn(service: str, resource: str) -> str:
        region = "" if service == "iam" else "*"
        return f"arn:{partition}:{service}:{region}:{account}:{resource}"

    if holder is Holder.USERS:
        statements = [use_as_user(key, through("ec2", key), through("s3", key))] if key else []
        return document([*_users(partition, account, arn), *statements])
    statements = [*use_for_volumes(key, through("ec2", key)), read_objects(key, through("s3", key))] if key else []
    return document([*_roles(partition, account, arn), *statements])


def _made_roles(arn: Callable[[str, str], str]) -> list[str]:
    # What the functions make, whatever the stack is called; not the functions' own roles.
    return [arn("iam", f"role{ROLE_PATH}annex-bootstrap-{made}-*") for made in ("instance", "fleet")]


def _profiles(arn: Callable[[str, str], str]) -> str:
    return arn("iam", f"instance-profile{ROLE_PATH}annex-bootstrap-instance-*")


def _machine_parts(partition: str, arn: Callable[[str, str], str]) -> list[str]:
    # Images and snapshots have no account in their ARNs.
    return [arn("ec2", "*"), f"arn:{partition}:ec2:*::image/*", f"arn:{partition}:ec2:*::snapshot/*"]


def _roles(partition: str, account: str, arn: Callable[[str, str], str]) -> list[Statement]:
    """Return what roles may do at most. A wildcard of actions stands where the resource sets the limit."""
    bounded = {"StringEquals": {"iam:PermissionsBoundary": boundary_arn(partition, account, Holder.ROLES)}}
    same_account = {"StringEquals": {"aws:ResourceAccount": account}}
    made, profiles = _made_roles(arn), _profiles(arn)
    instance, ours = arn("ec2", "instance/*"), {"ArnLike": {"ec2:InstanceProfile": profiles}}
    return [
        allow("Logs", "logs: CreateLogStream PutLogEvents", arn("logs", "log-group:*")),
        allow("ReadBuckets", "s3: GetBucket* ListBucket", f"arn:{partition}:s3:::*", same_account),
        allow(
            "Buckets",
            "s3: *Bucket* PutEncryptionConfiguration PutLifecycleConfiguration TagResource",
            f"arn:{partition}:s3:::annex-bootstrap-*",
        ),
        allow(
            "Configurations",
            "s3: AbortMultipartUpload DeleteObject* GetObject",
            [f"arn:{partition}:s3:::*/{prefix}*" for prefix in (TARBALL_PREFIX, MACHINES_PREFIX)],
            same_account,
        ),
        # Which policies a bounded role has does not matter: it never does more than this boundary lets it.
        allow(
            "BoundedRoles",
            "iam: *RolePolicy CreateRole PutRolePermissionsBoundary",
            made,
            bounded,
        ),
        allow(
            "RolesAndProfiles",
            "iam: *InstanceProfile DeleteRole TagRole UpdateAssumeRolePolicy",
            [*made, profiles],
        ),
        allow(
            "ReadRoles",
            "iam: GetInstanceProfile GetRole GetRolePolicy List*RolePolicies",
            [arn("iam", "role/*"), arn("iam", "instance-profile/*")],
        ),
        allow("PassRole", "iam:PassRole", made[0], {"StringEquals": {"iam:PassedToService": PASSED_TO_EC2}}),
        # Of spot.amazonaws.com and of spotfleet.amazonaws.com.
        allow("LinkedRoles", "iam:CreateServiceLinkedRole", arn("iam", "role/aws-service-role/spot*")),
        allow("Describe", "ec2: Describe*; pricing: GetProducts", "*"),
        allow(
            "Machines",
            "ec2: CancelSpotFleetRequests CancelSpotInstanceRequests CreateSecurityGroup RequestSpotInstances"
            " RunInstances",
            # Not of snapshots: those of an image are not asked for, only those that a request names itself.
            [arn("ec2", "*"), f"arn:{partition}:ec2:*::image/*"],
        ),
        allow(
            "ImageOfBuilder",
            "ec2:CreateImage",
            instance,
            {"Null": {f"aws:ResourceTag/{tag}": "false" for tag in (STACK_TAG, IMAGE_TAG)}},
        ),
        allow(
            "TaggedImage",
            "ec2:CreateImage",
            _machine_parts(partition, arn)[1:],
            {"Null": {f"aws:RequestTag/{STACK_TAG}": "false"}},
        ),
        # Of all that is created, because what may be is limited above.
        allow("TagNew", "ec2:CreateTags", f"arn:{partition}:ec2:*:*:*", {"Null": {"ec2:CreateAction": "false"}}),
        allow(
            "OfStacks",
            "ec2: *SecurityGroupIngress DeleteFleets DeleteSecurityGroup DeleteSnapshot DeregisterImage"
            " GetConsoleOutput TerminateInstances",
            _machine_parts(partition, arn),
            {"Null": {f"aws:ResourceTag/{STACK_TAG}": "false"}},
        ),
        allow(
            "RequireTokens",
            "ec2:ModifyImageAttribute",
            f"arn:{partition}:ec2:*::image/*",
            {"Null": {f"aws:ResourceTag/{STACK_TAG}": "false"}} | REQUIRING_TOKENS,
        ),
        allow(
            "OfFleets",
            "ec2: CreateTags TerminateInstances",
            instance,
            {"Null": {f"aws:ResourceTag/{FLEET_TAG}": "false"}},
        ),
        allow("EndOurs", "ec2: ModifyInstanceAttribute TerminateInstances", instance, ours),
        allow("ReadStack", "cloudformation: DescribeStackResource DescribeStacks", arn("cloudformation", "stack/*")),
        allow("FindBase", "ssm:GetParameter", f"arn:{partition}:ssm:*::parameter{SYSTEM.base_parameters}*"),
        allow("Leases", "events: DeleteRule ListTargetsByRule RemoveTargets", arn("events", "rule/*")),
        deny("KeepHourlyRules", "events: DeleteRule RemoveTargets", arn("events", f"rule/{sweep_rule_name('*')}")),
        allow("ListLeases", "events:ListRules", "*"),
    ]


def _users(partition: str, account: str, arn: Callable[[str, str], str]) -> list[Statement]:
    lease = arn("lambda", f"function:*-{LogicalId.LEASE_FUNCTION}-*")
    connectivity = arn("lambda", f"function:*-{LogicalId.CONNECTIVITY_FUNCTION}-*")
    return [
        allow("CheckAndInvokeFunctions", "lambda: GetFunction GetPolicy InvokeFunction", [lease, connectivity]),
        allow(
            "UploadPoolConfigurations",
            "s3: PutObject",
            [f"arn:{partition}:s3:::*/{prefix}*" for prefix in (TARBALL_PREFIX, MACHINES_PREFIX)],
            {"StringEquals": {"aws:ResourceAccount": account}},
        ),
        allow(
            "ManageLeases",
            "events: DeleteRule DescribeRule ListTargetsByRule PutRule RemoveTargets",
            arn("events", "rule/*"),
        ),
        deny(
            "KeepHourlyRules",
            "events: DeleteRule PutRule PutTargets RemoveTargets",
            arn("events", f"rule/{sweep_rule_name('*')}"),
        ),
        allow("ListLeases", "events: ListRuleNamesByTarget", "*"),
        allow("PutLeases", "events: PutTargets", arn("events", "rule/*"), only_targets(lease)),
        allow("StartMachines", "ec2: CreateFleet RequestSpotFleet RunInstances", _machine_parts(partition, arn)),
        allow(
            "InspectFleets",
            "ec2: DescribeSpotFleetInstances",
            arn("ec2", "spot-fleet-request/*"),
        ),
        allow("TagOnCreation", "ec2: CreateTags", arn("ec2", "*"), ON_CREATION),
        allow(
            "EndMachines",
            "ec2: ModifyInstanceAttribute TerminateInstances",
            arn("ec2", "instance/*"),
            {"ArnLike": {"ec2:InstanceProfile": _profiles(arn)}} | UNPROTECTING,
        ),
        allow("DescribeMachinesAndFleets", "ec2:Describe*", "*"),
        allow("FindTypes", "ec2: GetInstanceTypesFromInstanceRequirements", "*"),
        allow("ReadPrices", "pricing: GetProducts", "*"),
        allow("ReadQuotas", "servicequotas: GetServiceQuota", arn("servicequotas", "ec2/*")),
        allow(
            "CreateSpotRole",
            "iam: CreateServiceLinkedRole",
            arn("iam", f"role/aws-service-role/{SPOT_SERVICE}/{SPOT_ROLE}"),
            {"StringEquals": {"iam:AWSServiceName": SPOT_SERVICE}},
        ),
        allow(
            "PassRoles",
            "iam: PassRole",
            _made_roles(arn),
            {"StringEquals": {"iam:PassedToService": [*PASSED_TO_EC2, SPOT_FLEET_SERVICE]}},
        ),
        allow("DescribeSetupStacks", "cloudformation: DescribeStacks", arn("cloudformation", "stack/*")),
    ]
