"""A stack that never existed: what its template's intrinsic functions give."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from annex_bootstrap.stack.resolve import resolve
from annex_contract.stack import Part
from custom_resources.image_parts import name_of
from local_aws.launcher import ACCOUNT, REGION
from template_gen.parameters import INPUTS, holding
from tests.template import template

TEMPLATE: dict[str, Any] = template()["Resources"]


def new_stack_id(name: str = "swept", partition: str = "aws") -> str:
    """Return the ARN of another stack of a name."""
    return f"arn:{partition}:cloudformation:{REGION}:{ACCOUNT}:stack/{name}/{uuid.uuid4()}"


def values_of(stack_id: str, parameters: Mapping[str, str], partition: str = "aws") -> dict[str, Any]:
    """Return what ``Ref`` and ``Fn::GetAtt`` give.

    Args:
        stack_id: the ARN of the stack.
        parameters: those that differ from their defaults.
        partition: of the stack.
    """
    chosen = {name: parameter.default for name, parameter in INPUTS.items()} | dict(parameters)
    lists = {
        name: str(chosen[name]).split(",")
        for name, given in INPUTS.items()
        if given.rest["Type"] == "CommaDelimitedList"
    }
    own = f"arn:{partition}:iam::{ACCOUNT}:"
    functions = [title for title, resource in TEMPLATE.items() if resource["Type"] == "AWS::Lambda::Function"]
    values = {
        **chosen,
        **lists,
        "AWS::Partition": partition,
        "AWS::Region": REGION,
        "AWS::AccountId": ACCOUNT,
        "AWS::URLSuffix": "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com",
        "AWS::StackId": stack_id,
        "AWS::StackName": stack_id.split("/")[1],
        "Bucket.BucketName": "pool-bucket",
        "InstanceRole.ProfileArn": f"{own}instance-profile/annex-bootstrap/pool",
        "InstanceRole.RoleArn": f"{own}role/annex-bootstrap/pool",
        "StartRole.ProfileArn": f"{own}instance-profile/annex-bootstrap/start",
        "StartRole.RoleId": "AROA0123456789ABCDEFG",
        "FleetRole.RoleArn": f"{own}role/annex-bootstrap/fleet",
        "SecurityGroup.VpcId": "vpc-0123456789abcdef0",
        **{f"{title}.Arn": f"arn:{partition}:lambda:{REGION}:{ACCOUNT}:function:{title}" for title in functions},
        **{Part.POLICY.of(title): "a-policy" for title in functions},
        **{f"{title}Logs.Arn": f"arn:{partition}:logs:{REGION}:{ACCOUNT}:log-group:{title}:*" for title in functions},
        "ImageBuilder.BaseImage": "ami-0deb13000000a0001",
        "ImageBuilder.CondorVersion": "23.9.6",
        "MachineImage.ImageId": "ami-0123456789abcdef0",
        "MachineImage.RootDeviceName": "/dev/xvda",
        "SecurityGroup.GroupId": "sg-0123456789abcdef0",
        "StartPolicy": f"{own}policy/annex-bootstrap/start",
        "LaunchTemplate": "lt-0123456789abcdef0",
    }
    builder = resolve(TEMPLATE["ImageBuilder"]["Properties"], values, conditions_of(parameters))
    return values | {"ImageBuilder": name_of(builder)}


def conditions_of(parameters: Mapping[str, str]) -> dict[str, bool]:
    """Return which conditions hold for parameters that differ from their defaults."""
    return holding(parameters)
