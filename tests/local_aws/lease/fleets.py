"""Requesting a spot fleet the way condor_annex does."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from annex_contract.stack import ANNEX_TAG, Output
from local_aws.demo.annexes import AnnexUser

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import SpotFleetLaunchSpecificationTypeDef, SpotFleetRequestConfigDataTypeDef


def request_fleet(user: AnnexUser, annex_id: str) -> str:
    """Request three machines for an annex, and return the request's ID."""
    launch: SpotFleetLaunchSpecificationTypeDef = {
        "ImageId": "ami-0123456789abcdef0",
        "InstanceType": "m5.large",
        "WeightedCapacity": 1.0,
        "IamInstanceProfile": {"Arn": user.outputs[Output.INSTANCE_CONFIGURATION_PROFILE]},
        "SecurityGroups": [{"GroupId": user.outputs[Output.SECURITY_GROUP_ID]}],
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": ANNEX_TAG, "Value": annex_id}]}],
    }
    config: SpotFleetRequestConfigDataTypeDef = {
        "ClientToken": f"{annex_id}_{uuid.uuid4()}",
        "IamFleetRole": user.outputs[Output.IAM_FLEET_ROLE_ARN],
        "SpotPrice": "0.10",
        "TargetCapacity": 3,
        "LaunchSpecifications": [launch],
    }
    requested = user.session.client("ec2").request_spot_fleet(SpotFleetRequestConfig=config)
    return requested["SpotFleetRequestId"]
