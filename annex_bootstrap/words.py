"""What people call the parts of a stack, and what it costs to keep them. Only screens, pages and pictures show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from annex_contract.resources import (
    BUCKET,
    FLEET_ROLE,
    IMAGE,
    IMAGE_BUILDER,
    INSTANCE_ROLE,
    SECURITY_GROUP,
    START_ROLE,
)
from annex_contract.stack import LogicalId, Parameter

NOTHING = "Nothing"
"""The cost of what AWS does not charge for."""


@dataclass(frozen=True)
class Words:
    """The words for one type of resource.

    Attributes:
        summary: what it is, beside its number in a list of all resources.
        cost: what it costs to keep; where the resource is work, what that costs once.
        name: what a person calls the only one of its type in a sentence; empty where a stack has several.
    """

    summary: str
    cost: str = NOTHING
    name: str = ""

    @property
    def short_cost(self) -> str:
        """What it costs in the middle of a sentence, without the reason."""
        first, _, _ = self.cost.partition(",")
        return first[0].lower() + first[1:]


TYPES: Mapping[str, Words] = {
    "AWS::Lambda::Function": Words("functions", "Nothing while idle"),
    "AWS::IAM::Role": Words("roles, one for each function"),
    "AWS::IAM::RolePolicy": Words("policies, one for each of those roles"),
    "AWS::Lambda::EventInvokeConfig": Words("retry settings, one for each custom resource"),
    "AWS::Logs::LogGroup": Words("log groups, one for each function", "The stored bytes"),
    BUCKET.resource_type: Words(
        "private bucket for pool configurations", "The stored bytes: a few KB per annex", name="the bucket"
    ),
    INSTANCE_ROLE.resource_type: Words("role and instance profile for the machines", name="the machines' role"),
    START_ROLE.resource_type: Words("role and profile for machines of start", name="the role of start's machines"),
    FLEET_ROLE.resource_type: Words("role for spot fleets", name="the fleet role"),
    SECURITY_GROUP.resource_type: Words("security group for the machines", name="the security group"),
    IMAGE_BUILDER.resource_type: Words(
        "builder of the image",
        "About a cent per build, an estimate: a few minutes of a small instance",
        name="the image's builder",
    ),
    IMAGE.resource_type: Words(
        "machine image with HTCondor",
        "About $0.15 a month, an estimate: a snapshot of some 3 GB at $0.05 per GB-month",
        name="the image",
    ),
    "AWS::IAM::ManagedPolicy": Words("policy for those who start annexes"),
    "AWS::Lambda::Permission": Words("permission for leases to invoke the lease function"),
    "AWS::Events::Rule": Words("hourly check for machines without a lease"),
    "AWS::CloudWatch::Alarm": Words("alarms on the lease function", "Nothing: ten alarms are free in every account"),
    "AWS::SNS::Topic": Words("topic for the alarm's e-mail"),
    "AWS::EC2::KeyPair": Words("key pair for SSH"),
    "AWS::EC2::LaunchTemplate": Words("launch template for the machines"),
}
"""The words for every resource type of the template, in the order in which a list of all resources has them."""

SUMMARIES: Mapping[str, str] = {
    LogicalId.LEASE_FUNCTION: "lease function, which ends annexes whose time is up",
    LogicalId.CONNECTIVITY_FUNCTION: "function that checks whether machines can reach the pool",
    LogicalId.ANNEX_USER_POLICY: "policy for those who run annexes; nobody has it yet",
    "AnnexKeyPair": "SSH key pair",
}
"""What a single resource is whose type says too little, by its logical ID."""

MINUTES = 2
"""What creating everything but the image takes: roles and functions take seconds each, one after another."""

IMAGE_TIME = ", and 5 to 15 for the image"
"""Installing takes minutes, and so does making the image. Source:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/creating-an-ami-ebs.html"""

_BUILD, _KEEP = TYPES[IMAGE_BUILDER.resource_type].short_cost, TYPES[IMAGE.resource_type].short_cost
IMAGE_COSTS = f"{_BUILD} of the image, and {_KEEP} to keep it"
"""What the image costs in a sentence."""

SPOT_ROLES = "the account's two service-linked roles for spot"
"""What every stack uses and none deletes: other spot fleets of the account may need it."""

PORT = "machines' port {port} ({service}) to {who}"
EVERYONE = "everyone on the Internet ({ranges})"
NO_PORT = "no port of the machines"
"""What a stack opens: a line for each port that is open to somebody."""

EVERY_ADDRESS = ("0.0.0.0/0", "::/0")
"""The ranges that mean everyone."""


def is_everyone(ranges: str) -> bool:
    """Tell whether everyone on the Internet is among some CIDR ranges, with commas between them."""
    return any(part.strip() in EVERY_ADDRESS for part in ranges.split(","))


def open_ports(parameters: Mapping[str, str]) -> list[str]:
    """Return what a stack opens on its machines, a line for each port.

    Args:
        parameters: the values of all parameters.
    """
    services = (
        ("HTCondor", parameters[Parameter.CONDOR_PORT], Parameter.CONDOR_CIDRS),
        ("SSH", "22", Parameter.SSH_CIDRS),
    )
    lines = []
    for service, port, name in services:
        ranges = ", ".join(part.strip() for part in parameters[name].split(",") if part.strip())
        if ranges:
            who = EVERYONE.format(ranges=ranges) if is_everyone(ranges) else ranges
            lines.append(PORT.format(port=port, service=service, who=who))
    return lines or [NO_PORT]
