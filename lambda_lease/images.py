"""Leftovers of the stack's own image: builders that nobody waits for, and images and snapshots that nobody owns.

The custom resources clean up behind themselves; this is for a function that was killed, and for a Delete that
CloudFormation never sent. The stack owns the image whose name is the physical ID of its resource, once CloudFormation
is done with the stack.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from annex_contract.image import IMAGE_TAG
from annex_contract.lease import MACHINE_RUNNING
from annex_contract.resources import IMAGE
from annex_contract.stack import STACK_TAG
from annex_contract.statuses import State, read_status
from lambda_lease.annexes import Failure
from lambda_lease.compute import DENIED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef, TagTypeDef

    from lambda_lease.clients import Clients

ON_ITS_WAY = frozenset(
    {"InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "InvalidSnapshot.InUse", "InvalidSnapshot.NotFound"}
)
"""What EC2 answers while it still lists what is deregistered or deleted. Source:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html"""

BUILDER_SECONDS = 3600
"""How old a builder may be: building and making an image are two functions of 15 minutes."""


@dataclass
class Leftovers:
    """What was deleted.

    Attributes:
        builders: instance IDs.
        images: image IDs.
        snapshots: snapshot IDs.
        failures: what could not be deleted, and why.
    """

    builders: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    snapshots: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def delete_leftovers(clients: Clients, stack_id: str, now: float) -> Leftovers:
    """Terminate old builders, and delete images and snapshots that the stack made and no longer owns.

    Args:
        clients: the AWS clients.
        stack_id: the ARN of the stack.
        now: seconds since the epoch.

    Returns:
        What was deleted, with every failure; none is raised.
    """
    found = Leftovers()
    try:
        _delete_leftovers(clients, stack_id, now, found)
    except ClientError as error:
        found.failures.append(Failure("look for leftovers of images", error))
    return found


def _delete_leftovers(clients: Clients, stack_id: str, now: float, found: Leftovers) -> None:
    ours: list[FilterTypeDef] = [
        {"Name": f"tag:{STACK_TAG}", "Values": [stack_id]},
        {"Name": "tag-key", "Values": [IMAGE_TAG]},
    ]
    ec2 = clients.ec2

    def builders() -> Iterable[str]:
        return _old_builders(ec2, ours, stack_id, now - BUILDER_SECONDS)

    def images() -> dict[str, str]:
        listed = ec2.describe_images(Owners=["self"], Filters=ours)["Images"]
        return {image["ImageId"]: _name(image["Tags"]) for image in listed if _is_ours(image.get("Tags", []), stack_id)}

    def snapshots() -> dict[str, str]:
        pages = ec2.get_paginator("describe_snapshots").paginate(OwnerIds=["self"], Filters=ours)
        return {
            snapshot["SnapshotId"]: _name(snapshot["Tags"])
            for page in pages
            for snapshot in page["Snapshots"]
            if _is_ours(snapshot.get("Tags", []), stack_id)
        }

    for builder in builders():
        _delete(found, found.builders, builder, lambda id_: ec2.terminate_instances(InstanceIds=[id_]), builders)
    listed_images, listed_snapshots = images(), snapshots()
    if not listed_images and not listed_snapshots:
        return
    owned = _owned(clients, stack_id)
    if owned is None:
        return
    for image, name in listed_images.items():
        if name != owned:
            _delete(found, found.images, image, lambda id_: ec2.deregister_image(ImageId=id_), images)
    for snapshot, name in listed_snapshots.items():
        if name != owned:
            _delete(found, found.snapshots, snapshot, lambda id_: ec2.delete_snapshot(SnapshotId=id_), snapshots)


def _old_builders(ec2: EC2Client, ours: list[FilterTypeDef], stack_id: str, before: float) -> list[str]:
    states: list[FilterTypeDef] = [{"Name": "instance-state-name", "Values": list(MACHINE_RUNNING)}]
    pages = ec2.get_paginator("describe_instances").paginate(Filters=[*ours, *states])
    return [
        machine["InstanceId"]
        for page in pages
        for held in page["Reservations"]
        for machine in held["Instances"]
        # The filters are a pre-selection only.
        if _is_ours(machine.get("Tags", []), stack_id)
        and machine["LaunchTime"].timestamp() < before
        and machine["State"]["Name"] in MACHINE_RUNNING
    ]


def _owned(clients: Clients, stack_id: str) -> str | None:
    """Return the name of the image that the stack owns, empty for none; None while CloudFormation is at work on it."""
    stack = clients.cloudformation.describe_stacks(StackName=stack_id)["Stacks"][0]
    if read_status(stack["StackStatus"]).state is not State.DEPLOYED:
        return None
    try:
        detail = clients.cloudformation.describe_stack_resource(StackName=stack_id, LogicalResourceId=IMAGE.logical_id)[
            "StackResourceDetail"
        ]
    except ClientError as error:
        # "Resource MachineImage does not exist for stack ...": the stack makes no image.
        if error.response["Error"]["Code"] == "ValidationError":
            return ""
        raise
    return "" if detail["ResourceStatus"] == "DELETE_COMPLETE" else detail.get("PhysicalResourceId", "")


def _is_ours(tags: Iterable[TagTypeDef], stack_id: str) -> bool:
    values = {tag.get("Key"): tag.get("Value") for tag in tags}
    return values.get(STACK_TAG) == stack_id and IMAGE_TAG in values


def _name(tags: Iterable[TagTypeDef]) -> str:
    return next((tag.get("Value", "") for tag in tags if tag.get("Key") == IMAGE_TAG), "")


def _delete(
    found: Leftovers, deleted: list[str], id_: str, act: Callable[[str], object], find: Callable[[], Iterable[str]]
) -> None:
    try:
        act(id_)
    except ClientError as error:
        # What is gone already may still be listed, and a snapshot is in use until its image is gone: the next check
        # deletes what is left then. What somebody else has deleted since has no tags, by which it may be deleted.
        code = error.response.get("Error", {}).get("Code")
        if code not in ON_ITS_WAY and not (code == DENIED and id_ not in find()):
            found.failures.append(Failure(f"delete {id_}", error))
    else:
        deleted.append(id_)
