"""The same against moto, to see that the account in memory is honest."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from lambda_lease import handler, images, sweeper
from lambda_lease.clients import Clients
from lambda_lease.settings import Settings
from tests.lambda_context import CONTEXT
from tests.unit.lambda_lease.fake_aws import BUCKET, PROFILE, STACK_ID, UUID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from moto.ec2.models.instances import Instance
    from mypy_boto3_ec2 import EC2Client

IMAGE = "ami-12c6146b"


@pytest.fixture(autouse=True)
def _moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Loaded only where these tests run.
    from moto import mock_aws
    from moto.ec2.models.instances import Instance
    from moto.ec2.utils import filter_dict_attribute_mapping

    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "BUCKET_NAME": BUCKET,
        "INSTANCE_PROFILE_ARN": PROFILE,
        "STACK_ID": STACK_ID,
        "AWS_LAMBDA_FUNCTION_NAME": "lease",
    }.items():
        monkeypatch.setenv(name, value)
    # moto refuses this filter; so it takes it, without wildcards, and finds machines by their tags.
    monkeypatch.setitem(filter_dict_attribute_mapping, "client-token", "client_token")
    # It knows no filter by profiles either.
    monkeypatch.setattr(Instance, "profile_arn", property(profile_of), raising=False)
    monkeypatch.setitem(filter_dict_attribute_mapping, "iam-instance-profile.arn", "profile_arn")
    with mock_aws():
        path, name = PROFILE.partition("instance-profile")[2].rsplit("/", 1)
        boto3.client("iam").create_instance_profile(InstanceProfileName=name, Path=f"{path}/")
        handler._connect.cache_clear()
        yield
    handler._connect.cache_clear()


def profile_of(instance: Instance) -> str:
    association = instance.ec2_backend.iam_instance_profile_associations.get(instance.id)
    return association.iam_instance_profile.arn if association else ""


def start(ec2: EC2Client, annex_id: str, count: int) -> list[str]:
    answer = ec2.run_instances(
        ImageId=IMAGE,
        MinCount=count,
        MaxCount=count,
        IamInstanceProfile={"Arn": PROFILE},
        ClientToken=f"{annex_id}_{UUID}",
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "htcondor:AnnexName", "Value": annex_id}]}],
    )
    ids = [instance["InstanceId"] for instance in answer["Instances"]]
    # moto gives the profile to the first machine only.
    for instance_id in ids[1:]:
        ec2.associate_iam_instance_profile(InstanceId=instance_id, IamInstanceProfile={"Arn": PROFILE})
    return ids


def states(ec2: EC2Client, ids: list[str]) -> set[str]:
    reservations = ec2.describe_instances(InstanceIds=ids)["Reservations"]
    return {instance["State"]["Name"] for found in reservations for instance in found["Instances"]}


def put_annex(annex_id: str) -> dict[str, object]:
    event: dict[str, object] = {
        "AnnexID": annex_id,
        "S3BucketName": "",
        "LeaseExpiration": int(time.time()) - 1,
    }
    events, s3 = boto3.client("events"), boto3.client("s3")
    events.put_rule(Name=annex_id, ScheduleExpression="rate(5 minutes)")
    arn = "arn:aws:lambda:us-east-1:123456789012:function:lease"
    events.put_targets(Rule=annex_id, Targets=[{"Id": annex_id, "Arn": arn, "Input": json.dumps(event)}])
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key=f"config-{annex_id}.tar.gz", Body=b"made up")
    return event


def test_an_on_demand_annex_is_ended_and_one_of_a_similar_name_keeps_running() -> None:
    ec2 = boto3.client("ec2")
    event = put_annex("test")
    mine, other = start(ec2, "test", 260), start(ec2, "test_b", 2)

    first = handler.handler(event, CONTEXT)
    second = handler.handler(event, CONTEXT)

    assert (first["machines_ended"], first["tarballs_deleted"], first["rule_removed"]) == (260, 1, False)
    assert second["rule_removed"] is True
    assert states(ec2, mine) == {"terminated"}
    assert states(ec2, other) == {"running"}
    assert boto3.client("events").list_rules()["Rules"] == []
    assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket=BUCKET)


def test_a_protected_machine_ends_with_the_others() -> None:
    ec2 = boto3.client("ec2")
    event = put_annex("test")
    machines = start(ec2, "test", 5)
    ec2.modify_instance_attribute(InstanceId=machines[2], DisableApiTermination={"Value": True})
    assert handler.handler(event, CONTEXT)["machines_ended"] == len(machines)
    assert states(ec2, machines) == {"terminated"}


def test_a_spot_annex_is_ended_with_its_fleet() -> None:
    ec2 = boto3.client("ec2")
    event = put_annex("test")
    fleets = [
        ec2.request_spot_fleet(
            SpotFleetRequestConfig={
                "ClientToken": f"{annex_id}_{UUID}",
                "IamFleetRole": "arn:aws:iam::123456789012:role/fleet",
                "AllocationStrategy": "lowestPrice",
                "SpotPrice": "1",
                "TargetCapacity": 2,
                "LaunchSpecifications": [
                    {
                        "ImageId": IMAGE,
                        "InstanceType": "t2.small",
                        "IamInstanceProfile": {"Arn": PROFILE},
                        "TagSpecifications": [
                            {
                                "ResourceType": "instance",
                                "Tags": [{"Key": "htcondor:AnnexName", "Value": annex_id}],
                            }
                        ],
                    }
                ],
            }
        )["SpotFleetRequestId"]
        for annex_id in ("test", "test2")
    ]
    assert handler.handler(event, CONTEXT)["fleets_cancelled"] == 1
    handler.handler(event, CONTEXT)
    left = ec2.describe_spot_fleet_requests()["SpotFleetRequestConfigs"]
    assert [request["SpotFleetRequestId"] for request in left] == fleets[1:]
    assert boto3.client("events").list_rules()["Rules"] == []


def test_a_sweep_ends_the_machines_of_annexes_without_a_rule_and_no_others() -> None:
    ec2 = boto3.client("ec2")
    put_annex("leased")
    leased, orphan = start(ec2, "leased", 1), start(ec2, "gone", 2)
    foreign = ec2.run_instances(
        ImageId=IMAGE,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "htcondor:AnnexName", "Value": "gone"}]}],
    )["Instances"]
    settings = Settings.from_environ({**os.environ, "END_ORPHANS": "yes"})

    early = sweeper.sweep(Clients(), settings, time.time())
    late = sweeper.sweep(Clients(), settings, time.time() + sweeper.GRACE_SECONDS + 60)

    assert (early.machines, early.machines_ended) == ((), 0)
    assert {machine.id for machine in late.machines} == set(orphan)
    assert (late.machines_ended, late.failures) == (2, ())
    assert states(ec2, orphan) == {"terminated"}
    assert states(ec2, [*leased, foreign[0]["InstanceId"]]) == {"running"}


def test_a_sweep_deletes_old_builders_and_images_that_the_stack_does_not_own() -> None:
    ec2 = boto3.client("ec2")
    template = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})
    stack_id = boto3.client("cloudformation").create_stack(StackName="pool", TemplateBody=template)["StackId"]
    tags: dict[str, Any] = {
        owner: [
            {"Key": "annex-bootstrap:stack", "Value": owner},
            {"Key": "annex-bootstrap:image", "Value": "annex-bootstrap-image"},
        ]
        for owner in (stack_id, STACK_ID)
    }
    builder, other = (
        ec2.run_instances(
            ImageId=IMAGE,
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": each}],
        )["Instances"][0]["InstanceId"]
        for each in tags.values()
    )
    own, foreign = (
        ec2.create_image(
            InstanceId=builder,
            Name=f"image {number}",
            TagSpecifications=[{"ResourceType": "image", "Tags": each}],
        )["ImageId"]
        for number, each in enumerate(tags.values())
    )

    early = images.delete_leftovers(Clients(), stack_id, time.time())
    late = images.delete_leftovers(Clients(), stack_id, time.time() + images.BUILDER_SECONDS + 60)

    assert (early.builders, early.images, early.failures) == ([], [own], [])
    assert (late.builders, late.images, late.failures) == ([builder], [], [])
    assert states(ec2, [other]) == {"running"}
    assert [image["ImageId"] for image in ec2.describe_images(Owners=["self"])["Images"]] == [foreign]
