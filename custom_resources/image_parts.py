"""What the image and its builder look for in each other: by tags, so that no ID has to be remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annex_contract.image import IMAGE_TAG
from annex_contract.stack import STACK_TAG
from custom_resources.lifecycle import NotYetError, Request

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef, ImageTypeDef, InstanceTypeDef, TagTypeDef

RUNNABLE = ("pending", "running", "stopping", "stopped")
"""The states of a machine that is not terminated."""


def tags_of(request: Request) -> list[TagTypeDef]:
    """Return the tags of everything that is made for one image."""
    return [{"Key": STACK_TAG, "Value": request.stack_id}, {"Key": IMAGE_TAG, "Value": request.name}]


def made_for(request: Request) -> list[FilterTypeDef]:
    """Return the filters that show what was made for one image."""
    return [
        {"Name": f"tag:{STACK_TAG}", "Values": [request.stack_id]},
        {"Name": f"tag:{IMAGE_TAG}", "Values": [request.name]},
    ]


def find_image(ec2: EC2Client, request: Request) -> ImageTypeDef | None:
    """Return the image, or None; it may not be ready, or have failed."""
    images = ec2.describe_images(Owners=["self"], Filters=made_for(request))["Images"]
    return images[0] if images else None


def find_machines(ec2: EC2Client, request: Request, *states: str) -> list[InstanceTypeDef]:
    """Return the builders of one image that are in one of these states."""
    filters: list[FilterTypeDef] = [{"Name": "instance-state-name", "Values": list(states)}]
    pages = ec2.get_paginator("describe_instances").paginate(Filters=[*made_for(request), *filters])
    return [machine for page in pages for held in page["Reservations"] for machine in held["Instances"]]


def terminate(ec2: EC2Client, request: Request) -> None:
    """Terminate the builders of one image; their volumes go with them."""
    running = [machine["InstanceId"] for machine in find_machines(ec2, request, *RUNNABLE)]
    if running:
        ec2.terminate_instances(InstanceIds=running)


def check_terminated(ec2: EC2Client, request: Request) -> None:
    """Check that no builder shuts down any more.

    Raises:
        NotYetError: one does.
    """
    for machine in find_machines(ec2, request, "shutting-down", *RUNNABLE):
        raise NotYetError(f"the builder {machine['InstanceId']} has not ended yet; delete the stack again")
