"""A stack that never stood: what its template's intrinsic functions give."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from local_aws.launcher import ACCOUNT, REGION
from template_gen.parameters import CONDITIONS, INPUTS
from template_gen.template import build

TEMPLATE: dict[str, Any] = build().to_dict()["Resources"]


def new_stack_id() -> str:
    """The ARN of another stack."""
    return f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/swept/{uuid.uuid4()}"


def values_of(stack_id: str, parameters: Mapping[str, str], partition: str = "aws") -> dict[str, Any]:
    """What ``Ref`` and ``Fn::GetAtt`` give.

    Args:
        stack_id: the ARN of the stack.
        parameters: those that differ from their defaults.
        partition: of the stack.
    """
    chosen = {name: each.default for name, each in INPUTS.items()} | dict(parameters)
    lists = {name: str(chosen[name]).split(",") for name in ("CondorCidrs", "SshCidrs")}
    own = f"arn:{partition}:iam::{ACCOUNT}:"
    functions = [title for title, each in TEMPLATE.items() if each["Type"] == "AWS::Lambda::Function"]
    return {
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
        "FleetRole.RoleArn": f"{own}role/annex-bootstrap/fleet",
        **{f"{title}.Arn": f"arn:{partition}:lambda:{REGION}:{ACCOUNT}:function:{title}" for title in functions},
        **{f"{title}Logs.Arn": f"arn:{partition}:logs:{REGION}:{ACCOUNT}:log-group:{title}:*" for title in functions},
    }


def conditions_of(parameters: Mapping[str, str]) -> dict[str, bool]:
    """Which conditions hold for parameters that differ from their defaults."""
    return {name: parameters.get(parameter, INPUTS[parameter].default) != "" for name, parameter in CONDITIONS.items()}
