"""What ``annex-bootstrap start`` needs of the stack: a launch template, and a policy that starts machines only from it.

Both exist where the stack makes its own image, because the machines have to know by themselves how to join.

Source of the conditions: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html and
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/permissions-for-launch-templates.html
"""

from __future__ import annotations

from typing import Any

from troposphere import GetAtt, If, Ref, Select, Split, Sub, Template
from troposphere.awslambda import Function
from troposphere.ec2 import (
    EBSBlockDevice,
    IamInstanceProfile,
    LaunchTemplate,
    LaunchTemplateBlockDeviceMapping,
    LaunchTemplateData,
    MetadataOptions,
    TagSpecifications,
)
from troposphere.iam import ManagedPolicy, Role

from annex_contract import tags
from annex_contract.boundaries import Holder, boundary_name
from annex_contract.iam import UNPROTECTING, Statement, allow, deny, document, only_targets
from annex_contract.keys import EBS_KEY
from annex_contract.lease import MACHINES_PREFIX
from annex_contract.resources import IMAGE, SECURITY_GROUP, START_ROLE, Attribute
from annex_contract.stack import (
    ANNEX_TAG,
    CONFIGURATION_TAG,
    PASSED_TO_EC2,
    ROLE_PATH,
    SPOT_ROLE,
    SPOT_SERVICE,
    STACK_TAG,
    STARTED_BY_TAG,
    LogicalId,
    Parameter,
    stack_path,
    sweep_rule_name,
)
from template_gen import names, policies
from template_gen.custom import get

CONDITION = "MakesImage"

LONGEST_SESSION = 12 * 3600
"""Seconds, the most that IAM allows: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_manage_sessions.html"""


def add_launch_template(template: Template) -> None:
    """Add the launch template of the machines."""
    given = [
        If(
            f"Has{name}",
            {part: Select(place, Split("=", Ref(name))) for place, part in enumerate(("Key", "Value"))},
            Ref("AWS::NoValue"),
        )
        for name in tags.PARAMETERS
    ]
    ours = [{"Key": STACK_TAG, "Value": Ref("AWS::StackId")}, *given]
    configured = [
        *ours,
        {
            "Key": CONFIGURATION_TAG,
            "Value": Sub("${Bucket}/${Role}", Bucket=names.BUCKET, Role=get(START_ROLE, Attribute.ROLE_ID)),
        },
    ]
    template.add_resource(
        LaunchTemplate(
            LogicalId.LAUNCH_TEMPLATE,
            Condition=CONDITION,
            TagSpecifications=[TagSpecifications(ResourceType="launch-template", Tags=ours)],
            LaunchTemplateData=LaunchTemplateData(
                ImageId=get(IMAGE, Attribute.IMAGE_ID),
                IamInstanceProfile=IamInstanceProfile(Arn=get(START_ROLE, Attribute.PROFILE_ARN)),
                SecurityGroupIds=[get(SECURITY_GROUP, Attribute.GROUP_ID)],
                MetadataOptions=MetadataOptions(
                    HttpEndpoint="enabled",
                    HttpTokens="required",
                    HttpPutResponseHopLimit=1,
                    # The machine finds its annex and its configuration there.
                    InstanceMetadataTags="enabled",
                ),
                BlockDeviceMappings=[
                    LaunchTemplateBlockDeviceMapping(
                        DeviceName=get(IMAGE, Attribute.ROOT_DEVICE),
                        Ebs=EBSBlockDevice(
                            Encrypted=True,
                            KmsKeyId=If("HasKmsKey", Ref(Parameter.KMS_KEY_ARN), EBS_KEY),
                            DeleteOnTermination=True,
                        ),
                    )
                ],
                # A machine without jobs shuts itself down, and must not go on costing its disk.
                InstanceInitiatedShutdownBehavior="terminate",
                # Not of spot requests: a launch on demand, which makes none, would fail by it. Source:
                # https://github.com/aws/karpenter-provider-aws/issues/5850
                TagSpecifications=[
                    TagSpecifications(ResourceType=kind, Tags=listed)
                    for kind, listed in (("instance", configured), ("volume", ours), ("network-interface", ours))
                ],
            ),
        )
    )


def add_policy(template: Template, lease_function: Function, connectivity_function: Function) -> None:
    """Add the policy for users of ``annex-bootstrap start``."""
    template.add_resource(
        ManagedPolicy(
            LogicalId.START_POLICY,
            Condition="MakesImageAndRoles",
            Path=ROLE_PATH,
            # Another description would replace the policy.
            Description="What annex-bootstrap start needs to start, see, extend and end annexes",
            PolicyDocument=names.made(
                document(_statements(GetAtt(lease_function, "Arn"), GetAtt(connectivity_function, "Arn")))
            ),
        )
    )


def add_role(template: Template) -> None:
    """Add the role that people without IAM users take: those whom a parameter names, within the account."""
    taking = {
        "Sid": "AssumedByUsers",
        "Effect": "Allow",
        "Principal": {"AWS": names.arn("iam", "root")},
        "Action": "sts:AssumeRole",
    }
    named = {"ArnLike": {"aws:PrincipalArn": Split(",", Ref(Parameter.USER_PRINCIPALS))}}
    limit = boundary_name(Holder.USERS, "${AWS::StackName}")
    with_code = named | {"Bool": {"aws:MultiFactorAuthPresent": "true"}}
    template.add_resource(
        Role(
            LogicalId.ANNEX_USER_ROLE,
            Condition="MakesUserRole",
            Path=Sub(stack_path("${AWS::StackName}")),
            Description="Assumed by users of annex-bootstrap start",
            MaxSessionDuration=LONGEST_SESSION,
            # That of the functions' roles would not let it start anything.
            PermissionsBoundary=If("HasBoundary", names.arn("iam", f"policy/{limit}"), Ref("AWS::NoValue")),
            ManagedPolicyArns=[Ref(LogicalId.START_POLICY)],
            AssumeRolePolicyDocument=document([{**taking, "Condition": If("NeedsUserMfa", with_code, named)}]),
        )
    )


def _statements(lease_function: GetAtt, connectivity_function: GetAtt) -> list[Statement]:
    # What reaches everywhere is limited by what is of one region: a launch template, a function, the stack's tag.
    rule, instance = names.arn("events", "rule/*"), names.anywhere_arn("ec2", "instance/*")
    ours = {"ArnEquals": {"ec2:InstanceProfile": get(START_ROLE, Attribute.PROFILE_ARN)}}
    return [
        allow("FindStack", "cloudformation: DescribeStacks", names.arn("cloudformation", "stack/${AWS::StackName}/*")),
        allow("CheckAndInvokeFunctions", "lambda: GetPolicy InvokeFunction", [lease_function, connectivity_function]),
        # Once each: nothing that is there is replaced, and no machine reads a second one.
        allow(
            "ConfigureMachines",
            "s3: PutObject",
            names.bucket_arn(f"/{MACHINES_PREFIX}*"),
            {"Null": {"s3:if-none-match": "false"}},
        ),
        allow("MakeAndReadLeases", "events: DeleteRule DescribeRule ListTargetsByRule PutRule", rule),
        allow("PutLeases", "events: PutTargets", names.anywhere_arn("events", "rule/*"), only_targets(lease_function)),
        deny(
            "KeepOtherRules",
            "events: DeleteRule PutRule PutTargets TagResource",
            [names.anywhere_arn("events", "rule/*/*"), names.anywhere_arn("events", f"rule/{sweep_rule_name('*')}")],
        ),
        *_fleets(instance),
        *policies.key_of_people(),
        # Where the lease function does not work, leases end by this.
        allow("EndMachines", "ec2: ModifyInstanceAttribute TerminateInstances", instance, ours | UNPROTECTING),
        allow(
            # Fleets, machines, volumes and network interfaces: these calls create nothing else that has tags.
            "TagOnCreation",
            "ec2: CreateTags",
            names.anywhere_arn("ec2", "*"),
            {"StringEquals": {"ec2:CreateAction": ["CreateFleet", "RunInstances"]}},
        ),
        allow(
            "PassMachineRole",
            "iam: PassRole",
            names.role_arn(names.START_ROLE),
            {"StringEquals": {"iam:PassedToService": PASSED_TO_EC2}},
        ),
        allow(
            "CreateSpotRole",
            "iam: CreateServiceLinkedRole",
            names.arn("iam", f"role/aws-service-role/{SPOT_SERVICE}/{SPOT_ROLE}"),
        ),
        allow(
            "SeeOffers",
            "ec2: DescribeFleets DescribeImages DescribeInstanceTypes DescribeInstances DescribeRouteTables"
            " DescribeSecurityGroups DescribeSpotFleetRequests DescribeSpotInstanceRequests DescribeSpotPriceHistory"
            " DescribeSubnets"
            " GetInstanceTypesFromInstanceRequirements; events: ListRuleNamesByTarget; pricing: GetProducts",
            "*",
        ),
        allow("ReadQuotas", "servicequotas: GetServiceQuota", names.anywhere_arn("servicequotas", "ec2/*")),
    ]


def _fleets(instance: Any) -> list[Statement]:
    """Return the statements by which every machine is of our launch template, and has an annex.

    CreateFleet starts machines with its caller's right to RunInstances.
    """
    launch_template = names.anywhere_arn("ec2", "launch-template/${Template}", Template=Ref(LogicalId.LAUNCH_TEMPLATE))
    subnet, volume, interface, spot = (
        names.anywhere_arn("ec2", f"{kind}/*")
        for kind in ("subnet", "volume", "network-interface", "spot-instances-request")
    )
    image = names.public_arn("image/${Image}", Image=get(IMAGE, Attribute.IMAGE_ID))
    group = names.anywhere_arn("ec2", "security-group/${Group}", Group=get(SECURITY_GROUP, Attribute.GROUP_ID))
    in_annex = {"Null": {f"aws:RequestTag/{ANNEX_TAG}": "false"}}
    # The second is that of a role's session. Nobody can be both, and no name of a user has a colon:
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-infotouse
    in_own_name = {"StringEquals": {f"aws:RequestTag/{STARTED_BY_TAG}": ["${aws:username}", "${aws:userid}"]}}
    by_template = {"ArnEquals": {"ec2:LaunchTemplate": launch_template}}
    return [
        # By these tags the lease function finds a fleet that replaces its machines, and a boundary the rule of a lease.
        allow(
            "FleetsAndLeasesOfAnnexes",
            "ec2: CreateFleet; events: TagResource",
            [names.anywhere_arn("ec2", "fleet/*"), names.anywhere_arn("events", "rule/*")],
            in_annex
            | {
                "StringEquals": {f"aws:RequestTag/{STACK_TAG}": Ref("AWS::StackId")},
                # Nor a rule of another stack.
                "StringEqualsIfExists": {f"aws:ResourceTag/{STACK_TAG}": Ref("AWS::StackId")},
            },
        ),
        allow("CreateMachines", "ec2: CreateFleet", instance, in_annex),
        allow("FleetsOfParts", "ec2: CreateFleet", [image, volume]),
        # A machine that RunInstances starts is of the launch template: RunMachines.
        allow("UseTemplate", "ec2: CreateFleet RunInstances", [launch_template, interface, subnet, spot]),
        # A fleet's overrides may name both. Where they do not, no document promises that EC2 knows here what the
        # template says, so a machine also starts where there is no value: the image itself demands tokens.
        allow(
            "RunMachines",
            "ec2: RunInstances",
            instance,
            policies.of_allowed_types(
                {
                    "ArnEquals": by_template["ArnEquals"],
                    "ArnEqualsIfExists": {"ec2:InstanceProfile": get(START_ROLE, Attribute.PROFILE_ARN)},
                    "StringEqualsIfExists": {"ec2:MetadataHttpTokens": "required"},
                    **in_annex,
                    **in_own_name,
                }
            ),
        ),
        # None may differ from what the template says. No key pair is among them, so there is none.
        allow(
            "RunOurParts",
            "ec2: RunInstances",
            [image, names.public_arn("snapshot/*"), volume, group],
            by_template | {"Bool": {"ec2:IsLaunchTemplateResource": "true"}},
        ),
    ]
