"""What each role may do: IAM statements, each with a Sid that says what it allows.

Actions and the conditions that they support: https://docs.aws.amazon.com/service-authorization/latest/reference/
"""

from __future__ import annotations

from typing import Any

from troposphere import AWSHelperFn, If, Join, Ref, Split, Sub

from annex_contract.iam import ON_CREATION, REQUIRING_TOKENS, UNPROTECTING, Statement, allow, deny, only_targets
from annex_contract.image import IMAGE_TAG
from annex_contract.keys import use_as_user, use_for_volumes
from annex_contract.lease import MACHINES_PREFIX, TARBALL_PREFIX
from annex_contract.operating_system import SYSTEM
from annex_contract.stack import (
    ANNEX_TAG,
    PASSED_TO_EC2,
    SPOT_FLEET_SERVICE,
    SPOT_SERVICE_LINKED_ROLES,
    STACK_TAG,
    STARTED_BY_TAG,
    Parameter,
    sweep_rule_name,
)
from template_gen import names

EVERYTHING = "*"
"""For actions that cannot be limited to a resource."""

OURS = {"StringEquals": {f"aws:ResourceTag/{STACK_TAG}": Ref("AWS::StackId")}}
BUILDER = OURS | {"Null": {f"aws:ResourceTag/{IMAGE_TAG}": "false"}}
WITHOUT_OUR_TAGS = {"Null": {f"aws:RequestTag/{tag}": "true" for tag in (STACK_TAG, IMAGE_TAG, STARTED_BY_TAG)}}
TAGGED_OURS = {"StringEquals": {f"aws:RequestTag/{STACK_TAG}": Ref("AWS::StackId")}}


def _with_key(statements: list[Statement]) -> list[AWSHelperFn]:
    """Return statements that a policy has only where the stack has a key of its own."""
    return [If("HasKmsKey", statement, Ref("AWS::NoValue")) for statement in statements]


def key_for_volumes() -> list[AWSHelperFn]:
    """Return the statements that let EC2 encrypt the volumes of the machines that somebody starts."""
    return _with_key(use_for_volumes(Ref(Parameter.KMS_KEY_ARN), Sub("ec2.${AWS::Region}.${AWS::URLSuffix}")))


def key_of_people() -> list[AWSHelperFn]:
    """Return the statement for those who start machines and upload the pool's configuration."""
    ec2, s3 = (Sub(f"{service}.${{AWS::Region}}.${{AWS::URLSuffix}}") for service in ("ec2", "s3"))
    return _with_key([use_as_user(Ref(Parameter.KMS_KEY_ARN), ec2, s3)])


def of_allowed_types(condition: dict[str, Any]) -> AWSHelperFn:
    """Return a condition of RunInstances on machines and, if the stack limits their types, that they are of those.

    Args:
        condition: without ``StringLike``.
    """
    types = {"StringLike": {"ec2:InstanceType": Split(",", Ref(Parameter.INSTANCE_TYPES))}}
    return If("HasInstanceTypes", condition | types, condition)


def write_logs(log_group_arn: AWSHelperFn) -> Statement:
    """Return the statement that lets a function write to its own log group."""
    return allow("WriteOwnLogs", "logs: CreateLogStream PutLogEvents", log_group_arn)


def network() -> list[Statement]:
    """Return the statements by which Lambda runs a function in subnets: it makes its interfaces with the role's rights.

    The function's code has none of them: every call of it, and no call of Lambda's, names its function. Sources:
    https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html and
    https://docs.aws.amazon.com/lambda/latest/dg/permissions-source-function-arn.html
    """
    of_lambda = {"Null": {"lambda:SourceFunctionArn": "true"}}
    return [
        allow("FindNetwork", "ec2: DescribeNetworkInterfaces DescribeSubnets", EVERYTHING, of_lambda),
        allow(
            "ManageNetworkInterfaces",
            "ec2: AssignPrivateIpAddresses CreateNetworkInterface DeleteNetworkInterface UnassignPrivateIpAddresses",
            [
                names.arn("ec2", "network-interface/*"),
                names.arn("ec2", "security-group/*"),
                # A subnet may be shared by another account.
                names.anywhere_arn("ec2", "subnet/*"),
            ],
            of_lambda,
        ),
    ]


def bucket() -> list[Statement]:
    """Return the statements of the bucket's function."""
    return [
        allow(
            "InspectBucket",
            "s3: GetBucketLocation GetBucketPublicAccessBlock GetBucketTagging ListBucket",
            names.bucket_arn(),
        ),
        allow("CreateBucket", "s3: CreateBucket PutBucketTagging TagResource", names.bucket_arn()),
        allow(
            "ConfigureBucket",
            "s3: PutBucketOwnershipControls PutBucketPolicy PutBucketPublicAccessBlock PutEncryptionConfiguration"
            " PutLifecycleConfiguration",
            names.bucket_arn(),
        ),
        allow(
            "ListContentsAndDeleteBucket",
            "s3: DeleteBucket ListBucketMultipartUploads ListBucketVersions",
            names.bucket_arn(),
        ),
        allow(
            "DeletePoolConfigurations",
            "s3: AbortMultipartUpload DeleteObject DeleteObjectVersion",
            [names.bucket_arn(f"/{prefix}*") for prefix in (TARBALL_PREFIX, MACHINES_PREFIX)],
        ),
    ]


def _own_role(name: AWSHelperFn) -> list[Statement]:
    """Return the statements for creating, updating and deleting one role.

    They are limited to our path, to the role's name and, if a boundary is set, to roles that have it.

    Args:
        name: the role's name.
    """
    role = names.role_arn(name)
    return [
        allow("CreateRole", "iam: CreateRole", role, _bounded(TAGGED_OURS)),
        allow("TagNewRole", "iam: TagRole", role, TAGGED_OURS),
        allow("SetPermissionsBoundary", "iam: PutRolePermissionsBoundary", role, _bounded(OURS)),
        allow("PutRolePolicies", "iam: PutRolePolicy", role, _bounded(OURS)),
        allow(
            "UpdateAndDeleteOwnRole",
            "iam: DeleteRole DeleteRolePolicy DetachRolePolicy UpdateAssumeRolePolicy",
            role,
            OURS,
        ),
        # With a boundary, no function may take one off.
        allow(
            "RemoveBoundary",
            "iam: DeleteRolePermissionsBoundary",
            role,
            If("HasBoundary", OURS | {"Null": {"iam:PermissionsBoundary": "true"}}, OURS),
        ),
        allow("ListRolePolicies", "iam: ListAttachedRolePolicies ListRolePolicies", role),
    ]


def _bounded(condition: dict[str, Any]) -> AWSHelperFn:
    """Return the condition and, if a boundary is set, the condition that the role has or gets it."""
    boundary = {"iam:PermissionsBoundary": Ref(Parameter.PERMISSIONS_BOUNDARY_ARN)}
    return If("HasBoundary", condition | {"ArnEquals": condition.get("ArnEquals", {}) | boundary}, condition)


def machine_role(name: AWSHelperFn) -> list[Statement]:
    """Return the statements of a function for a role of machines and its instance profile.

    Args:
        name: of both.
    """
    profile = names.role_arn(name, kind="instance-profile")
    return [
        # For a role that does not exist, IAM checks the ARN without a path.
        allow("FindRole", "iam: GetRole", [names.role_arn(name), names.role_arn(name, path="/")]),
        *_own_role(name),
        allow(
            "FindProfile",
            "iam: GetInstanceProfile",
            [profile, names.role_arn(name, path="/", kind="instance-profile")],
        ),
        allow("CreateProfile", "iam: CreateInstanceProfile TagInstanceProfile", profile, TAGGED_OURS),
        allow(
            "UpdateAndDeleteOwnProfile",
            "iam: AddRoleToInstanceProfile DeleteInstanceProfile RemoveRoleFromInstanceProfile",
            profile,
            OURS,
        ),
        # AddRoleToInstanceProfile passes the role.
        allow(
            "PassRoleToProfile",
            "iam: PassRole",
            names.role_arn(name),
            {"StringEquals": {"iam:PassedToService": PASSED_TO_EC2}},
        ),
    ]


def fleet_role() -> list[Statement]:
    """Return the statements of the function that creates or adopts the spot fleets' role."""
    name = names.FLEET_ROLE
    linked_arns: list[str | AWSHelperFn] = [
        names.arn("iam", f"role/aws-service-role/{service}/{role}")
        for role, service in SPOT_SERVICE_LINKED_ROLES.items()
    ]
    bare_arns: list[str | AWSHelperFn] = [names.arn("iam", f"role/{role}") for role in SPOT_SERVICE_LINKED_ROLES]
    return [
        # An adopted role may have any path.
        allow("FindRole", "iam: GetRole", [names.role_arn(name, path="/"), names.role_arn(name, path="/*/")]),
        *_own_role(name),
        allow("FindServiceLinkedRoles", "iam: GetRole", [*linked_arns, *bare_arns]),
        allow(
            "CreateServiceLinkedRoles",
            "iam: CreateServiceLinkedRole",
            linked_arns,
            {"StringEquals": {"iam:AWSServiceName": list(SPOT_SERVICE_LINKED_ROLES.values())}},
        ),
    ]


def security_group() -> list[Statement]:
    """Return the statements of the function for the machines' security group."""
    vpc = If("HasVpcId", names.arn("ec2", "vpc/${VpcId}"), names.arn("ec2", "vpc/*"))
    return [
        allow(
            "DescribeGroupAndItsUsers",
            "ec2: DescribeInstances DescribeNetworkInterfaces DescribeSecurityGroups DescribeVpcs",
            EVERYTHING,
        ),
        *_new_group(vpc),
        allow(
            "UpdateAndDeleteOwnGroup",
            "ec2: AuthorizeSecurityGroupIngress DeleteSecurityGroup RevokeSecurityGroupIngress",
            names.arn("ec2", "security-group/*"),
            OURS,
        ),
    ]


def _new_group(vpc: AWSHelperFn) -> list[Statement]:
    group = names.arn("ec2", "security-group/*")
    return [
        # Separate from CreateGroup, because the VPC gets no tags.
        allow("CreateGroupInVpc", "ec2: CreateSecurityGroup", vpc),
        allow("CreateGroup", "ec2: CreateSecurityGroup", group, TAGGED_OURS),
        allow("TagNewGroup", "ec2: CreateTags", group, {"StringEquals": {"ec2:CreateAction": "CreateSecurityGroup"}}),
    ]


def image_builder(types: AWSHelperFn) -> list[Statement]:
    """Return the statements of the function that runs the image's builder, and makes the group that closes it.

    Args:
        types: the instance types that a builder may have.
    """
    instance = names.arn("ec2", "instance/*")
    return [
        allow(
            "FindNewestBase",
            "ssm: GetParameter",
            Sub(f"arn:${{AWS::Partition}}:ssm:${{AWS::Region}}::parameter{SYSTEM.base_parameters}*"),
        ),
        allow(
            "DescribeImageAndBuilder",
            "ec2: DescribeImages DescribeInstances DescribeNetworkInterfaces DescribeSecurityGroups DescribeSubnets",
            EVERYTHING,
        ),
        _ask_which_image_is_owned(),
        # It has no rules: nobody reaches a builder. The VPC is that of the subnet.
        *_new_group(names.arn("ec2", "vpc/*")),
        allow("DeleteBuilderGroup", "ec2: DeleteSecurityGroup", names.arn("ec2", "security-group/*"), BUILDER),
        # The base may be of any account. Without iam:PassRole a builder can have no role.
        allow("StartBuilderFromBase", "ec2: RunInstances", names.public_arn("image/*")),
        allow("StartBuilderInSubnet", "ec2: RunInstances", names.arn("ec2", "subnet/*")),
        allow("StartBuilderInOwnGroup", "ec2: RunInstances", names.arn("ec2", "security-group/*"), OURS),
        allow(
            "StartBuilder",
            "ec2: RunInstances",
            instance,
            {
                "StringEquals": TAGGED_OURS["StringEquals"]
                | {"ec2:InstanceType": types, "ec2:MetadataHttpTokens": "required"}
            },
        ),
        allow(
            "StartBuilderWithTaggedParts",
            "ec2: RunInstances",
            [names.arn("ec2", "network-interface/*"), names.arn("ec2", "volume/*")],
            TAGGED_OURS,
        ),
        allow(
            "TagNewBuilder",
            "ec2: CreateTags",
            [instance, names.arn("ec2", "network-interface/*"), names.arn("ec2", "volume/*")],
            {"StringEquals": {"ec2:CreateAction": "RunInstances"}},
        ),
        *key_for_volumes(),
        allow("ReadConsoleOfBuilder", "ec2: GetConsoleOutput", instance, BUILDER),
        allow("TerminateBuilder", "ec2: TerminateInstances", instance, BUILDER),
    ]


def _ask_which_image_is_owned() -> Statement:
    return allow("AskWhichImageIsOwned", "cloudformation: DescribeStacks", Ref("AWS::StackId"))


def image() -> list[Statement]:
    """Return the statements of the function that makes the image of the builder."""
    instance, made, snapshots = (
        names.arn("ec2", "instance/*"),
        names.public_arn("image/*"),
        names.public_arn("snapshot/*"),
    )
    return [
        allow("FindImageAndBuilder", "ec2: DescribeImages DescribeInstances DescribeSnapshots", EVERYTHING),
        _ask_which_image_is_owned(),
        allow("CreateImageOfBuilder", "ec2: CreateImage", instance, BUILDER),
        allow("CreateTaggedImage", "ec2: CreateImage", [made, snapshots], TAGGED_OURS),
        allow(
            "TagNewImage", "ec2: CreateTags", [made, snapshots], {"StringEquals": {"ec2:CreateAction": "CreateImage"}}
        ),
        allow("RequireTokens", "ec2: ModifyImageAttribute", made, OURS | REQUIRING_TOKENS),
        *delete_images(),
        allow("TerminateBuilder", "ec2: TerminateInstances", instance, BUILDER),
    ]


def delete_images() -> list[Statement]:
    """Return the statements that let a function delete images and snapshots that the stack made."""
    return [
        allow("DeleteOwnImage", "ec2: DeregisterImage", names.public_arn("image/*"), OURS),
        allow("DeleteOwnSnapshots", "ec2: DeleteSnapshot", names.public_arn("snapshot/*"), OURS),
    ]


def lease(profile_arns: list[AWSHelperFn]) -> list[Statement]:
    """Return the statements of the lease function, which can terminate annex machines and no others.

    Args:
        profile_arns: the instance profiles of the machines.
    """
    rule = names.arn("events", "rule/*")
    instance = names.arn("ec2", "instance/*")
    return [
        allow("ReadLeases", "events: ListTargetsByRule", rule),
        allow("DeleteLeases", "events: DeleteRule RemoveTargets", rule),
        allow("ListLeases", "events: ListRules", EVERYTHING),
        allow(
            "FindAnnexes",
            "ec2: DescribeFleets DescribeInstances DescribeSpotFleetRequests DescribeSpotInstanceRequests",
            EVERYTHING,
        ),
        *[
            If(condition, allow(f"Hold{limit}", actions, EVERYTHING), Ref("AWS::NoValue"))
            for condition, limit, actions in (
                ("HasMaxCores", Parameter.MAX_CORES, "ec2: DescribeInstanceTypes"),
                ("HasMaxDollarsPerHour", Parameter.MAX_DOLLARS_PER_HOUR, "pricing: GetProducts"),
            )
        ],
        allow("FindLeftoversOfImages", "ec2: DescribeImages DescribeSnapshots", EVERYTHING),
        allow("AskWhichImageIsOwned", "cloudformation: DescribeStackResource DescribeStacks", Ref("AWS::StackId")),
        allow("TerminateOldBuilders", "ec2: TerminateInstances", instance, BUILDER),
        *delete_images(),
        allow("CancelFleets", "ec2: CancelSpotFleetRequests", names.arn("ec2", "spot-fleet-request/*")),
        allow(
            "DeleteFleetsOfAnnexes",
            "ec2: DeleteFleets",
            names.arn("ec2", "fleet/*"),
            OURS | {"Null": {f"aws:ResourceTag/{ANNEX_TAG}": "false"}},
        ),
        # Anyone who starts a machine need not tag its request.
        allow(
            "CancelSpotRequests",
            "ec2: CancelSpotInstanceRequests",
            names.arn("ec2", "spot-instances-request/*"),
            {"StringEqualsIfExists": OURS["StringEquals"]},
        ),
        # Others choose tags as they like, and HTCondor 8.7.0 puts none.
        allow(
            "TerminateMachinesWithOurProfile",
            "ec2: TerminateInstances",
            instance,
            {"ArnEquals": {"ec2:InstanceProfile": profile_arns}},
        ),
        allow(
            "UnprotectMachinesWithOurProfile",
            "ec2: ModifyInstanceAttribute",
            instance,
            {"ArnEquals": {"ec2:InstanceProfile": profile_arns}} | UNPROTECTING,
        ),
        allow(
            "ListPoolConfigurations",
            "s3: ListBucket",
            names.bucket_arn(),
            {"StringLike": {"s3:prefix": [f"{TARBALL_PREFIX}*", f"{MACHINES_PREFIX}*"]}},
        ),
        allow(
            "DeletePoolConfigurations",
            "s3: DeleteObject",
            [names.bucket_arn(f"/{prefix}*") for prefix in (TARBALL_PREFIX, MACHINES_PREFIX)],
        ),
    ]


def annex_user(
    lease_function: AWSHelperFn,
    connectivity_function: AWSHelperFn,
    instance_role_arn: AWSHelperFn,
    instance_profile_arn: AWSHelperFn,
    fleet_role_arn: AWSHelperFn,
    group_id: AWSHelperFn,
    vpc_id: AWSHelperFn,
    image_id: AWSHelperFn,
) -> list[Statement]:
    """Return what condor_annex needs, for the user or the machine that runs it.

    Source: the contract with HTCondor, whose guide asks for AdministratorAccess instead.

    Args:
        lease_function: its ARN.
        connectivity_function: its ARN.
        instance_role_arn: of the machines.
        instance_profile_arn: of the machines, by which the user's own are known.
        fleet_role_arn: of spot fleets.
        group_id: the only security group that machines may have.
        vpc_id: the only VPC that they may be in.
        image_id: the stack's image. Machines may also start from those of the parameter ImageIds, and from public ones.
    """
    return [
        allow("CheckAndInvokeFunctions", "lambda: GetFunction InvokeFunction", [lease_function, connectivity_function]),
        allow("UploadPoolConfigurations", "s3: PutObject", names.bucket_arn(f"/{TARBALL_PREFIX}*")),
        # condor_annex chooses the names of rules, so limit this by what they may target.
        allow("ManageLeases", "events: DeleteRule PutRule RemoveTargets", names.arn("events", "rule/*")),
        allow("PutLeases", "events: PutTargets", names.arn("events", "rule/*"), only_targets(lease_function)),
        deny(
            "KeepOtherRules",
            "events: DeleteRule PutRule PutTargets RemoveTargets",
            [names.arn("events", "rule/*/*"), names.arn("events", f"rule/{sweep_rule_name('*')}")],
        ),
        *_start_machines(group_id, vpc_id, image_id),
        *key_of_people(),
        allow(
            "InspectFleets",
            "ec2: DescribeSpotFleetInstances",
            names.arn("ec2", "spot-fleet-request/*"),
        ),
        allow(
            "TagMachinesAndFleets",
            "ec2: CreateTags",
            [names.arn("ec2", "instance/*"), names.arn("ec2", "spot-fleet-request/*")],
            ON_CREATION | WITHOUT_OUR_TAGS,
        ),
        allow(
            "TerminateMachinesWithOurProfile",
            "ec2: TerminateInstances",
            names.arn("ec2", "instance/*"),
            {"ArnEquals": {"ec2:InstanceProfile": instance_profile_arn}},
        ),
        allow(
            "DescribeMachinesAndFleets",
            "ec2: DescribeInstances DescribeInstanceStatus DescribeSpotFleetRequests",
            EVERYTHING,
        ),
        allow(
            "PassMachineRole",
            "iam: PassRole",
            instance_role_arn,
            {"StringEquals": {"iam:PassedToService": PASSED_TO_EC2}},
        ),
        allow(
            "PassFleetRole",
            "iam: PassRole",
            fleet_role_arn,
            # RequestSpotFleet is a call of EC2. AWS's own policy for callers of it, AWSThinkboxDeadlineSpotEventPlugin-
            # AdminPolicy, names EC2 alone; HTCondor's documentation and ours have named the spot fleet service.
            {"StringEquals": {"iam:PassedToService": [*PASSED_TO_EC2, SPOT_FLEET_SERVICE]}},
        ),
        # The others are those of condor_annex -setup, which it looks for itself.
        allow(
            "DescribeOwnAndSetupStacks",
            "cloudformation: DescribeStacks",
            [names.arn("cloudformation", f"stack/{name}/*") for name in ("${AWS::StackName}", "HTCondorAnnex-*")],
        ),
    ]


def _start_machines(group_id: AWSHelperFn, vpc_id: AWSHelperFn, image_id: AWSHelperFn) -> list[Statement]:
    """Return the statements about what machines and fleets are started of, one for each limit.

    No snapshot is among it: those of an image are not asked for, only those that a request names itself:
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ExamplePolicies_EC2.html#iam-example-runinstances
    """
    start = "ec2: RequestSpotFleet RunInstances"
    image = names.public_arn("image/*")
    # Of an empty parameter, too, this makes a list that is not empty.
    named = Split(",", Join(",", Ref(Parameter.IMAGE_IDS)))
    return [
        # Tags are asked about here too: another policy may let its holder put them.
        allow("StartMachines", "ec2: RunInstances", names.arn("ec2", "instance/*"), of_allowed_types(WITHOUT_OUR_TAGS)),
        allow(
            "StartWithParts",
            start,
            [names.arn("ec2", f"{kind}/*") for kind in ("key-pair", "spot-fleet-request", "volume")],
            WITHOUT_OUR_TAGS,
        ),
        allow("StartInOwnGroup", start, names.arn("ec2", "security-group/${Group}", Group=group_id)),
        allow(
            "StartInOwnVpc",
            start,
            [names.arn("ec2", "network-interface/*"), names.arn("ec2", "subnet/*")],
            {"ArnEquals": {"ec2:Vpc": names.arn("ec2", "vpc/${Vpc}", Vpc=vpc_id)}},
        ),
        allow("StartFromPublicImages", start, image, {"Bool": {"ec2:Public": "true"}}),
        allow("StartFromImagesOfAmazon", start, image, {"StringEquals": {"ec2:Owner": "amazon"}}),
        allow("StartFromOwnImage", start, names.public_arn("image/${Image}", Image=image_id)),
        allow("StartFromNamedImages", start, image, {"StringEquals": {"ec2:ImageID": named}}),
    ]
