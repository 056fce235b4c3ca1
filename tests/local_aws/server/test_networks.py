"""Functions in a VPC: their network interfaces, and with whose rights these are made and deleted."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from annex_contract.iam import allow, document, trust
from docs_gen.permissions import policies
from tests.local_aws.server.ec2_requests import refusal
from tests.local_aws.server.principals import Server
from tests.stack_values import conditions_of, new_stack_id, values_of

REGION = "us-east-1"

CODE = """
import boto3

def handler(event, context):
    try:
        boto3.client("ec2").create_network_interface(SubnetId=event["subnet"])
    except Exception as error:
        return str(error)
    return "made"
"""


def network_rights() -> list[Any]:
    """Return the statements of the connectivity function's role that are for Lambda itself."""
    parameters = {"ConnectivityVpc": "yes"}
    listed = policies(values_of(new_stack_id(), parameters), conditions_of(parameters))["ConnectivityExecRole"]
    return [statement for statement in listed if "Network" in statement["Sid"]]


def template(name: str, subnets: list[str], statements: list[Any]) -> str:
    """Return the template of a function in subnets, with a group and a role of its own."""
    policy = {"PolicyName": "held", "PolicyDocument": document(statements)}
    return json.dumps(
        {
            "Resources": {
                "Group": {
                    "Type": "AWS::EC2::SecurityGroup",
                    "Properties": {"GroupName": name, "GroupDescription": "of the function"},
                },
                "Role": {
                    "Type": "AWS::IAM::Role",
                    "Properties": {
                        "AssumeRolePolicyDocument": document([trust("lambda.amazonaws.com")]),
                        "Policies": [policy],
                    },
                },
                "Function": {
                    "Type": "AWS::Lambda::Function",
                    "Properties": {
                        "FunctionName": name,
                        "Runtime": "python3.13",
                        "Handler": "index.handler",
                        "Timeout": 120,
                        "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                        "Code": {"ZipFile": CODE},
                        "VpcConfig": {
                            "SubnetIds": subnets,
                            "SecurityGroupIds": [{"Fn::GetAtt": ["Group", "GroupId"]}],
                        },
                    },
                },
            }
        }
    )


@pytest.fixture
def subnets(server: Server) -> list[str]:
    """Two subnets of the default VPC."""
    return [each["SubnetId"] for each in server.ec2(REGION).describe_subnets()["Subnets"]][:2]


@pytest.fixture
def create(server: Server) -> Callable[[str, str], str]:
    """Return a function that creates a stack, and returns why it failed; nothing where it is there."""
    cloudformation = server.client("cloudformation", REGION)

    def create(name: str, text: str) -> str:
        cloudformation.create_stack(StackName=name, TemplateBody=text, Capabilities=["CAPABILITY_IAM"])
        try:
            cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
        except WaiterError:
            events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
            return " ".join(each.get("ResourceStatusReason", "") for each in events)
        return ""

    return create


@pytest.mark.slow
def test_lambda_makes_interfaces_with_a_functions_role_and_the_code_of_the_function_does_not(
    server: Server, subnets: list[str], create: Callable[[str, str], str]
) -> None:
    name = f"vpc-{uuid.uuid4().hex[:8]}"
    ec2, cloudformation = server.ec2(REGION), server.client("cloudformation", REGION)
    assert create(name, template(name, subnets, network_rights())) == ""
    (group,) = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": [name]}])["SecurityGroups"]
    used: Any = [{"Name": "group-id", "Values": [group["GroupId"]]}]
    found = ec2.describe_network_interfaces(Filters=used)["NetworkInterfaces"]
    assert {each["SubnetId"] for each in found} == set(subnets)
    with pytest.raises(ClientError) as error:
        ec2.delete_security_group(GroupId=group["GroupId"])
    assert refusal(error) == "DependencyViolation"

    answer = server.client("lambda", REGION).invoke(
        FunctionName=name, Payload=json.dumps({"subnet": subnets[0]}).encode()
    )
    assert "UnauthorizedOperation" in json.loads(answer["Payload"].read())

    cloudformation.delete_stack(StackName=name)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    assert ec2.describe_network_interfaces(Filters=used)["NetworkInterfaces"] == []


@pytest.mark.slow
@pytest.mark.parametrize("lacking", ["ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface"])
def test_a_role_that_lacks_one_of_these_rights_is_refused(
    server: Server, subnets: list[str], create: Callable[[str, str], str], lacking: str
) -> None:
    name = f"vpc-{uuid.uuid4().hex[:8]}"
    rights = [action for statement in network_rights() for action in statement["Action"] if action != lacking]
    held = [allow("Some", f"ec2: {' '.join(each.partition(':')[2] for each in rights)}", "*")]
    why = create(name, template(name, subnets, held))
    action = lacking.partition(":")[2]
    assert f"The provided execution role does not have permissions to call {action} on EC2" in why
    left = server.ec2(REGION).describe_network_interfaces()["NetworkInterfaces"]
    assert not [each for each in left if name in each["Description"]]
    server.client("cloudformation", REGION).delete_stack(StackName=name)
