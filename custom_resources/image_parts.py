"""What the image and its builder look for in each other: by tags, so that no ID has to be remembered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from annex_contract.image import IMAGE_TAG
from annex_contract.keys import EBS_KEY
from annex_contract.lease import MACHINE_ENDED, MACHINE_ENDING, MACHINE_RUNNING
from annex_contract.resources import Property
from annex_contract.stack import STACK_TAG, Output
from custom_resources.lifecycle import NotYetError, Request, client

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef, ImageTypeDef, InstanceTypeDef, TagTypeDef


MACHINE_STATES = (*MACHINE_RUNNING, *MACHINE_ENDED)

CONTENT = (
    Property.ARCHITECTURE,
    Property.BASE_IMAGE,
    Property.REVISION,
    Property.APT_SOURCE,
    Property.PACKAGES,
    Property.COMMANDS,
    Property.BOOT_COMMANDS,
    Property.GPU,
    Property.RECIPE,
)
"""The properties that affect what is in the image. A key of one's own and a proxy do so too; AWS's key and no proxy do
not: images were made before there was a choice."""


def name_of(properties: Mapping[str, Any]) -> str:
    """Return the name of a build: with other contents, another one."""
    key = properties.get(Property.KMS_KEY, EBS_KEY)
    proxy = [properties.get(name, "") for name in (Property.HTTP_PROXY, Property.NO_PROXY)]
    more = [*([key] if key != EBS_KEY else []), *(proxy if any(proxy) else [])]
    content = json.dumps([properties.get(name, "") for name in CONTENT] + more)
    return f"{properties[Property.IMAGE_NAME]}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def tags_of(request: Request) -> list[TagTypeDef]:
    """Return the tags of everything that is made for one image."""
    marked = replace(request, marks={IMAGE_TAG: request.name})
    return [{"Key": tag["Key"], "Value": tag["Value"]} for tag in marked.tags]


def made_for(request: Request) -> list[FilterTypeDef]:
    """Return the filters that show what was made for one image."""
    return [
        {"Name": f"tag:{STACK_TAG}", "Values": [request.stack_id]},
        {"Name": f"tag:{IMAGE_TAG}", "Values": [request.name]},
    ]


def find_images(ec2: EC2Client, request: Request) -> list[ImageTypeDef]:
    """Return all images with the tags of one build, whoever made them: what may be deleted."""
    return ec2.describe_images(Owners=["self"], Filters=made_for(request))["Images"]


def find_image(ec2: EC2Client, request: Request) -> ImageTypeDef | None:
    """Return the image that this stack made, or None; it may not be ready, or have failed.

    Others may give an image the tags, before this stack makes its own. So it counts only if it was made of the builder,
    or, since EC2 forgets a machine after an hour, if the stack already puts it out. ``SourceInstanceId`` is set by EC2:
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Image.html
    """
    images = find_images(ec2, request)
    if not images:
        return None
    builders = {machine["InstanceId"] for machine in find_machines(ec2, request, *MACHINE_STATES)}
    made = [image for image in images if image.get("SourceInstanceId") in builders]
    if not made:
        put_out = _put_out(request)
        made = [image for image in images if image["ImageId"] == put_out]
    return made[0] if made else None


def _put_out(request: Request) -> str:
    """Return the ID of the image that the stack had when its last operation ended: its output."""
    cloudformation: CloudFormationClient = client("cloudformation")
    (stack,) = cloudformation.describe_stacks(StackName=request.stack_id)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    return outputs.get(Output.IMAGE_ID, "")


def find_machines(ec2: EC2Client, request: Request, *states: str) -> list[InstanceTypeDef]:
    """Return the builders of one image that are in one of these states.

    Others may give a machine the tags. A builder is alone in a group of its own, and has no instance profile.
    """
    filters: list[FilterTypeDef] = [{"Name": "instance-state-name", "Values": list(states)}]
    pages = ec2.get_paginator("describe_instances").paginate(Filters=[*made_for(request), *filters])
    return [
        machine
        for page in pages
        for held in page["Reservations"]
        for machine in held["Instances"]
        if "IamInstanceProfile" not in machine
        and [group.get("GroupName") for group in machine["SecurityGroups"]] == [request.name]
    ]


def terminate(ec2: EC2Client, request: Request) -> None:
    """Terminate the builders of one image; their volumes go with them."""
    running = [machine["InstanceId"] for machine in find_machines(ec2, request, *MACHINE_RUNNING)]
    if running:
        ec2.terminate_instances(InstanceIds=running)


def check_terminated(ec2: EC2Client, request: Request) -> None:
    """Check that no builder shuts down any more.

    Raises:
        NotYetError: one does.
    """
    for machine in find_machines(ec2, request, MACHINE_ENDING, *MACHINE_RUNNING):
        raise NotYetError(f"the builder {machine['InstanceId']} has not ended yet; delete the stack again")
