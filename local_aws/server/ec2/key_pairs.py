"""The resource type ``AWS::EC2::KeyPair``, which MiniStack's CloudFormation lacks.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ec2-keypair.html
"""

from __future__ import annotations

from typing import Any

from ministack.services import ec2, ssm
from ministack.services.cloudformation import provisioners

RESOURCE_TYPE = "AWS::EC2::KeyPair"
PARAMETER_PREFIX = "/ec2/keypair/"
"""CloudFormation keeps the private key in Parameter Store under this and the key pair's ID."""


def install() -> None:
    """Let stacks create and delete key pairs."""
    provisioners._RESOURCE_HANDLERS[RESOURCE_TYPE] = {"create": _create, "delete": _delete}


def _create(_logical_id: str, properties: dict[str, Any], _stack_name: str) -> tuple[str, dict[str, str]]:
    name = properties["KeyName"]
    status, _, body = ec2._create_key_pair({"KeyName": name})
    if status != 200:
        raise ValueError(body.decode())
    key_id = ec2._key_pairs[name]["KeyPairId"]
    ssm._put_parameter({"Name": PARAMETER_PREFIX + key_id, "Type": "SecureString", "Value": "a made-up private key"})
    return name, {"KeyPairId": key_id}


def _delete(physical_id: str, _properties: dict[str, Any]) -> None:
    pair = ec2._key_pairs.get(physical_id)
    if pair:
        ssm._delete_parameter({"Name": PARAMETER_PREFIX + pair["KeyPairId"]})
        ec2._delete_key_pair({"KeyName": physical_id})
