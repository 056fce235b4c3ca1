"""Start annexes the way condor_annex does, and count their machines.

Source: the contract with HTCondor, "The life of an annex": rule, target, tarball, then tagged machines.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import boto3

from annex_contract.lease import MACHINE_RUNNING, TARBALL_PATTERN, TICK_RATE, Lease, annex_id_of
from annex_contract.stack import ANNEX_TAG, Output

InstanceType: TypeAlias = Literal["m5.large", "t3.medium", "t3.micro"]


@dataclass(frozen=True)
class Annex:
    """An annex that was started.

    Attributes:
        name: as the user typed it.
        annex_id: the name, cut; the name of its rule too.
        tarball: the key of its configuration in the bucket.
        instance_ids: its machines.
    """

    name: str
    annex_id: str
    tarball: str
    instance_ids: tuple[str, ...]


@dataclass(frozen=True)
class AnnexUser:
    """A user with the stack's annex user policy, who does what condor_annex does.

    Attributes:
        session: with that user's keys.
        outputs: of the stack, by name.
    """

    session: boto3.Session
    outputs: Mapping[str, str]

    def start(
        self, name: str, count: int, seconds: int, image_id: str, instance_type: InstanceType = "m5.large"
    ) -> Annex:
        """Start an on-demand annex.

        Args:
            name: of the annex.
            count: of machines.
            seconds: until the lease expires.
            image_id: of the machines.
            instance_type: of the machines.
        """
        annex_id = annex_id_of(name)
        tarball = TARBALL_PATTERN.replace("*", name)
        bucket = self.outputs[Output.S3_BUCKET_NAME]
        self.session.client("s3").put_object(Bucket=bucket, Key=tarball, Body=b"a made-up pool configuration")
        self.set_lease(annex_id, seconds, bucket)
        started = self.session.client("ec2").run_instances(
            ImageId=image_id,
            InstanceType=instance_type,
            MinCount=count,
            MaxCount=count,
            ClientToken=f"{annex_id}_{uuid.uuid4()}",
            IamInstanceProfile={"Arn": self.outputs[Output.INSTANCE_CONFIGURATION_PROFILE]},
            SecurityGroupIds=[self.outputs[Output.SECURITY_GROUP_ID]],
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": ANNEX_TAG, "Value": annex_id}]}],
        )
        return Annex(name, annex_id, tarball, tuple(instance["InstanceId"] for instance in started["Instances"]))

    def set_lease(self, annex_id: str, seconds: int, bucket: str = "") -> None:
        """Set or extend a lease. An extension names no bucket."""
        events = self.session.client("events")
        events.put_rule(Name=annex_id, ScheduleExpression=TICK_RATE, State="ENABLED")
        lease = Lease(annex_id, bucket, int(time.time()) + seconds)
        events.put_targets(
            Rule=annex_id,
            Targets=[
                {"Id": annex_id, "Arn": self.outputs[Output.LEASE_FUNCTION_ARN], "Input": json.dumps(lease.event())}
            ],
        )

    def running(self, annex: Annex) -> int:
        """Return how many machines of an annex are not terminated."""
        pages = (
            self.session.client("ec2")
            .get_paginator("describe_instances")
            .paginate(
                Filters=[
                    {"Name": f"tag:{ANNEX_TAG}", "Values": [annex.annex_id]},
                    {"Name": "instance-state-name", "Values": MACHINE_RUNNING},
                ]
            )
        )
        return sum(len(reservation["Instances"]) for page in pages for reservation in page["Reservations"])
