"""The connectivity function in the stack's subnets, on the local AWS with IAM enforced."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from annex_contract.stack import Output
from tests.local_aws.cli_user import CliUser

pytestmark = pytest.mark.slow

ASKING = {"timeout": 1, "condor_host": "169.254.169.254", "condor_port": 9618}


def interfaces_of(root: boto3.Session, group: str) -> list[Any]:
    """Return the network interfaces that have a security group."""
    found = root.client("ec2").describe_network_interfaces(Filters=[{"Name": "group-id", "Values": [group]}])
    return list(found["NetworkInterfaces"])


def outputs_of(root: boto3.Session, name: str) -> dict[str, str]:
    """Return a stack's outputs."""
    (stack,) = root.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def test_the_connectivity_function_moves_into_the_subnets_out_and_in_again_and_leaves_nothing(
    root: boto3.Session, deployer: CliUser, set_account: Callable[..., None]
) -> None:
    name = deployer.stack_name
    set_account(caller_rights=True)
    functions, iam = root.client("lambda"), root.client("iam")
    subnets = [each["SubnetId"] for each in root.client("ec2").describe_subnets()["Subnets"]][:2]
    deploy = ("deploy", "--yes", "--no-pull", "--param")

    refused = deployer.run(*deploy, "Image=no", "--param", "ConnectivityVpc=yes")
    assert refused.returncode
    assert "ConnectivityVpc=yes needs the subnets" in " ".join(refused.stderr.split())
    assert name not in {each["StackName"] for each in root.client("cloudformation").describe_stacks()["Stacks"]}

    deployer.must(*deploy, "Image=no", "--param", "ConnectivityVpc=yes", "--param", f"SubnetIds={','.join(subnets)}")
    outputs = outputs_of(root, name)
    group, function = outputs[Output.SECURITY_GROUP_ID], outputs[Output.CONNECTIVITY_FUNCTION_ARN]
    assert {each["SubnetId"] for each in interfaces_of(root, group)} == set(subnets)
    role = functions.get_function_configuration(FunctionName=function)["Role"].rpartition("/")[2]
    assert "network" in iam.list_role_policies(RoleName=role)["PolicyNames"]
    answer = functions.invoke(FunctionName=function, Payload=json.dumps(ASKING).encode())
    assert "Correct COLLECTOR_HOST" in json.loads(answer["Payload"].read())["description"]

    shown = deployer.must(*deploy, "ConnectivityVpc=no").stdout
    assert "replaces ConnectivityFunction" in shown
    assert interfaces_of(root, group) == []
    assert iam.list_role_policies(RoleName=role)["PolicyNames"] == ["function"]
    assert outputs_of(root, name)[Output.CONNECTIVITY_FUNCTION_ARN] != function

    deployer.must(*deploy, "ConnectivityVpc=yes", "--param", f"SubnetIds={subnets[0]}")
    assert [each["SubnetId"] for each in interfaces_of(root, group)] == subnets[:1]
    assert outputs_of(root, name)[Output.CONNECTIVITY_FUNCTION_ARN] == function

    deployer.must("delete", "--yes")
    assert interfaces_of(root, group) == []
