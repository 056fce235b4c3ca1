"""The permissions boundaries of a stack's roles and of its annex users, for an administrator to make once. Pure.

A boundary grants nothing. It is the most that a role or a user can ever do, whatever policies somebody gives it, and
whatever code runs with it. Roles need more than users, so each has its own. Both are for one stack, by its name: its
roles are known by their names, and everything else by its tag, by its machines' profile, or by a resource's own policy.

How boundaries work: https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from annex_bootstrap.errors import CommandLineError
from annex_contract.boundaries import Holder, boundary_name
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
from annex_contract.keys import through, use_as_user
from annex_contract.lease import MACHINES_PREFIX, TARBALL_PREFIX
from annex_contract.operating_system import SYSTEM
from annex_contract.stack import (
    EC2_SERVICE,
    PASSED_TO_EC2,
    ROLE_PATH,
    SPOT_FLEET_SERVICE,
    SPOT_ROLE,
    SPOT_SERVICE,
    STACK_TAG,
    LogicalId,
    stack_name_problem,
    stack_path,
    sweep_rule_name,
)


def boundary_arn(partition: str, account: str, holder: Holder, stack_name: str) -> str:
    """Return the ARN of the managed policy."""
    return f"arn:{partition}:iam::{account}:policy/{boundary_name(holder, stack_name)}"


def users_boundary(roles_boundary: str, stack_name: str) -> str:
    """Return the ARN of the users' boundary that goes with one of roles: of the same name, or of the usual one.

    Args:
        roles_boundary: the ARN of the boundary that a stack's roles have.
        stack_name: the stack's.
    """
    _, partition, _, _, account, _ = roles_boundary.split(":", 5)
    roles, users = (f"annex-bootstrap-{holder}-boundary" for holder in Holder)
    if roles in roles_boundary:
        return roles_boundary.replace(roles, users)
    return boundary_arn(partition, account, Holder.USERS, stack_name)


def boundary(
    partition: str,
    account: str,
    holder: Holder,
    stack_name: str,
    key: str = "",
    bucket: str = "",
    *,
    condor_annex: bool = False,
) -> dict[str, Any]:
    """Return the policy document of a boundary.

    Args:
        partition: such as ``aws``.
        account: the account ID, 12 digits.
        holder: whom it is for.
        stack_name: the stack's.
        key: the ARN of the key that the stack has; empty for none.
        bucket: the name of the bucket that the stack has as BucketName; empty where it makes one.
        condor_annex: whether roles may end the leases and spot fleets that ``condor_annex`` makes, which have no tag.

    Raises:
        CommandLineError: our stacks cannot have that name, or users are to have what only roles can.
    """
    if problem := stack_name_problem(stack_name):
        raise CommandLineError(problem)
    if condor_annex and holder is Holder.USERS:
        raise CommandLineError("--condor-annex goes with --for roles: users have the same boundary with and without it")
    limits = _Limits(partition, account, stack_name, bucket)
    statements = _users(limits) if holder is Holder.USERS else _roles(limits, condor_annex=condor_annex)
    return document([*statements, *([use_as_user(key, through("ec2", key), through("s3", key))] if key else [])])


@dataclass(frozen=True)
class _Limits:
    """What is one stack's.

    Attributes:
        partition: such as ``aws``.
        account: the account ID.
        stack_name: the stack's name.
        bucket: the name of an adopted bucket; empty for none.
    """

    partition: str
    account: str
    stack_name: str
    bucket: str

    def arn(self, service: str, resource: str) -> str:
        """Return an ARN in the account, in any region where the service has regions."""
        return f"arn:{self.partition}:{service}:{'' if service == 'iam' else '*'}:{self.account}:{resource}"

    def image_part(self, kind: str) -> str:
        """Return the ARN of all images or snapshots, which have no account in their ARNs."""
        return f"arn:{self.partition}:ec2:*::{kind}/*"

    @property
    def ec2(self) -> str:
        """The ARN of everything in EC2, also of what has no account in its ARN."""
        return f"arn:{self.partition}:ec2:*:*:*"

    @property
    def rules(self) -> str:
        """Every rule of EventBridge."""
        return self.arn("events", "rule/*")

    @property
    def stack(self) -> str:
        """The stack's ID."""
        return self.arn("cloudformation", f"stack/{self.stack_name}/*")

    @property
    def tag(self) -> str:
        """The value of the stack's tag, which is its ID.

        Short, because there is hardly room. What has a tag is of this account: nobody sees the tags of another's. No
        part of another stack's ID is like this.
        """
        return f"*:stack/{self.stack_name}/*"

    @property
    def roles(self) -> str:
        """The roles that the functions make. No stack's name has an underscore."""
        return self.arn("iam", f"role{ROLE_PATH}{self.stack_name}_*")

    @property
    def profiles(self) -> str:
        """The instance profiles of the machines."""
        return self.arn("iam", f"instance-profile{ROLE_PATH}{self.stack_name}_*")

    @property
    def bucket_arn(self) -> str:
        """The stack's bucket.

        One that it makes has the stack's unique ID in its name, which is not known before. That bucket's own policy
        keeps other stacks out.
        """
        return f"arn:{self.partition}:s3:::{self.bucket or f'annex-bootstrap-{self.account}-*'}"

    @property
    def configurations(self) -> list[str]:
        """The objects in it."""
        return [f"{self.bucket_arn}/{prefix}*" for prefix in (TARBALL_PREFIX, MACHINES_PREFIX)]

    @property
    def in_account(self) -> dict[str, Any]:
        """The condition that a bucket is the account's."""
        return {"StringEquals": {"aws:ResourceAccount": self.account}}

    @property
    def tagged(self) -> dict[str, Any]:
        """The condition that a thing is the stack's by its tag."""
        return {"StringLike": {f"aws:ResourceTag/{STACK_TAG}": self.tag}}

    @property
    def with_profile(self) -> dict[str, Any]:
        """The condition that a machine has a profile of the stack's. It cannot have one of another account."""
        return {"ArnLike": {"ec2:InstanceProfile": f"arn:*:iam::*:instance-profile{ROLE_PATH}{self.stack_name}_*"}}

    def keep_others(self, *, rules: bool) -> list[Statement]:
        """Return the statements that deny everything in EC2 that has another stack's tag, and that tag itself.

        Args:
            rules: whether also to deny to change such a rule. Whose it is may be read: ``start`` says so.
        """
        tags = {kind: f"aws:{kind}Tag/{STACK_TAG}" for kind in ("Resource", "Request")}
        changing = {"Resource": "DeleteRule Put* RemoveTargets TagResource", "Request": "PutRule TagResource"}
        return [
            deny(
                f"No{kind}Tag",
                f"ec2: *; events: {changing[kind]}" if rules else "ec2:*",
                [self.ec2, self.rules] if rules else self.ec2,
                # A tag that is missing would be unlike anything.
                {"StringNotLike": {tag: self.tag}, "Null": {tag: "false"}},
            )
            for kind, tag in tags.items()
        ]


def _roles(own: _Limits, *, condor_annex: bool) -> list[Statement]:
    """Return what roles may do at most. A wildcard of actions stands where the resource or its tag sets the limit.

    Statements with the same limit are one: with a long name and a key, there is hardly room for more.
    """
    arn, image, snapshot = own.arn, own.image_part("image"), own.image_part("snapshot")
    instance = f"arn:{own.partition}:ec2:*:*:instance/*"
    # IAM takes a boundary of another account nowhere.
    bounded = {"ArnLike": {"iam:PermissionsBoundary": boundary_arn("*", "*", Holder.ROLES, own.stack_name)}}
    logs = f"log-group:{own.stack_name}-*FunctionLogs-*"
    return [
        # What the resource limits, of services that have no other resource here. One statement is shorter than six.
        allow(
            "ByName",
            "cloudformation: DescribeStackResource DescribeStacks;"
            # Nobody has to tag the spot request of a single machine. A persistent one would start machines after the
            # end of their lease; cancelling it ends none:
            # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-spot-instances-cancel.html
            " ec2: CancelSpotInstanceRequests CreateSecurityGroup RequestSpotInstances RunInstances;"
            " events: ListTargetsByRule;"
            " iam: GetInstanceProfile GetRole GetRolePolicy List*RolePolicies;"
            " logs: CreateLogStream PutLogEvents;"
            # Of a bucket that does not exist yet, nobody knows the account.
            " s3: *Bucket* PutEncryptionConfiguration PutLifecycleConfiguration TagResource;"
            " ssm: GetParameter",
            [
                own.stack,
                arn("ec2", "*"),
                # Not of snapshots: those of an image are not asked for, only those that a request names itself.
                image,
                own.rules,
                arn("iam", "*"),
                arn("logs", logs),
                own.bucket_arn,
                f"arn:{own.partition}:ssm:*::parameter{SYSTEM.base_parameters}*",
            ],
        ),
        allow("Configurations", "s3: AbortMultipartUpload DeleteObject* GetObject", own.configurations, own.in_account),
        # Which policies a bounded role has does not matter: it never does more than this boundary lets it.
        allow("BoundedRoles", "iam: *RolePolicy CreateRole PutRolePermissionsBoundary", own.roles, bounded),
        allow("NewRoles", "iam: CreateInstanceProfile TagInstanceProfile TagRole", [own.roles, own.profiles]),
        allow("PassRole", "iam:PassRole", own.roles, {"StringLike": {"iam:PassedToService": f"{EC2_SERVICE}*"}}),
        # Of spot.amazonaws.com and of spotfleet.amazonaws.com.
        allow("LinkedRoles", "iam:CreateServiceLinkedRole", arn("iam", "role/aws-service-role/spot*")),
        # No attributes of machines, such as their user data.
        allow("Look", "ec2: Describe*s; events: ListRules; pricing: GetProducts", "*"),
        allow(
            "ImageOfBuilder",
            "ec2:CreateImage",
            instance,
            own.tagged | {"Null": {f"aws:ResourceTag/{IMAGE_TAG}": "false"}},
        ),
        allow("NewImage", "ec2:CreateImage", [image, snapshot], {"Null": {f"aws:RequestTag/{STACK_TAG}": "false"}}),
        # Of all that is created, because what may be is limited above.
        allow("TagNew", "ec2:CreateTags", own.ec2, {"Null": {"ec2:CreateAction": "false"}}),
        allow(
            "OfStack",
            "ec2: *SecurityGroupIngress CancelSpotFleetRequests DeleteFleets DeleteSecurityGroup DeleteSnapshot"
            " DeregisterImage GetConsoleOutput TerminateInstances; events: DeleteRule RemoveTargets;"
            " iam: *InstanceProfile DeleteRole DeleteRolePolicy UpdateAssumeRolePolicy",
            [own.ec2, own.rules, arn("iam", "*")],
            own.tagged,
        ),
        *([_of_condor_annex(own)] if condor_annex else []),
        allow("RequireTokens", "ec2:ModifyImageAttribute", image, own.tagged | REQUIRING_TOKENS),
        # Create, Delete, Assign and Unassign. Lambda may with a function's role, and the function's code, whose calls
        # name the function, may not. The roles of machines are not under such a path.
        allow(
            "Interfaces",
            "ec2: *eNetworkInterface *signPrivateIpAddresses",
            own.ec2,
            {
                "Null": {"lambda:SourceFunctionArn": "true"},
                "StringLike": {"aws:PrincipalArn": f"*:role{stack_path('*')}*"},
            },
        ),
        # The fleets' role tags its machines after they have started.
        allow(
            "OfProfile",
            "ec2: CreateTags ModifyInstanceAttribute TerminateInstances",
            instance,
            own.with_profile,
        ),
        # Also where the stack's name is the beginning of another's.
        deny(
            "KeepOthers",
            "events: DeleteRule RemoveTargets; logs: *",
            [
                f"arn:{own.partition}:events:*:*:rule/{sweep_rule_name('*')}",
                f"arn:{own.partition}:logs:*:*:{logs.replace('-*F', '-*-*F')}",
            ],
        ),
        *own.keep_others(rules=False),
    ]


def _of_condor_annex(own: _Limits) -> Statement:
    """Return what ends the leases and fleets of condor_annex. They have no tag, so it reaches those of others, too."""
    return allow(
        "OfCondorAnnex",
        "ec2: CancelSpotFleetRequests; events: DeleteRule RemoveTargets",
        [own.ec2, own.rules],
        {"Null": {f"aws:ResourceTag/{STACK_TAG}": "true"}},
    )


def _users(own: _Limits) -> list[Statement]:
    arn = own.arn
    lease, connectivity = (
        arn("lambda", f"function:{own.stack_name}-{function}-*")
        for function in (LogicalId.LEASE_FUNCTION, LogicalId.CONNECTIVITY_FUNCTION)
    )
    return [
        allow("CheckAndInvokeFunctions", "lambda: GetFunction GetPolicy InvokeFunction", [lease, connectivity]),
        allow("UploadPoolConfigurations", "s3: PutObject", own.configurations, own.in_account),
        allow(
            "ManageLeases",
            "events: DeleteRule DescribeRule ListTargetsByRule PutRule RemoveTargets TagResource",
            own.rules,
        ),
        deny(
            "KeepHourlyRules",
            "events: DeleteRule PutRule PutTargets RemoveTargets TagResource",
            arn("events", f"rule/{sweep_rule_name('*')}"),
        ),
        allow("ListLeases", "events: ListRuleNamesByTarget", "*"),
        allow("PutLeases", "events: PutTargets", own.rules, only_targets(lease)),
        allow(
            "StartMachines",
            "ec2: CreateFleet RequestSpotFleet RunInstances",
            [arn("ec2", "*"), own.image_part("image"), own.image_part("snapshot")],
        ),
        allow("InspectFleets", "ec2: DescribeSpotFleetInstances", arn("ec2", "spot-fleet-request/*")),
        allow("TagOnCreation", "ec2: CreateTags", arn("ec2", "*"), ON_CREATION),
        allow(
            "EndMachines",
            "ec2: ModifyInstanceAttribute TerminateInstances",
            arn("ec2", "instance/*"),
            own.with_profile | UNPROTECTING,
        ),
        allow("DescribeMachinesAndFleets", "ec2: Describe*s DescribeSpotPriceHistory", "*"),
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
            own.roles,
            {"StringEquals": {"iam:PassedToService": [*PASSED_TO_EC2, SPOT_FLEET_SERVICE]}},
        ),
        # The others are those of condor_annex -setup, which it looks for itself.
        allow(
            "DescribeOwnAndSetupStacks",
            "cloudformation: DescribeStacks",
            [own.stack, arn("cloudformation", "stack/HTCondorAnnex-*")],
        ),
        *own.keep_others(rules=True),
    ]
