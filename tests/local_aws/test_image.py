"""The life of the stack's own image: made, made anew, rolled back, deleted, adopted; nothing is ever left over."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from annex_contract.stack import Output
from local_aws.server_settings import MACHINES
from tests.local_aws import stack

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

OWN = "ami-0123456789abcdef0"
"""An image that the account did not make."""


@pytest.fixture
def set_machines(root: boto3.Session) -> Iterator[Callable[..., None]]:
    """Return a function that says what becomes of machines and images from now on."""
    ssm = root.client("ssm")

    def put(**settings: Any) -> None:
        ssm.put_parameter(Name=MACHINES, Type="String", Overwrite=True, Value=json.dumps(settings))

    put()
    yield put
    ssm.delete_parameter(Name=MACHINES)


@pytest.fixture
def ec2(root: boto3.Session) -> EC2Client:
    """EC2 as root sees it."""
    return root.client("ec2")


def left_of_images(ec2: EC2Client) -> list[str]:
    """Every image, snapshot, live builder and volume with a tag of ours, and every group of a builder."""
    machines = ec2.describe_instances(Filters=[{"Name": "tag-key", "Values": ["annex-bootstrap:image"]}])
    return [
        *(image["ImageId"] for image in ec2.describe_images(Owners=["self"])["Images"]),
        *(snapshot["SnapshotId"] for snapshot in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]),
        *(
            machine["InstanceId"]
            for held in machines["Reservations"]
            for machine in held["Instances"]
            if machine["State"]["Name"] != "terminated"
        ),
        *(
            group["GroupName"]
            for group in ec2.describe_security_groups()["SecurityGroups"]
            if group["GroupName"].startswith("annex-bootstrap-image-")
        ),
    ]


@pytest.mark.usefixtures("set_machines")
def test_a_stack_makes_its_image_and_deletes_it_with_its_snapshot(
    root: boto3.Session, ec2: EC2Client, template: str, put_template: Callable[[str], str]
) -> None:
    with stack.deployed(root, "images", put_template(template), {"Image": "yes"}) as made:
        (image,) = ec2.describe_images(ImageIds=[made.outputs[Output.IMAGE_ID]])["Images"]
        assert (image["State"], image["ImdsSupport"], image["Architecture"]) == ("available", "v2.0", "x86_64")
        tags = {tag["Key"]: tag["Value"] for tag in image["Tags"]}
        assert tags["annex-bootstrap:stack"] == made.stack_id
        assert tags["annex-bootstrap:base"] == "ami-0deb13000000a0001"
        assert tags["annex-bootstrap:htcondor"].startswith("23.9.6")
        assert made.outputs[Output.INSTANCE_TYPE] == "m7i.large"
        # The builder is gone: an image, its snapshot and the builder's closed group are left.
        assert [name[:4] for name in left_of_images(ec2)] == ["ami-", "snap", "anne"]
    assert left_of_images(ec2) == []
