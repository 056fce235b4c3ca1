"""Images that are pending, deregistered, and still listed; their snapshots."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from local_aws.server_settings import MACHINES
from tests.local_aws.server.ec2_requests import refusal, run
from tests.local_aws.server.principals import Server

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


def make_image(server: Server, ec2: EC2Client, **settings: Any) -> tuple[str, str]:
    """Return the IDs of a new image and of its snapshot, in a region with such settings."""
    ssm = server.client("ssm", ec2.meta.region_name)
    value = json.dumps({"image_seconds": 0, **settings})
    ssm.put_parameter(Name=MACHINES, Type="String", Overwrite=True, Value=value)
    image = ec2.create_image(InstanceId=run(ec2)[0], Name=str(uuid.uuid4()))["ImageId"]
    (described,) = ec2.describe_images(ImageIds=[image])["Images"]
    return image, described["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]


def launch(ec2: EC2Client, image: str) -> None:
    """Start a machine from an image."""
    ec2.run_instances(ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1)


def test_an_image_is_deregistered_once_and_then_listed_no_more(server: Server, ec2: EC2Client) -> None:
    image, snapshot = make_image(server, ec2)
    launch(ec2, image)
    with pytest.raises(ClientError) as error:
        ec2.delete_snapshot(SnapshotId=snapshot)
    assert refusal(error) == "InvalidSnapshot.InUse"
    ec2.deregister_image(ImageId=image)
    assert ec2.describe_images(ImageIds=[image])["Images"] == []
    for call in (lambda: ec2.deregister_image(ImageId=image), lambda: launch(ec2, image)):
        with pytest.raises(ClientError) as error:
            call()
        assert refusal(error) == "InvalidAMIID.Unavailable"
    ec2.delete_snapshot(SnapshotId=snapshot)


def test_a_deregistered_image_may_be_listed_for_a_while_and_its_snapshot_in_use(server: Server, ec2: EC2Client) -> None:
    image, snapshot = make_image(server, ec2, deregistered_seconds=3600)
    ec2.create_tags(Resources=[image], Tags=[{"Key": "owner", "Value": "us"}])
    ec2.deregister_image(ImageId=image)
    (listed,) = ec2.describe_images(Owners=["self"])["Images"]
    assert (listed["ImageId"], listed["State"], listed["Tags"]) == (
        image,
        "available",
        [{"Key": "owner", "Value": "us"}],
    )
    with pytest.raises(ClientError) as error:
        ec2.deregister_image(ImageId=image)
    assert refusal(error) == "InvalidAMIID.Unavailable"
    with pytest.raises(ClientError) as error:
        ec2.delete_snapshot(SnapshotId=snapshot)
    assert refusal(error) == "InvalidSnapshot.InUse"


@pytest.mark.parametrize("can", [False, True])
def test_a_pending_image_starts_nothing_and_can_be_deregistered_or_not(
    server: Server, ec2: EC2Client, can: bool
) -> None:
    image, _ = make_image(server, ec2, image_seconds=3600, pending_images_deregister=can)
    with pytest.raises(ClientError) as error:
        launch(ec2, image)
    assert refusal(error) == "InvalidAMIID.Unavailable"
    if can:
        ec2.deregister_image(ImageId=image)
        return
    with pytest.raises(ClientError) as error:
        ec2.deregister_image(ImageId=image)
    assert refusal(error) == "InvalidAMIID.Unavailable"


def test_a_base_image_may_be_hidden_or_have_no_parameter(server: Server, ec2: EC2Client) -> None:
    base, name = "ami-0deb13000000a0001", "/aws/service/debian/release/13/latest/amd64"
    ssm = server.client("ssm", ec2.meta.region_name)
    assert ssm.get_parameter(Name=name)["Parameter"]["Value"] == base
    settings = json.dumps({"bases": {"amd64": ""}, "hidden_images": [base]})
    ssm.put_parameter(Name=MACHINES, Type="String", Overwrite=True, Value=settings)
    with pytest.raises(ClientError) as error:
        ssm.get_parameter(Name=name)
    assert refusal(error) == "ParameterNotFound"
    for call in (lambda: ec2.describe_images(ImageIds=[base]), lambda: launch(ec2, base)):
        with pytest.raises(ClientError) as error:
            call()
        assert refusal(error) == "InvalidAMIID.NotFound"
