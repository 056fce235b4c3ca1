"""The names in and around the stack that the template, the functions and the client share."""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum

DEFAULT_STACK_NAME = "annex-bootstrap"
TEMPLATE_NAME = "annex-bootstrap.template.json"

STACK_TAG = "annex-bootstrap:stack"
"""The tag that marks what a stack made; its value is the stack's ID. Design: ownership is written on the resource."""

ROLE_PATH = "/annex-bootstrap/"
"""The IAM path of the policies that stacks make, and the beginning of every other path."""


def stack_path(stack_name: str) -> str:
    """Return the IAM path of a stack's functions' roles and of its users: no other stack's path begins with it.

    Args:
        stack_name: the stack's name, or a reference to it.
    """
    return f"{ROLE_PATH}{stack_name}/"


def given_roles_id(account: str, region: str, stack_name: str) -> str:
    """Return what stands in the names of all that a stack has where an administrator made its roles.

    It is the value of the parameter ``GivenRoles``, and has the form of the part of a stack's ID that stands there
    elsewhere. It derives from what is known before there is a stack, and is another one for every stack.

    Args:
        account: the account ID, 12 digits.
        region: of the stack.
        stack_name: the stack's name.
    """
    digest = hashlib.sha256(f"{account}/{region}/{stack_name}".encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:20]}"


def given_role_name(title: str, roles: str) -> str:
    """Return the name of a function's role that an administrator made.

    Args:
        title: the logical ID that the role has in a stack that makes it.
        roles: the value of ``GivenRoles``, or a reference to it.
    """
    return f"annex-bootstrap-{title}-{roles}"


def given_policy_name(stack_name: str, title: str, roles: str) -> str:
    """Return the name of a policy for people that an administrator made.

    Args:
        stack_name: the stack's name, or a reference to it.
        title: the logical ID that the policy has in a stack that makes it.
        roles: the value of ``GivenRoles``, or a reference to it.
    """
    return f"{stack_name}-{title}-{roles}"


ANNEX_TAG = "htcondor:AnnexName"
"""The tag that condor_annex puts on the machines of an annex; its value is the annex ID."""

REQUEST_TAG = "annex-bootstrap:request"
"""The tag of machines with the ID of the request that started them: a fleet's client token is not its machines'."""

STARTED_BY_TAG = "annex-bootstrap:started-by"
"""The tag of machines with the name of the user or the session that started them."""

CONFIGURATION_TAG = "annex-bootstrap:configuration"
"""The tag of machines that ``start`` starts with the bucket in which each finds its configuration and the ID of their
role, with a slash between them. The launch template sets it, and so a machine knows by whom it was started."""

EC2_SERVICE = "ec2.amazonaws.com"
"""EC2 as a principal, the same in every partition; ``ec2.`` before a partition's own suffix is refused in the European
Sovereign Cloud: https://github.com/aws/aws-cdk/issues/22589 and https://github.com/pulumi/pulumi-eks/issues/2341"""

PASSED_TO_EC2 = ["ec2.amazonaws.com", "ec2.amazonaws.com.cn"]
"""How EC2 may be named where a role is passed to it. AWS's own AmazonEC2SpotFleetTaggingRole lists both:
https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AmazonEC2SpotFleetTaggingRole.html"""

SPOT_TAGGING_POLICY = "service-role/AmazonEC2SpotFleetTaggingRole"
"""AWS's managed policy for the spot fleets' role, which earlier versions attached to it:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-fleet-prerequisites.html"""

FLEET_TAG = "aws:ec2spot:fleet-request-id"
"""The tag that EC2 puts on the machines of a spot fleet. AWS's own AWSEC2SpotFleetServiceRolePolicy names it:
https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSEC2SpotFleetServiceRolePolicy.html"""

EC2_FLEET_TAG = "aws:ec2:fleet-id"
"""The tag that EC2 puts on the machines of an EC2 fleet. AWS's own EC2FleetTimeShiftableServiceRolePolicy names it:
https://docs.aws.amazon.com/aws-managed-policy/latest/reference/EC2FleetTimeShiftableServiceRolePolicy.html"""

SPOT_FLEET_SERVICE = "spotfleet.amazonaws.com"
"""The service that takes the spot fleets' role, the same in every partition; same source."""

SPOT_ROLE, SPOT_SERVICE = "AWSServiceRoleForEC2Spot", "spot.amazonaws.com"
"""The service-linked role for spot machines, and its service. A fleet of the type ``instant`` needs no other:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-fleet-prerequisites.html"""

SPOT_SERVICE_LINKED_ROLES = {
    SPOT_ROLE: SPOT_SERVICE,
    "AWSServiceRoleForEC2SpotFleet": SPOT_FLEET_SERVICE,
}
"""The roles without which EC2 refuses a spot fleet, and their services, the same in every partition; same source."""


LONGEST_STACK_NAME = 28
"""Characters of a stack's name. CloudFormation makes the names of our roles and functions of the stack's name, the
resource's logical ID and up to 13 more characters, and cuts the stack's name where that exceeds IAM's and Lambda's 64.
Every policy that is limited to our names begins with the whole stack's name. The longest logical ID has 21 characters:
64 - 21 - 13 - 2 hyphens. No document says so; the rule is in ``IdentifierUtils`` of
https://github.com/aws-cloudformation/cloudformation-cli-java-plugin, and https://github.com/KensioSoftware/yulin/pull/1113
saw it in a real account."""

_OF_RESOURCES = r"-[A-Za-z0-9]*(Function|FunctionLogs|ExecRole|UserRole|Alarm|AlarmTopic|Policy|SweepRule)(-|$)"
"""What the names of our resources have after the stack's name, and no stack's name has: a policy for the stack ``pool``
names ``pool-LeaseFunction-*``, and so would mean a stack ``pool-LeaseFunction-b``."""

STACK_NAME_PATTERN = rf"(?!.{{{LONGEST_STACK_NAME + 1}}})(?!.*{_OF_RESOURCES})[A-Za-z](-?[A-Za-z0-9])*"
"""A stack's name, for Python and JavaScript. CloudFormation itself allows more, but drops one of two hyphens in a row
where it makes names, which then do not begin with the stack's name and the hyphen that our policies name."""

STACK_NAME_RULE = (
    f"a stack's name starts with a letter and has at most {LONGEST_STACK_NAME} letters, digits and single hyphens, "
    "because AWS shortens longer names of roles and functions; and nothing after a hyphen ends like the name of a "
    "stack's resource, such as LeaseFunction, ExecRole, Alarm or Policy"
)

PARTITIONS = frozenset({"aws", "aws-us-gov"})
"""The partitions in which condor_annex finds AWS. It is told a region and adds ``amazonaws.com`` to it:
https://htcondor.readthedocs.io/en/latest/admin-manual/configuration-macros.html#ANNEX_DEFAULT_AWS_REGION"""


def stack_name_problem(name: str) -> str:
    """Return why a stack cannot have that name; nothing if it can.

    Args:
        name: of a stack that is to be created.
    """
    if re.fullmatch(STACK_NAME_PATTERN, name):
        return ""
    return f"{name!r} cannot be the name of a stack: {STACK_NAME_RULE}"


def partition_problem(partition: str) -> str:
    """Return why there can be no annexes in a partition; nothing if there can.

    Args:
        partition: such as ``aws-cn``.
    """
    if partition in PARTITIONS:
        return ""
    return (
        f"condor_annex cannot use the partition {partition}: it builds names such as "
        "ec2.<region>.amazonaws.com, which exist only in the commercial regions and in GovCloud"
    )


class Output(StrEnum):
    """The outputs of the stack."""

    S3_BUCKET_NAME = "S3BucketName"
    LEASE_FUNCTION_ARN = "LeaseFunctionARN"
    CONNECTIVITY_FUNCTION_ARN = "ConnectivityFunctionARN"
    INSTANCE_CONFIGURATION_PROFILE = "InstanceConfigurationProfile"
    INSTANCE_ROLE_ARN = "InstanceRoleARN"
    IAM_FLEET_ROLE_ARN = "IamFleetRoleARN"
    SECURITY_GROUP_ID = "SecurityGroupID"
    ANNEX_USER_POLICY_ARN = "AnnexUserPolicyARN"
    VERSION = "Version"
    KEY_PAIR_NAME = "KeyPairName"
    IMAGE_ID = "ImageId"
    INSTANCE_TYPE = "InstanceType"
    LAUNCH_TEMPLATE_ID = "LaunchTemplateId"
    LAUNCH_TEMPLATE_VERSION = "LaunchTemplateVersion"
    START_POLICY_ARN = "StartPolicyARN"
    START_INSTANCE_PROFILE = "StartInstanceProfile"
    START_ROLE_ID = "StartRoleId"
    ANNEX_USER_ROLE_ARN = "AnnexUserRoleARN"


class Parameter(StrEnum):
    """The parameters of the stack's template."""

    VPC_ID = "VpcId"
    SUBNET_IDS = "SubnetIds"
    CONNECTIVITY_VPC = "ConnectivityVpc"
    CONDOR_CIDRS = "CondorCidrs"
    SSH_CIDRS = "SshCidrs"
    CONDOR_PORT = "CondorPort"
    HTTP_PROXY = "HttpProxy"
    NO_PROXY = "NoProxy"
    IMAGE = "Image"
    INSTANCE_TYPE = "InstanceType"
    IMAGE_ARCHITECTURE = "ImageArchitecture"
    BASE_IMAGE = "BaseImage"
    IMAGE_REVISION = "ImageRevision"
    IMAGE_APT_SOURCE = "ImageAptSource"
    IMAGE_PACKAGES = "ImagePackages"
    IMAGE_COMMANDS = "ImageCommands"
    BOOT_COMMANDS = "BootCommands"
    BUILDER_TYPE = "BuilderType"
    IMAGE_IDS = "ImageIds"
    IMAGE_GPU = "ImageGpu"
    BUCKET_NAME = "BucketName"
    CONFIG_KEY_PATTERN = "ConfigKeyPattern"
    KMS_KEY_ARN = "KmsKeyArn"
    FLEET_ROLE_NAME = "FleetRoleName"
    PERMISSIONS_BOUNDARY_ARN = "PermissionsBoundaryArn"
    GIVEN_ROLES = "GivenRoles"
    USER_PRINCIPALS = "UserPrincipals"
    USER_MFA = "UserMfa"
    NOTIFICATION_EMAIL = "NotificationEmail"
    END_ORPHANS = "EndOrphans"
    MAX_LEASE_HOURS = "MaxLeaseHours"
    MAX_CORES = "MaxCores"
    INSTANCE_TYPES = "InstanceTypes"
    MAX_DOLLARS_PER_HOUR = "MaxDollarsPerHour"
    RESERVED_CONCURRENCY = "ReservedConcurrency"
    LOG_RETENTION_DAYS = "LogRetentionDays"
    KEY_PAIR = "KeyPair"
    TAG_1 = "Tag1"
    TAG_2 = "Tag2"
    TAG_3 = "Tag3"
    TAG_4 = "Tag4"
    TAG_5 = "Tag5"
    TAG_6 = "Tag6"


MARKING_PARAMETERS = frozenset({Parameter.CONDOR_CIDRS, Parameter.CONFIG_KEY_PATTERN})
"""Parameters that every version of our template has, and no other template has all of."""


class LogicalId(StrEnum):
    """The logical IDs of those resources that something besides the template refers to."""

    LEASE_FUNCTION = "LeaseFunction"
    CONNECTIVITY_FUNCTION = "ConnectivityFunction"
    LEASE_PERMISSION = "LeasePermission"
    SWEEP_RULE = "SweepRule"
    LEASE_ALARM = "LeaseAlarm"
    THROTTLE_ALARM = "ThrottleAlarm"
    SWEEP_ALARM = "SweepAlarm"
    SILENCE_ALARM = "SilenceAlarm"
    ALARM_TOPIC = "AlarmTopic"
    ANNEX_USER_POLICY = "AnnexUserPolicy"
    LAUNCH_TEMPLATE = "LaunchTemplate"
    START_POLICY = "StartPolicy"
    ANNEX_USER_ROLE = "AnnexUserRole"


class Part(StrEnum):
    """What stands beside a function in the stack: the end of its logical ID, after the function's.

    A role's stands in place of ``Function``: the whole would leave a stack's name only 24 characters.
    """

    ROLE = "ExecRole"
    POLICY = "Policy"
    LOGS = "Logs"
    NETWORK = "Network"
    ONCE = "Once"

    def of(self, function: str) -> str:
        """Return the logical ID of this part of a function.

        Args:
            function: the function's logical ID.
        """
        return f"{function.removesuffix('Function') if self is Part.ROLE else function}{self}"


def sweep_rule_name(stack_name: str) -> str:
    """Return the name of the rule that checks for orphans; given, so that nobody has to wait for the rule to read it.

    Args:
        stack_name: the stack's name, or a reference to it.
    """
    return f"{stack_name}-{LogicalId.SWEEP_RULE}"


def function_of(resource: str) -> str:
    """Return the logical ID of the function behind a custom resource.

    Args:
        resource: the custom resource's logical ID.
    """
    return f"{resource}Function"
