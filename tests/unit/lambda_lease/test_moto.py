"""The same against moto, to see that the account in memory is honest."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import boto3
import pytest

from lambda_lease import handler
from tests.lambda_context import CONTEXT
from tests.unit.lambda_lease.fake_aws import BUCKET, PROFILE, STACK_ID, UUID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_ec2 import EC2Client

IMAGE = "ami-12c6146b"


@pytest.fixture(autouse=True)
def _moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Loaded only where these tests run.
    from moto import mock_aws
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
    with mock_aws():
        path, name = PROFILE.partition("instance-profile")[2].rsplit("/", 1)
        boto3.client("iam").create_instance_profile(InstanceProfileName=name, Path=f"{path}/")
        handler._connect.cache_clear()
        yield
    handler._connect.cache_clear()


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
