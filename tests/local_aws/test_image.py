"""The life of the stack's own image: made, rebuilt, rolled back, deleted, adopted; nothing is ever left over."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import boto3
import pytest

from annex_bootstrap.stack.read import find
from annex_contract.stack import Output
from local_aws.launcher import REGION
from local_aws.server_settings import MACHINES
from tests.local_aws import stack
from tests.local_aws.cli_user import CliUser, Result
from tests.local_aws.custom_resources.provider import Provider

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

OWN = "ami-0123456789abcdef0"
"""An image that the account did not make."""


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


@pytest.mark.slow
@pytest.mark.usefixtures("set_machines")
def test_a_new_account_on_the_free_plan_gets_its_image_once_aws_has_verified_it(
    root: boto3.Session,
    ec2: EC2Client,
    template: str,
    put_template: Callable[[str], str],
    set_account: Callable[..., None],
) -> None:
    set_account(free_plan=True, unverified_regions=[REGION])
    verified = threading.Timer(10, set_account, kwargs={"free_plan": True})
    verified.start()
    with stack.deployed(root, "images", put_template(template), {"Image": "yes"}):
        verified.join()
        (image,) = ec2.describe_images(Owners=["self"])["Images"]
        held = ec2.describe_instances(InstanceIds=[image["SourceInstanceId"]])["Reservations"][0]
        assert held["Instances"][0]["InstanceType"] == "t3.small"


BASE, NEWER = "ami-0deb13000000a0001", "ami-0deb13000000b0001"


@pytest.mark.slow
def test_a_newer_base_shows_in_the_preview_and_an_update_makes_the_new_image_before_deleting_the_old_one(
    deployer: CliUser, ec2: EC2Client, set_machines: Callable[..., None]
) -> None:
    first = deployed_image(deployer.must("deploy", "--yes", "--output", "json"))
    assert "is up to date" in deployer.must("deploy", "--yes").stdout
    shown = deployer.must("image", "status").stdout
    assert "HTCondor  23.9.6" in shown
    assert BASE in shown
    assert "Next:" not in shown

    set_machines(bases={"amd64": NEWER})
    assert f"Debian has a newer image, {NEWER}." in deployer.must("image", "status").stdout
    preview = deployer.must("deploy", "--dry-run").stdout
    assert "replaces the image's builder: BaseImage changes" in preview
    second = deployed_image(deployer.must("deploy", "--yes", "--output", "json"))
    assert [image["ImageId"] for image in ec2.describe_images(Owners=["self"])["Images"]] == [second] != [first]
    assert len(ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]) == 1

    third = deployed_image(deployer.must("image", "rebuild", "--yes", "--output", "json"))
    assert third != second
    config = deployer.config.read_text()
    assert f"us_east_1.ANNEX_DEFAULT_ODI_IMAGE_ID = {third}\n" in config
    assert "us_east_1.ANNEX_DEFAULT_ODI_INSTANCE_TYPE = m7i.large\n" in config

    deployer.must("deploy", "--yes", "--param", "Image=no")
    assert left_of_images(ec2) == []
    refused = deployer.run("image", "rebuild", "--yes")
    assert (refused.returncode, "does not make its image" in refused.stderr) == (1, True)


PROXY = "http://proxy.example.org:3128"


def test_a_proxy_with_a_password_is_refused_before_anything_is_made(deployer: CliUser, root: boto3.Session) -> None:
    refused = deployer.run("deploy", "--yes", "--param", "HttpProxy=http://me:secret@proxy.example.org:3128")
    assert refused.returncode == 2
    said = " ".join(refused.stderr.split())
    assert "type the URL of a proxy, such as http://proxy.example.org:3128, without user" in said
    assert find(root.client("cloudformation"), deployer.stack_name) is None


@pytest.mark.slow
@pytest.mark.usefixtures("set_machines")
def test_a_proxy_reaches_the_builder_and_what_machines_boot_with_and_another_one_makes_another_image(
    deployer: CliUser, ec2: EC2Client
) -> None:
    plain = deployed_image(deployer.must("deploy", "--yes", "--output", "json"))
    assert "Proxy" not in deployer.must("deploy", "--dry-run").stdout
    proxy = ("--param", f"HttpProxy={PROXY}", "--param", "NoProxy=.amazonaws.com")
    preview = deployer.must("deploy", "--dry-run", *proxy).stdout
    assert f"HttpProxy to {PROXY} (it is empty)" in preview
    assert "replaces the image's builder: HttpProxy and NoProxy change" in preview
    proxied = deployed_image(deployer.must("deploy", "--yes", "--output", "json", *proxy))
    assert proxied != plain
    (image,) = ec2.describe_images(ImageIds=[proxied])["Images"]
    asked = ec2.describe_instance_attribute(InstanceId=image["SourceInstanceId"], Attribute="userData")["UserData"]
    script = gzip.decompress(base64.b64decode(asked["Value"])).decode()
    assert f"\nexport https_proxy={PROXY}\n" in script
    assert "\nexport NO_PROXY=localhost,127.0.0.1,::1,169.254.169.254,fd00:ec2::254,.amazonaws.com\n" in script
    assert "put 644 /etc/systemd/system/annex-boot.service.d/annex-proxy.conf " in script
    # A later update keeps it.
    assert "is up to date" in deployer.must("deploy", "--yes").stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"outcome": "failure"}, "installing ImagePackages failed | E: Unable to locate package x"),
        ({"image": "failed"}, "is failed: Client error on launch (made up)"),
    ],
    ids=["the script", "the image"],
)
def test_an_update_that_fails_says_why_and_keeps_the_image_that_there_was(
    deployer: CliUser, ec2: EC2Client, set_machines: Callable[..., None], settings: dict[str, str], reason: str
) -> None:
    image_id = deployed_image(deployer.must("deploy", "--yes", "--output", "json"))
    before = left_of_images(ec2)
    set_machines(**settings)
    failed = deployer.run("deploy", "--yes", "--param", "ImagePackages=no-such-package")
    assert failed.returncode == 1
    assert reason in " ".join(failed.stderr.split())
    assert "UPDATE_ROLLBACK_COMPLETE" in deployer.must("status").stdout
    assert left_of_images(ec2) == before
    assert image_id in before


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [("silent", "shut down half-way; its console ends: "), ("never", "did not finish in time; its console ends: ")],
)
def test_a_builder_that_says_nothing_fails_and_is_terminated(
    provider: Provider, root: boto3.Session, ec2: EC2Client, outcome: str, reason: str
) -> None:
    given = {"Image": "yes"}
    provider.hold(provider.policies("ImageBuilder", given))
    says = json.dumps({"outcome": outcome, "seconds": 0})
    root.client("ssm").put_parameter(Name=MACHINES, Type="String", Overwrite=True, Value=says)
    answer = provider.send("Create", "ImageBuilder", given)
    assert answer is not None
    assert (answer.status, reason in answer.reason) == ("FAILED", True)
    assert "Unpacking condor (made up)" in answer.reason
    assert provider.clock.now > 60
    deleted = provider.send("Delete", "ImageBuilder", given, answer.physical_id)
    assert deleted is not None
    assert deleted.status == "SUCCESS"
    assert left_of_images(ec2) == []


@pytest.mark.usefixtures("set_machines")
def test_images_that_cannot_be_used_are_refused_before_anything_is_made(deployer: CliUser, ec2: EC2Client) -> None:
    missing = "ami-00000000000000000"
    for name in ("Image", "BaseImage"):
        refused = deployer.run("deploy", "--yes", "--param", f"{name}={missing}")
        assert (refused.returncode, f"{name}: there is no image {missing} in us-east-1" in refused.stderr) == (1, True)
    refused = deployer.run("deploy", "--yes", "--param", f"Image={OWN}", "--param", "ImageArchitecture=arm64")
    assert "is for x86_64, and ImageArchitecture is arm64" in refused.stderr
    assert deployer.run("status").stdout.startswith("There is no stack")

    made = deployed_image(deployer.must("deploy", "--yes", "--output", "json"))
    refused = deployer.run("deploy", "--yes", "--param", f"BaseImage={made}")
    assert f"BaseImage: a stack made the image {made}" in refused.stderr
    assert [image["ImageId"] for image in ec2.describe_images(Owners=["self"])["Images"]] == [made]


def test_a_creation_whose_builder_fails_leaves_nothing(
    deployer: CliUser, ec2: EC2Client, set_machines: Callable[..., None]
) -> None:
    # More than EC2 keeps of it.
    set_machines(outcome="failure", log="Unpacking condor (made up) ...\n" * 3000)
    failed = deployer.run("deploy", "--yes")
    assert "installing ImagePackages failed | E: Unable to locate package x" in " ".join(failed.stderr.split())
    assert left_of_images(ec2) == []


@pytest.mark.usefixtures("set_machines")
def test_an_image_of_the_user_s_is_used_and_never_touched(deployer: CliUser, ec2: EC2Client) -> None:
    before = ec2.describe_images(ImageIds=[OWN])["Images"]
    assert deployed_image(deployer.must("deploy", "--yes", "--output", "json", "--param", f"Image={OWN}")) == OWN
    assert "by you; the stack never touches it" in deployer.must("image", "status").stdout
    assert "machine image" not in deployer.must("delete", "--yes").stdout
    assert ec2.describe_images(ImageIds=[OWN])["Images"] == before


def deployed_image(ran: Result) -> str:
    """Return the image of the one stack that a command deployed."""
    (region,) = ran.document["result"]["regions"]
    return str(region["outputs"][Output.IMAGE_ID])
