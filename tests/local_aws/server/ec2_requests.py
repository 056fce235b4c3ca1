"""Requests to EC2 as condor_annex sends them, and what comes back."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any, Literal

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import SpotFleetRequestConfigDataTypeDef


IMAGE = "ami-0123456789abcdef0"
SPOT_FLEET_TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "spotfleet.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)


def run(client: EC2Client, count: int = 1, token: str = "", **more: Any) -> list[str]:
    """Start machines as condor_annex does and return their IDs."""
    token = token or str(uuid.uuid4())
    reservation = client.run_instances(
        ImageId=IMAGE, InstanceType="t3.micro", MinCount=1, MaxCount=count, ClientToken=token, **more
    )
    return [instance["InstanceId"] for instance in reservation["Instances"]]


def found(client: EC2Client, *filters: tuple[str, str]) -> set[str]:
    """Return the IDs of the machines that pass these filters."""
    pages = client.get_paginator("describe_instances").paginate(
        Filters=[{"Name": name, "Values": [value]} for name, value in filters]
    )
    return {i["InstanceId"] for page in pages for r in page["Reservations"] for i in r["Instances"]}


def instance_tags(annex_id: str) -> list[Any]:
    """Return the TagSpecifications that condor_annex sends."""
    return [{"ResourceType": "instance", "Tags": [{"Key": "htcondor:AnnexName", "Value": annex_id}]}]


def group_tags(key: str, value: str) -> list[Any]:
    """Return the TagSpecifications of a security group."""
    return [{"ResourceType": "security-group", "Tags": [{"Key": key, "Value": value}]}]


def fleet(
    role: str, token: str = "", capacity: int = 3, kind: Literal["request", "maintain"] = "request"
) -> SpotFleetRequestConfigDataTypeDef:
    """Return a configuration as condor_annex sends one; a machine of its first specification weighs 2."""
    return {
        "IamFleetRole": role,
        "SpotPrice": "0.05",
        "TargetCapacity": capacity,
        "Type": kind,
        "ClientToken": token or str(uuid.uuid4()),
        "LaunchSpecifications": [
            {
                "ImageId": IMAGE,
                "InstanceType": "m5.large",
                "WeightedCapacity": 2.0,
                "TagSpecifications": instance_tags("spot"),
            },
            {"ImageId": IMAGE, "InstanceType": "c5.large"},
        ],
    }


def refusal(error: pytest.ExceptionInfo[ClientError]) -> str:
    """Return the error code that AWS would send."""
    return error.value.response["Error"]["Code"]
