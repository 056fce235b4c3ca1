"""Requesting a spot fleet the way condor_annex does."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from annex_contract.stack import ANNEX_TAG, Output
from local_aws.demo.annexes import AnnexUser, InstanceType

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import SpotFleetLaunchSpecificationTypeDef, SpotFleetRequestConfigDataTypeDef


def request_fleet(
    user: AnnexUser,
    annex_id: str,
    *,
    image_id: str = "ami-0123456789abcdef0",
    instance_type: InstanceType = "m5.large",
    capacity: int = 3,
    role: str = "",
    dry_run: bool = False,
) -> str:
    """Request machines for an annex, and return the request's ID.

    Args:
        user: who requests them.
        annex_id: of the annex.
        image_id: of the machines.
        instance_type: of the machines.
        capacity: how many.
        role: the fleet's role; by default the stack's.
        dry_run: whether only to ask whether it would be allowed.
    """
    launch: SpotFleetLaunchSpecificationTypeDef = {
        "ImageId": image_id,
        "InstanceType": instance_type,
        "WeightedCapacity": 1.0,
        "IamInstanceProfile": {"Arn": user.outputs[Output.INSTANCE_CONFIGURATION_PROFILE]},
        "SecurityGroups": [{"GroupId": user.outputs[Output.SECURITY_GROUP_ID]}],
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": ANNEX_TAG, "Value": annex_id}]}],
    }
    config: SpotFleetRequestConfigDataTypeDef = {
        "ClientToken": f"{annex_id}_{uuid.uuid4()}",
        "IamFleetRole": role or user.outputs[Output.IAM_FLEET_ROLE_ARN],
        "SpotPrice": "0.10",
        "TargetCapacity": capacity,
        "LaunchSpecifications": [launch],
    }
    requested = user.session.client("ec2").request_spot_fleet(SpotFleetRequestConfig=config, DryRun=dry_run)
    return requested["SpotFleetRequestId"]
