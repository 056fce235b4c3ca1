"""The parameters of the stack: patterns, texts that say what to type, and groups for the console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import troposphere
from troposphere import And, AWSHelperFn, Equals, Not, Ref, Select, Split, Template
from troposphere import Condition as NamedCondition

from annex_contract import tags
from annex_contract.boundaries import Holder, boundary_name
from annex_contract.image import BUILDER_TYPES, IMAGE_NO, IMAGE_YES
from annex_contract.keys import KEY_PATTERN
from annex_contract.knobs import DEFAULT_PORT
from annex_contract.lease import TARBALL_PATTERN
from annex_contract.operating_system import SYSTEM
from annex_contract.stack import Parameter
from machine_image.user_data import COMMANDS_LIMIT, NO_PROXY_PATTERN, PROXY_PATTERN

V4_RANGE = r"(\d{1,3}\.){3}\d{1,3}/(\d|[12]\d|3[0-2])"
V6_RANGE = r"[0-9a-fA-F:]*:[0-9a-fA-F:.]*/(\d{1,2}|1[01]\d|12[0-8])"
CIDRS = rf"^(({V4_RANGE})|({V6_RANGE}))?$"

TYPE_NAME = r"^([a-z0-9-]+\.[a-z0-9-]+)?$"

_NOT_RESERVED = "|".join(
    "".join(f"[{letter}{letter.upper()}]" if letter.isalpha() else letter for letter in start)
    for start in tags.RESERVED
)
TAG = rf"(?!{tags.NAME}=|{_NOT_RESERVED})[A-Za-z0-9_+.:@-]{{1,128}}=[A-Za-z0-9_ +.:/@-]{{0,256}}"
"""A tag, as EC2, S3 and IAM take it, and as a machine's metadata shows it."""

TYPE_PATTERN = r"[a-z0-9*?-]+\.[a-z0-9*?-]+"

MOST_OF_TYPES = 64
"""Characters of all patterns of instance types: the policies for people have them, and there is little room."""

# A name with dots fails TLS on S3's virtual hosts, which is how condor_annex uploads.
BUCKET_NAME = r"^([a-z0-9][a-z0-9-]{1,61}[a-z0-9])?$"

# With a name after the path's first part: a * there would be everybody of the account.
PRINCIPAL = r"arn:aws[a-z-]*:iam::\d{12}:(user|role)/[\w+=.@-][\w+=.@/*-]*"

RETENTION_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653)
"""What CloudWatch Logs allows: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html"""


@dataclass(frozen=True)
class Input:
    """One parameter.

    Attributes:
        name: its name in the template.
        label: its name in the console.
        description: the text beside the field.
        default: its default value.
        rest: further properties of the Parameter.
    """

    name: Parameter
    label: str
    description: str
    default: str | int
    rest: Mapping[str, Any]


def _choice(name: Parameter, label: str, description: str) -> Input:
    return Input(name, label, description, "no", {"Type": "String", "AllowedValues": ["no", "yes"]})


def _text(name: Parameter, label: str, description: str, pattern: str, constraint: str, default: str = "") -> Input:
    rest = {"Type": "String", "AllowedPattern": pattern, "ConstraintDescription": constraint}
    return Input(name, label, description, default, rest)


def _shell(name: Parameter, label: str, description: str) -> Input:
    rest = {
        "Type": "String",
        "MaxLength": COMMANDS_LIMIT,
        "ConstraintDescription": f"Type at most {COMMANDS_LIMIT} characters of shell, or leave it empty.",
    }
    return Input(name, label, f"{description} Empty: none.", "", rest)


def _ids(name: Parameter, label: str, description: str, kind: str) -> Input:
    rest = {
        "Type": "CommaDelimitedList",
        "AllowedPattern": f"^({kind}-[0-9a-f]{{8,17}})?$",
        "ConstraintDescription": "Type IDs with commas between them, or leave it empty.",
    }
    return Input(name, label, description, "", rest)


def _ranges(name: Parameter, label: str, description: str) -> Input:
    rest = {
        "Type": "CommaDelimitedList",
        "AllowedPattern": CIDRS,
        "ConstraintDescription": "Type ranges such as 192.0.2.0/24,2001:db8::/32, or leave it empty to close the port.",
    }
    return Input(name, label, description, "0.0.0.0/0", rest)


GROUPS: Sequence[tuple[str, Sequence[Input]]] = (
    (
        "Network",
        (
            _text(
                Parameter.VPC_ID,
                "VPC",
                "The VPC that the machines run in. Empty: the region's default VPC, which on-demand annexes need.",
                r"^(vpc-[0-9a-f]{8,17})?$",
                "Type the ID of a VPC, such as vpc-0123456789abcdef0, or leave it empty.",
            ),
            _ids(
                Parameter.SUBNET_IDS,
                "Subnets",
                "The subnets for spot fleets and for building the image, all in the VPC above. They need a way out to "
                f"{SYSTEM.name}'s packages, by NAT or public addresses. Empty: all for fleets, the default ones for "
                "building.",
                "subnet",
            ),
            _choice(
                Parameter.CONNECTIVITY_VPC,
                "Connectivity check in the VPC",
                "Whether the function that checks whether AWS reaches the pool runs in the subnets above, for a pool "
                "that only a VPN or Direct Connect reaches. It needs these subnets.",
            ),
            _ranges(
                Parameter.CONDOR_CIDRS,
                "Allowed sources for HTCondor",
                "The CIDR ranges that may connect to the machines on HTCondor's port.",
            ),
            _ranges(
                Parameter.SSH_CIDRS,
                "Allowed sources for SSH",
                "The CIDR ranges that may connect to the machines over SSH (port 22).",
            ),
            Input(
                Parameter.CONDOR_PORT,
                "HTCondor port",
                "The port that HTCondor's daemons use on the machines.",
                DEFAULT_PORT,
                {
                    "Type": "Number",
                    "MinValue": 1,
                    "MaxValue": 65535,
                    "ConstraintDescription": "Type a port from 1 to 65535.",
                },
            ),
            _text(
                Parameter.HTTP_PROXY,
                "HTTP proxy",
                "The proxy through which the builder of the image, the machines that start from it, and their jobs "
                "reach others by HTTP and HTTPS. Another one makes another image. Empty: none.",
                f"^({PROXY_PATTERN})?$",
                "Type the URL of a proxy, such as http://proxy.example.org:3128, without user and password, which "
                "others could read here, or leave it empty.",
            ),
            _text(
                Parameter.NO_PROXY,
                "Without the proxy",
                "Hosts that are reached without that proxy: names, suffixes such as .amazonaws.com, and addresses, "
                "with commas between them. Empty: only the machine itself and its metadata.",
                f"^({NO_PROXY_PATTERN})?$",
                "Type hosts with commas and no blanks between them, such as .example.org,192.0.2.1, or leave it empty.",
            ),
        ),
    ),
    (
        "Machine image",
        (
            _text(
                Parameter.IMAGE,
                "Image",
                "The image that the machines start from. yes: one is made, with a maintained HTCondor; it takes 5 to "
                "15 minutes. no: HTCondor's own choice. The ID of an image of yours: it is used unchanged.",
                r"^(yes|no|ami-[0-9a-f]{8,17})$",
                "Type yes, no, or the ID of an image, such as ami-0123456789abcdef0.",
                default="yes",
            ),
            _text(
                Parameter.INSTANCE_TYPE,
                "Instance type",
                "The type of on-demand machines that start from the image. Empty: m7i.large, or m7g.large for arm64.",
                TYPE_NAME,
                "Type an instance type, such as m7i.large, or leave it empty.",
            ),
            Input(
                Parameter.IMAGE_ARCHITECTURE,
                "Architecture",
                "The architecture of the image: amd64, or arm64 for Graviton.",
                "amd64",
                {"Type": "String", "AllowedValues": list(SYSTEM.architectures)},
            ),
            _text(
                Parameter.BASE_IMAGE,
                "Base image",
                f"The image of {SYSTEM.release} to start from. Empty: the newest one, when the image is made.",
                r"^(ami-[0-9a-f]{8,17})?$",
                "Type the ID of an image, such as ami-0123456789abcdef0, or leave it empty.",
            ),
            _text(
                Parameter.IMAGE_REVISION,
                "Revision",
                "Any other text rebuilds the image from the same inputs.",
                r"^[A-Za-z0-9._:-]{0,64}$",
                "Type at most 64 letters, digits and ._:- or leave it empty.",
            ),
            _text(
                Parameter.IMAGE_APT_SOURCE,
                "Apt source",
                f"One more apt source, as a deb line, for packages of the image. Empty: {SYSTEM.name}'s packages only.",
                r"^(deb [ -~]+)?$",
                "Type a line that starts with deb, as in sources.list, or leave it empty.",
            ),
            Input(
                Parameter.IMAGE_PACKAGES,
                "Packages",
                f"{SYSTEM.name} packages to install in the image, such as docker.io. Empty: HTCondor and what it "
                "needs.",
                "",
                {
                    "Type": "CommaDelimitedList",
                    "AllowedPattern": r"^[a-z0-9+.=:~/_-]*$",
                    "ConstraintDescription": "Type names of packages with commas between them, or leave it empty.",
                },
            ),
            _shell(
                Parameter.IMAGE_COMMANDS,
                "Commands",
                "Lines of shell that root runs once, after the packages are installed.",
            ),
            _shell(
                Parameter.BOOT_COMMANDS,
                "Boot commands",
                "Lines of shell that root runs on every machine before HTCondor starts, such as a mount.",
            ),
            _text(
                Parameter.BUILDER_TYPE,
                "Builder's instance type",
                f"The type of the machine that makes the image. Empty: {BUILDER_TYPES['amd64']}, or "
                f"{BUILDER_TYPES['arm64']} for arm64; on AWS's free plan, one of the few types that it has.",
                TYPE_NAME,
                "Type an instance type, such as c7i.large, or leave it empty.",
            ),
            _ids(
                Parameter.IMAGE_IDS,
                "More images",
                "Private images of your account, or shared with it, that annex users may start machines from, beside "
                "the stack's own and every public one. Empty: none.",
                "ami",
            ),
            _choice(
                Parameter.IMAGE_GPU, "GPU driver", f"Whether the image gets {SYSTEM.name}'s driver for NVIDIA GPUs."
            ),
        ),
    ),
    (
        "Storage",
        (
            _text(
                Parameter.BUCKET_NAME,
                "Bucket",
                "The private bucket for pool configurations. Empty: a new bucket with a generated name. The name of an "
                "existing private bucket of yours: it is used unchanged. An unused name: a new bucket with that name.",
                BUCKET_NAME,
                "Type 3 to 63 lower-case letters, digits and hyphens (no dots), or leave it empty.",
            ),
            _text(
                Parameter.CONFIG_KEY_PATTERN,
                "Object key pattern",
                "The objects in the bucket that the machines may read.",
                r"^config-[A-Za-z0-9._/-]*\*[A-Za-z0-9._/-]*$",
                "Type a pattern that starts with config- and contains one *, such as config-*.tar.gz.",
                default=TARBALL_PATTERN,
            ),
            _text(
                Parameter.KMS_KEY_ARN,
                "Encryption key",
                "The key of KMS for all that the stack stores: machines' disks, the image, a new bucket, logs and the "
                "alarms' topic. Its policy must allow that: annex-bootstrap policy key. Empty: AWS's own keys.",
                f"^({KEY_PATTERN})?$",
                "Type the ARN of a key (not of an alias) in this region, or leave it empty.",
            ),
        ),
    ),
    (
        "Roles",
        (
            _text(
                Parameter.FLEET_ROLE_NAME,
                "Spot fleet role",
                "The role that spot fleets use. Empty: a new role. The name of an existing role: it is used unchanged.",
                r"^[\w+=,.@-]{0,64}$",
                "Type the name of a role (not its ARN) of at most 64 characters, or leave it empty.",
            ),
            _text(
                Parameter.PERMISSIONS_BOUNDARY_ARN,
                "Permissions boundary",
                "The managed policy that limits every role of this stack. Empty: no boundary.",
                r"^(arn:aws[a-z-]*:iam::(\d{12}|aws):policy/.+)?$",
                "Type the ARN of a managed policy, or leave it empty.",
            ),
            _text(
                Parameter.GIVEN_ROLES,
                "Roles of an administrator",
                "The roles that an administrator made of what annex-bootstrap policy roles prints: the output "
                "GivenRoles of their stack. Empty: this stack makes its roles. Only for a new stack.",
                r"^([0-9a-f]{8}-[0-9a-f]{12})?$",
                "Type the output GivenRoles of the administrator's stack, such as 0a1b2c3d-0123456789ab, or leave it "
                "empty.",
            ),
            _text(
                Parameter.USER_PRINCIPALS,
                "Users without IAM users",
                "Who of this account may take the role AnnexUserRole, and with it start machines: ARNs of users and "
                "roles with commas between them; * stands for any text, as in permission sets' names. Empty: no role.",
                f"^({PRINCIPAL}(,{PRINCIPAL})*)?$",
                "Type ARNs of users or roles with commas between them, such as "
                "arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/*/AWSReservedSSO_Research_*, or leave "
                "it empty.",
            ),
            _choice(
                Parameter.USER_MFA,
                "MFA for the role",
                "Whether AnnexUserRole is only for sessions that began with an MFA code, which IAM users have.",
            ),
        ),
    ),
    (
        "Tags",
        tuple(
            _text(
                name,
                f"Tag {number}",
                "A tag, KEY=VALUE, of all that the stack and its functions make and of the machines of annex-bootstrap "
                "start. Empty: none.",
                f"^({TAG})?$",
                "Type KEY=VALUE, such as cost-center=42, with letters, digits and + - . : _ @, in the value also "
                "blanks and slashes; no key that is Name or begins with aws:, annex-bootstrap: or htcondor:.",
            )
            for number, name in enumerate(tags.PARAMETERS, 1)
        ),
    ),
    (
        "Operations",
        (
            _text(
                Parameter.NOTIFICATION_EMAIL,
                "Notification e-mail",
                "The address to notify when an annex cannot be ended and keeps costing money. Empty: no one.",
                r"^([^@\s]+@[^@\s]+\.[^@\s]+)?$",
                "Type an e-mail address, or leave it empty.",
            ),
            _choice(
                Parameter.END_ORPHANS,
                "Terminate orphans",
                "Whether to terminate annex machines that no longer have a lease (yes) or only report them (no).",
            ),
            _text(
                Parameter.MAX_LEASE_HOURS,
                "Longest lease",
                "How many hours a machine may run. An hourly check ends those that run longer, whatever their lease "
                "says. Empty: as long as the lease says.",
                r"^([1-9]\d{0,3})?$",
                "Type hours from 1 to 9999, or leave it empty.",
            ),
            _text(
                Parameter.MAX_CORES,
                "Most cores",
                "How many cores (vCPUs) all machines of the stack may have together. An hourly check ends what is "
                "beyond, the newest machines first. Empty: no limit.",
                r"^([1-9]\d{0,5})?$",
                "Type a number of cores from 1 to 999999, or leave it empty.",
            ),
            Input(
                Parameter.INSTANCE_TYPES,
                "Instance types allowed",
                "The instance types that machines may have, as patterns with commas between them, such as "
                "c7i.*,m*.large. Empty: all.",
                "",
                {
                    "Type": "String",
                    "MaxLength": MOST_OF_TYPES,
                    "AllowedPattern": f"^({TYPE_PATTERN}(,{TYPE_PATTERN})*)?$",
                    "ConstraintDescription": "Type patterns such as c7i.*,m*.large with a point in each and at most "
                    f"{MOST_OF_TYPES} characters in all, without blanks, or leave it empty.",
                },
            ),
            _text(
                Parameter.MAX_DOLLARS_PER_HOUR,
                "Most dollars an hour",
                "What all machines of the stack may cost an hour together, by the prices of their types on demand; "
                "disks, addresses and traffic are not counted. An hourly check ends what is beyond, the newest "
                "machines first. Empty: no limit.",
                r"^(?=.*[1-9])\d{1,6}(\.\d{1,4})?$|^$",
                "Type dollars such as 5 or 0.50, or leave it empty.",
            ),
            _text(
                Parameter.RESERVED_CONCURRENCY,
                "Reserved concurrency",
                "How many concurrent executions of the account to reserve for the lease function. Empty: none.",
                r"^([1-9]\d{0,2})?$",
                "Type a number from 1 to 999, or leave it empty: new accounts have none to reserve.",
            ),
            Input(
                Parameter.LOG_RETENTION_DAYS,
                "Log retention",
                "How many days to keep the functions' logs.",
                30,
                {"Type": "Number", "AllowedValues": list(RETENTION_DAYS)},
            ),
            _choice(
                Parameter.KEY_PAIR,
                "SSH key pair",
                "Whether to create a key pair for SSH; its private key is stored in Parameter Store.",
            ),
        ),
    ),
)

INPUTS: Mapping[str, Input] = {given.name: given for _, inputs in GROUPS for given in inputs}


@dataclass(frozen=True)
class Condition:
    """A condition of the template, on one parameter.

    Attributes:
        parameter: its name.
        value: what it is compared with.
        equal: whether the condition is true when they are equal, or when they differ.
        within: whether to look for the value within the parameter instead.
    """

    parameter: Parameter
    value: str = ""
    equal: bool = False
    within: bool = False

    def holds(self, value: str) -> bool:
        """Tell whether it is true for a value of the parameter."""
        return (self.value in value if self.within else value == self.value) is self.equal

    @property
    def expression(self) -> AWSHelperFn:
        """The condition as the template has it."""
        ref = Ref(self.parameter)
        if self.within:
            # Where there is nothing to split at, the first part is the whole.
            whole = Equals(Select(0, Split(self.value, ref)), ref)
            return Not(whole) if self.equal else whole
        equal = Equals(ref, self.value)
        return equal if self.equal else Not(equal)


CONDITIONS: Mapping[str, Condition] = {
    **{f"Has{name}": Condition(name) for name in tags.PARAMETERS},
    "HasBucketName": Condition(Parameter.BUCKET_NAME),
    "HasVpcId": Condition(Parameter.VPC_ID),
    "HasConnectivityVpc": Condition(Parameter.CONNECTIVITY_VPC, "yes", equal=True),
    "HasFleetRoleName": Condition(Parameter.FLEET_ROLE_NAME),
    "HasBoundary": Condition(Parameter.PERMISSIONS_BOUNDARY_ARN),
    "HasOwnBoundary": Condition(
        Parameter.PERMISSIONS_BOUNDARY_ARN,
        boundary_name(Holder.ROLES, ""),
        equal=True,
        within=True,
    ),
    "HasEmail": Condition(Parameter.NOTIFICATION_EMAIL),
    "HasKmsKey": Condition(Parameter.KMS_KEY_ARN),
    "HasImage": Condition(Parameter.IMAGE, IMAGE_NO),
    "HasBuilderType": Condition(Parameter.BUILDER_TYPE),
    "HasInstanceType": Condition(Parameter.INSTANCE_TYPE),
    "HasMaxCores": Condition(Parameter.MAX_CORES),
    "HasInstanceTypes": Condition(Parameter.INSTANCE_TYPES),
    "HasMaxDollarsPerHour": Condition(Parameter.MAX_DOLLARS_PER_HOUR),
    "HasReservedConcurrency": Condition(Parameter.RESERVED_CONCURRENCY),
    "MakesImage": Condition(Parameter.IMAGE, IMAGE_YES, equal=True),
    "MakesRoles": Condition(Parameter.GIVEN_ROLES, equal=True),
    "MakesImageForArm": Condition(Parameter.IMAGE_ARCHITECTURE, "arm64", equal=True),
    "HasUserPrincipals": Condition(Parameter.USER_PRINCIPALS),
    "NeedsUserMfa": Condition(Parameter.USER_MFA, "yes", equal=True),
    "WantsKeyPair": Condition(Parameter.KEY_PAIR, "yes", equal=True),
}
"""The conditions of the template on one parameter, by name."""

ALL_OF: Mapping[str, tuple[str, ...]] = {
    "MakesConnectivityNetwork": ("HasConnectivityVpc", "MakesRoles"),
    "MakesImageAndRoles": ("MakesImage", "MakesRoles"),
    "HasUserRole": ("HasUserPrincipals", "MakesImage"),
    "MakesUserRole": ("HasUserPrincipals", "MakesImage", "MakesRoles"),
}
"""The conditions of the template that hold where others do, by name."""


def holding(values: Mapping[str, str]) -> dict[str, bool]:
    """Return which conditions hold.

    Args:
        values: of parameters, by name; others have their defaults.
    """
    found = {
        name: condition.holds(str(values.get(condition.parameter, INPUTS[condition.parameter].default)))
        for name, condition in CONDITIONS.items()
    }
    return found | {name: all(found[part] for part in parts) for name, parts in ALL_OF.items()}


def add_parameters(template: Template) -> None:
    """Add every parameter, the console's groups, and the conditions on parameters."""
    for given in INPUTS.values():
        template.add_parameter(
            troposphere.Parameter(given.name, Description=given.description, Default=given.default, **given.rest)
        )
    template.set_metadata(
        {
            "AWS::CloudFormation::Interface": {
                "ParameterGroups": [
                    {"Label": {"default": label}, "Parameters": [given.name for given in inputs]}
                    for label, inputs in GROUPS
                ],
                "ParameterLabels": {given.name: {"default": given.label} for given in INPUTS.values()},
            }
        }
    )
    for name, condition in CONDITIONS.items():
        template.add_condition(name, condition.expression)
    for name, parts in ALL_OF.items():
        template.add_condition(name, And(*(NamedCondition(part) for part in parts)))
