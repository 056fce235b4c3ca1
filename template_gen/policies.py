"""What each role may do: IAM statements, each with a Sid that says what it is for.

Actions and the conditions that they support: https://docs.aws.amazon.com/service-authorization/latest/reference/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from troposphere import AWSHelperFn, If, Ref, Sub

from annex_contract.stack import ANNEX_TAG, SPOT_SERVICE_LINKED_ROLES, SPOT_TAGGING_POLICY, STACK_TAG
from template_gen import names

Statement = dict[str, Any]
Resource = Any
"""An ARN or a list of them, as text or as an intrinsic function."""

Condition: TypeAlias = Mapping[str, Any] | AWSHelperFn

EVERYTHING = "*"
"""For actions that support no smaller resource."""

MACHINE_PARTS = (
    *("instance", "key-pair", "network-interface"),
    *("security-group", "spot-fleet-request", "subnet", "volume"),
)
"""The kinds of resources of the own account that starting a machine or a fleet is authorized on."""

OURS = {"StringEquals": {f"aws:ResourceTag/{STACK_TAG}": Ref("AWS::StackId")}}
TAGGED_OURS = {"StringEquals": {f"aws:RequestTag/{STACK_TAG}": Ref("AWS::StackId")}}


def allow(sid: str, actions: str, resource: Resource, condition: Condition | None = None) -> Statement:
    """One Allow statement.

    Args:
        sid: says what it is for.
        actions: a service and its actions, such as ``s3: GetObject PutObject``.
        resource: an ARN or several.
        condition: the Condition, if any.
    """
    service, _, verbs = actions.partition(": ")
    listed = [f"{service}:{verb}" for verb in sorted(verbs.split())]
    statement: Statement = {"Sid": sid, "Effect": "Allow", "Action": listed, "Resource": resource}
    return statement | {"Condition": condition} if condition else statement


def write_logs(log_group_arn: AWSHelperFn) -> Statement:
    """For every function."""
    return allow("WriteOwnLogs", "logs: CreateLogStream PutLogEvents", log_group_arn)


def bucket() -> list[Statement]:
    """For the function that makes the bucket."""
    return [
        allow(
            "FindAndCheckBucket",
            "s3: GetBucketLocation GetBucketPublicAccessBlock GetBucketTagging ListBucket",
            names.bucket_arn(),
        ),
        allow("MakeBucket", "s3: CreateBucket TagResource", names.bucket_arn()),
        allow(
            "ConfigureBucket",
            "s3: PutBucketOwnershipControls PutBucketPolicy PutBucketPublicAccessBlock PutEncryptionConfiguration"
            " PutLifecycleConfiguration",
            names.bucket_arn(),
        ),
        allow(
            "DeleteBucket",
            "s3: DeleteBucket ListBucketMultipartUploads ListBucketVersions",
            names.bucket_arn(),
        ),
        allow(
            "DeletePoolConfigurations",
            "s3: AbortMultipartUpload DeleteObject DeleteObjectVersion",
            names.bucket_arn("/config-*"),
        ),
    ]


def _own_role(name: AWSHelperFn, *more: Statement) -> list[Statement]:
    """For making, changing and deleting one role. Under our path, by its name, and with the boundary if there is one.

    Args:
        name: the role's.
        more: what may be granted to it.
    """
    role = names.role_arn(name)
    return [
        allow("MakeRole", "iam: CreateRole", role, _bounded(TAGGED_OURS)),
        allow("TagNewRole", "iam: TagRole", role, TAGGED_OURS),
        allow("BindRole", "iam: PutRolePermissionsBoundary", role, _bounded(OURS)),
        *more,
        allow(
            "ChangeAndDeleteOwnRole",
            "iam: DeleteRole DeleteRolePermissionsBoundary DeleteRolePolicy DetachRolePolicy UpdateAssumeRolePolicy",
            role,
            OURS,
        ),
        allow("SeePoliciesOfRole", "iam: ListAttachedRolePolicies ListRolePolicies", role),
    ]


def _bounded(condition: dict[str, Any]) -> AWSHelperFn:
    """A condition, and where a boundary is asked for, that the role has it or gets it."""
    boundary = {"iam:PermissionsBoundary": Ref("PermissionsBoundaryArn")}
    return If("HasBoundary", condition | {"ArnEquals": condition.get("ArnEquals", {}) | boundary}, condition)


def instance_role() -> list[Statement]:
    """For the function that makes the machines' role and profile."""
    name = names.INSTANCE_ROLE
    profile = names.role_arn(name, kind="instance-profile")
    return [
        # IAM knows no path of what does not exist, and asks about the bare name.
        allow("FindRole", "iam: GetRole", [names.role_arn(name), names.role_arn(name, path="/")]),
        *_own_role(name, allow("GrantBoot", "iam: PutRolePolicy", names.role_arn(name), _bounded(OURS))),
        allow(
            "FindProfile",
            "iam: GetInstanceProfile",
            [profile, names.role_arn(name, path="/", kind="instance-profile")],
        ),
        allow("MakeProfile", "iam: CreateInstanceProfile TagInstanceProfile", profile, TAGGED_OURS),
        allow(
            "ChangeAndDeleteOwnProfile",
            "iam: AddRoleToInstanceProfile DeleteInstanceProfile RemoveRoleFromInstanceProfile",
            profile,
            OURS,
        ),
        # AddRoleToInstanceProfile passes the role.
        allow(
            "PutRoleIntoProfile",
            "iam: PassRole",
            names.role_arn(name),
            {"StringEquals": {"iam:PassedToService": Sub("ec2.${AWS::URLSuffix}")}},
        ),
    ]


def fleet_role() -> list[Statement]:
    """For the function that makes or adopts the spot fleets' role."""
    name = names.FLEET_ROLE
    linked_arns: list[str | AWSHelperFn] = [
        names.arn("iam", f"role/aws-service-role/{service}/{role}")
        for role, service in SPOT_SERVICE_LINKED_ROLES.items()
    ]
    bare_arns: list[str | AWSHelperFn] = [names.arn("iam", f"role/{role}") for role in SPOT_SERVICE_LINKED_ROLES]
    tagging = Sub(f"arn:${{AWS::Partition}}:iam::aws:policy/{SPOT_TAGGING_POLICY}")
    return [
        # One that is adopted may have any path.
        allow("FindRole", "iam: GetRole", [names.role_arn(name, path="/"), names.role_arn(name, path="/*/")]),
        *_own_role(
            name,
            allow(
                "GrantTagging",
                "iam: AttachRolePolicy",
                names.role_arn(name),
                _bounded(OURS | {"ArnEquals": {"iam:PolicyARN": tagging}}),
            ),
        ),
        allow("FindServiceLinkedRoles", "iam: GetRole", [*linked_arns, *bare_arns]),
        allow(
            "MakeServiceLinkedRoles",
            "iam: CreateServiceLinkedRole",
            linked_arns,
            {"StringEquals": {"iam:AWSServiceName": list(SPOT_SERVICE_LINKED_ROLES.values())}},
        ),
    ]


def security_group() -> list[Statement]:
    """For the function that makes the machines' security group."""
    group = names.arn("ec2", "security-group/*")
    return [
        allow(
            "FindGroupAndItsUsers",
            "ec2: DescribeInstances DescribeNetworkInterfaces DescribeSecurityGroups DescribeVpcs",
            EVERYTHING,
        ),
        # Apart from MakeGroup, because a VPC gets no tags.
        allow(
            "MakeGroupInVpc",
            "ec2: CreateSecurityGroup",
            If("HasVpcId", names.arn("ec2", "vpc/${VpcId}"), names.arn("ec2", "vpc/*")),
        ),
        allow("MakeGroup", "ec2: CreateSecurityGroup", group, TAGGED_OURS),
        allow("TagNewGroup", "ec2: CreateTags", group, {"StringEquals": {"ec2:CreateAction": "CreateSecurityGroup"}}),
        allow(
            "ChangeAndDeleteOwnGroup",
            "ec2: AuthorizeSecurityGroupIngress DeleteSecurityGroup RevokeSecurityGroupIngress",
            group,
            OURS,
        ),
    ]


def lease(instance_profile_arn: AWSHelperFn) -> list[Statement]:
    """For the lease function. It may end machines of annexes, and of nobody else."""
    rule = names.arn("events", "rule/*")
    instance = names.arn("ec2", "instance/*")
    return [
        allow("ReadLeases", "events: ListTargetsByRule", rule),
        allow("EndLeases", "events: DeleteRule RemoveTargets", rule),
        allow("FindLeases", "events: ListRules", EVERYTHING),
        allow(
            "FindAnnexes",
            "ec2: DescribeInstances DescribeSpotFleetRequests",
            EVERYTHING,
        ),
        allow("EndFleets", "ec2: CancelSpotFleetRequests", names.arn("ec2", "spot-fleet-request/*")),
        allow(
            "EndTaggedMachines",
            "ec2: TerminateInstances",
            instance,
            {"Null": {f"aws:ResourceTag/{ANNEX_TAG}": "false"}},
        ),
        # Clients of the 8.7.0 guide's time tag nothing: what counts is that the machine runs with our profile.
        allow(
            "EndMachinesWithOurProfile",
            "ec2: TerminateInstances",
            instance,
            {"ArnEquals": {"ec2:InstanceProfile": instance_profile_arn}},
        ),
        allow(
            "FindPoolConfigurations", "s3: ListBucket", names.bucket_arn(), {"StringLike": {"s3:prefix": "config-*"}}
        ),
        allow("DeletePoolConfigurations", "s3: DeleteObject", names.bucket_arn("/config-*")),
    ]


def annex_user(
    functions: list[str | AWSHelperFn], instance_role_arn: AWSHelperFn, fleet_role_arn: AWSHelperFn
) -> list[Statement]:
    """What condor_annex itself needs, for the user or the machine that runs it.

    Source: the contract with HTCondor; its guide asks for AdministratorAccess instead.
    """
    return [
        allow("UseFunctions", "lambda: GetFunction InvokeFunction", functions),
        allow("LeavePoolConfigurations", "s3: PutObject", names.bucket_arn("/config-*")),
        allow("SetLeases", "events: DeleteRule PutRule PutTargets RemoveTargets", names.arn("events", "rule/*")),
        allow(
            "StartMachines",
            "ec2: RequestSpotFleet RunInstances",
            [
                *(names.arn("ec2", f"{kind}/*") for kind in MACHINE_PARTS),
                # Most images and their snapshots are somebody else's.
                *(Sub("arn:${AWS::Partition}:ec2:${AWS::Region}:*:" + kind) for kind in ("image/*", "snapshot/*")),
            ],
        ),
        allow(
            "SeeAndEndFleets",
            "ec2: CancelSpotFleetRequests DescribeSpotFleetInstances",
            names.arn("ec2", "spot-fleet-request/*"),
        ),
        allow(
            "TagMachinesAtStart",
            "ec2: CreateTags",
            [names.arn("ec2", "instance/*"), names.arn("ec2", "spot-fleet-request/*")],
        ),
        allow(
            "RollBackMachines",
            "ec2: TerminateInstances",
            names.arn("ec2", "instance/*"),
            {"Null": {f"aws:ResourceTag/{ANNEX_TAG}": "false"}},
        ),
        allow(
            "SeeMachines",
            "ec2: DescribeInstances DescribeInstanceStatus DescribeSpotFleetRequests",
            EVERYTHING,
        ),
        allow(
            "GiveMachinesTheirRole",
            "iam: PassRole",
            instance_role_arn,
            {"StringEquals": {"iam:PassedToService": Sub("ec2.${AWS::URLSuffix}")}},
        ),
        allow(
            "GiveFleetsTheirRole",
            "iam: PassRole",
            fleet_role_arn,
            {"StringEquals": {"iam:PassedToService": "spotfleet.amazonaws.com"}},
        ),
        allow("CheckSetup", "cloudformation: DescribeStacks", names.arn("cloudformation", "stack/*")),
    ]
