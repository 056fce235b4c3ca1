"""The stack's own machine image, made of the machine that its builder left stopped.

See ``custom_resources.image_builder`` for why these are two resources. An image requires IMDSv2, by a setting that
cannot be undone. Once it is ready the builder is terminated. Deleting it deletes its snapshots; machines that run from
it are not affected.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from annex_contract.image import BASE_TAG, CONDOR_TAG
from annex_contract.resources import IMAGE, Attribute, Property
from custom_resources.image_parts import find_image, find_images, find_machines, made_for, tags_of, terminate
from custom_resources.lifecycle import NotYetError, Request, ResourceError, client, error_code, looks, serve

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import ImageTypeDef, TagTypeDef

CLEAN_UP = 30.0
"""Seconds kept back for what comes after the image is ready."""

IMDS = "v2.0"


def put(request: Request) -> Mapping[str, str]:
    """Make the image of the stopped builder, wait until it is ready, and terminate the builder.

    Raises:
        ResourceError: there is no builder, or the image failed.
        ClientError: AWS refused a call.
    """
    ec2: EC2Client = client("ec2")
    image = find_image(ec2, request)
    image_id = _create(ec2, request) if image is None else image["ImageId"]
    image = _wait(ec2, request, image_id)
    if image.get("ImdsSupport") != IMDS:
        ec2.modify_image_attribute(ImageId=image_id, ImdsSupport={"Value": IMDS})
        image = _describe(ec2, image_id)
        if image.get("ImdsSupport") != IMDS:
            raise ResourceError(f"the image {image_id} does not keep the setting imdsSupport=v2.0; try again")
    terminate(ec2, request)
    return {Attribute.IMAGE_ID: image_id, Attribute.ROOT_DEVICE: image["RootDeviceName"]}


def delete(request: Request) -> str:
    """Deregister the image if this stack made it, and delete its snapshots.

    Raises:
        NotYetError: the image is still being made.
        ClientError: AWS refused a call.
    """
    ec2: EC2Client = client("ec2")
    for image in find_images(ec2, request):
        try:
            ec2.deregister_image(ImageId=image["ImageId"])
        except ClientError as error:
            if error_code(error) != "InvalidAMIID.Unavailable":
                raise
            if image["State"] == "pending":
                raise NotYetError(f"the image {image['ImageId']} is still being made") from error
            # Else it is deregistered already, and AWS still lists it.
    # By their tags, since an interrupted Delete may have left some behind without their image.
    pages = ec2.get_paginator("describe_snapshots").paginate(OwnerIds=["self"], Filters=made_for(request))
    for snapshot in [snapshot for page in pages for snapshot in page["Snapshots"]]:
        ec2.delete_snapshot(SnapshotId=snapshot["SnapshotId"])
    return ""


def _create(ec2: EC2Client, request: Request) -> str:
    base = request.properties[Property.BASE_IMAGE]
    machines = [each for each in find_machines(ec2, request, "stopped") if each["ImageId"] == base]
    if not machines:
        raise ResourceError("the builder is gone, and so there is nothing to make the image of; try again")
    if len(machines) > 1:
        found = ", ".join(each["InstanceId"] for each in machines)
        raise ResourceError(f"one machine is the builder, and these look like it: {found}; terminate all and try again")
    tags: list[TagTypeDef] = [
        *tags_of(request),
        {"Key": "Name", "Value": request.name},
        {"Key": BASE_TAG, "Value": base},
        {"Key": CONDOR_TAG, "Value": request.properties[Property.CONDOR_VERSION]},
    ]
    # The name is unique in an account and region, so a repeated call makes no second image.
    return ec2.create_image(
        InstanceId=machines[0]["InstanceId"],
        Name=request.name,
        Description="annex-bootstrap: HTCondor for the machines of annexes",
        TagSpecifications=[{"ResourceType": "image", "Tags": tags}, {"ResourceType": "snapshot", "Tags": tags}],
    )["ImageId"]


def _wait(ec2: EC2Client, request: Request, image_id: str) -> ImageTypeDef:
    for _ in looks(request.deadline - CLEAN_UP):
        image = _describe(ec2, image_id)
        if image["State"] == "available":
            return image
        if image["State"] != "pending":
            reason = image.get("StateReason", {}).get("Message", "AWS gives no reason")
            raise ResourceError(f"the image {image_id} is {image['State']}: {reason}")
    raise ResourceError(f"the image {image_id} is still pending, and a function may run no longer; try again")


def _describe(ec2: EC2Client, image_id: str) -> ImageTypeDef:
    return ec2.describe_images(ImageIds=[image_id])["Images"][0]


handler = serve(IMAGE.name_property, put, delete)
