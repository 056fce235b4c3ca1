"""``annex-bootstrap fleet-config`` under the policy that ``policy operator`` prints."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from annex_bootstrap.policies.operator import operator_policy
from annex_contract.stack import ANNEX_TAG, Output
from local_aws.launcher import ACCOUNT, REGION, Credentials
from tests.local_aws.cli_user import CliUser
from tests.local_aws.stack import DeployedStack, deployed

pytestmark = pytest.mark.slow

IMAGE = "ami-0c2023a1b2c3d4e5f"


def fleet(operator: CliUser, *arguments: str) -> dict[str, Any]:
    operator.must("fleet-config", "--image", IMAGE, *arguments)
    config: dict[str, Any] = json.loads((operator.home / ".condor" / f"annex-fleet-{REGION}.json").read_text())
    return config


def types(config: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(specification["InstanceType"] for specification in config["LaunchSpecifications"]))


def subnets(config: dict[str, Any]) -> set[str]:
    return {specification["SubnetId"] for specification in config["LaunchSpecifications"]}


def test_current_spot_types_are_chosen_cheapest_slot_first(operator: CliUser) -> None:
    assert types(fleet(operator)) == [
        "c7i.4xlarge",
        "c7i.large",
        "c7i.xlarge",
        "m7i.2xlarge",
        "m7i.large",
        "r7i.large",
        "x8i.large",
    ]


def test_every_value_of_a_launch_specification_is_a_string(operator: CliUser, shared_stack: DeployedStack) -> None:
    config = fleet(operator, "--types", "c7i.large")
    assert len(config) <= 11
    assert config["IamFleetRole"] == shared_stack.outputs[Output.IAM_FLEET_ROLE_ARN]
    assert config["SpotPrice"] == "0.0447"
    first = config["LaunchSpecifications"][0]
    assert first.pop("IamInstanceProfile") == {"Arn": shared_stack.outputs[Output.INSTANCE_CONFIGURATION_PROFILE]}
    assert first.pop("SecurityGroups") == [{"GroupId": shared_stack.outputs[Output.SECURITY_GROUP_ID]}]
    assert first.pop("SubnetId").startswith("subnet-")
    assert first == {
        "ImageId": IMAGE,
        "InstanceType": "c7i.large",
        "WeightedCapacity": "2",
        "SpotPrice": "0.0447",
    }


def test_a_bigger_slot_fits_fewer_times_and_costs_more(operator: CliUser) -> None:
    (specification, *_) = fleet(operator, "--types", "m7i.large", "--memory", "5GiB")["LaunchSpecifications"]
    assert (specification["WeightedCapacity"], specification["SpotPrice"]) == ("1", "0.1008")


def test_a_type_is_only_placed_in_zones_that_offer_it(operator: CliUser, root: boto3.Session) -> None:
    zones = {
        subnet["SubnetId"]: subnet["AvailabilityZone"] for subnet in root.client("ec2").describe_subnets()["Subnets"]
    }
    specifications = fleet(operator, "--types", "c7i.4xlarge,c7i.large")["LaunchSpecifications"]
    seen = {
        name: {
            zones[specification["SubnetId"]]
            for specification in specifications
            if specification["InstanceType"] == name
        }
        for name in types({"LaunchSpecifications": specifications})
    }
    assert seen["c7i.4xlarge"] == {f"{REGION}a", f"{REGION}b"} & set(zones.values())
    assert seen["c7i.large"] == {f"{REGION}a", f"{REGION}b", f"{REGION}c"} & set(zones.values())


def test_types_can_be_included_and_excluded(operator: CliUser) -> None:
    assert types(fleet(operator, "--types", "c7i.*", "--exclude", "*.xlarge,*metal*")) == ["c7i.4xlarge", "c7i.large"]
    assert types(fleet(operator, "--types", "t3.*")) == ["t3.medium"]


def test_a_given_price_is_the_bid_for_every_type(operator: CliUser) -> None:
    config = fleet(operator, "--max-price", "0.02")
    assert {config["SpotPrice"], *(specification["SpotPrice"] for specification in config["LaunchSpecifications"])} == {
        "0.02"
    }


def test_the_file_is_named_in_the_configuration_by_both_names(operator: CliUser) -> None:
    fleet(operator)
    path = operator.home / ".condor" / f"annex-fleet-{REGION}.json"
    written = operator.config.read_text()
    assert f"\nus_east_1.ANNEX_DEFAULT_SFR_CONFIG_FILE = {path}\n" in written
    assert f"\nANNEX_DEFAULT_SPOT_FLEET_CONFIG_FILE = {path}\n" in written


def test_aws_accepts_the_fleet_and_starts_as_many_machines_as_slots_need(
    operator: CliUser, root: boto3.Session
) -> None:
    config: Any = fleet(operator, "--types", "c7i.xlarge")
    for specification in config["LaunchSpecifications"]:
        specification["WeightedCapacity"] = float(specification["WeightedCapacity"])
        specification["TagSpecifications"] = [
            {"ResourceType": "instance", "Tags": [{"Key": ANNEX_TAG, "Value": "fleet-config"}]}
        ]
    ec2 = root.client("ec2")
    config |= {"TargetCapacity": 8, "ClientToken": f"fleet-config_{uuid.uuid4()}"}
    fleet_id = ec2.request_spot_fleet(SpotFleetRequestConfig=config)["SpotFleetRequestId"]
    try:
        active = ec2.describe_spot_fleet_instances(SpotFleetRequestId=fleet_id)["ActiveInstances"]
        assert [instance["InstanceType"] for instance in active] == ["c7i.xlarge"] * 2
    finally:
        ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[fleet_id], TerminateInstances=True)


def test_an_image_is_found_by_its_name_among_trusted_owners_only(operator: CliUser) -> None:
    found = operator.must("fleet-config", "--image-name", "al2023-ami-*").stdout
    assert f"Image    {IMAGE}" in found
    strangers = operator.run("fleet-config", "--image-name", "ubuntu/images/*")
    assert strangers.returncode == 1
    assert "--image-owner" in strangers.stderr
    assert (
        "ami-0123456789abcdef0"
        in operator.must("fleet-config", "--image-name", "ubuntu/images/*", "--image-owner", "099720109477").stdout
    )


def test_the_table_is_available_as_json(operator: CliUser) -> None:
    rows = operator.must("fleet-config", "--image", IMAGE, "--types", "c7i.large", "--output", "json").document[
        "result"
    ]["offered_types"]
    assert [(row["instance_type"], row["slots"], row["dollars_per_slot_hour"]) for row in rows] == [
        ("c7i.large", 2, 0.0447)
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--image", IMAGE, "--cpus", "500"), "no current x86_64 spot instance type"),
        (("--image", IMAGE, "--arch", "arm64"), "give --arch x86_64"),
        (("--image", IMAGE, "--subnet", "subnet-00000000000000000"), "give --subnet one of the VPC"),
        (("--image", IMAGE, "--memory", "2 apples"), "is not a memory size: type one such as 2G"),
        ((), "has no image: give --image or --image-name, or run annex-bootstrap deploy --param Image=yes"),
        (("--image", IMAGE, "--image-name", "x-*"), "give either --image or --image-name, or neither"),
    ],
)
def test_an_impossible_request_is_explained_and_nothing_is_written(
    operator: CliUser, arguments: tuple[str, ...], says: str
) -> None:
    refused = operator.run("fleet-config", *arguments)
    assert refused.returncode != 0
    assert says in refused.stderr
    assert not operator.config.exists()


def test_without_permission_to_read_prices_it_asks_for_one(
    operator: CliUser, new_user: Callable[[str], Credentials]
) -> None:
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": ["cloudformation:DescribeStacks", "ec2:Describe*"], "Resource": "*"}
        ],
    }
    poor = CliUser(operator.local, new_user(json.dumps(policy)), operator.home)
    refused = poor.run("fleet-config", "--image", IMAGE)
    assert refused.returncode == 1
    assert "pricing:GetProducts" in refused.stderr
    assert "--max-price" in refused.stderr
    assert "unknown" in poor.must("fleet-config", "--image", IMAGE, "--max-price", "0.05").stdout


def test_without_a_choice_of_subnets_the_fleet_keeps_to_those_of_the_stack(
    operator: CliUser,
    root: boto3.Session,
    template: str,
    put_template: Callable[[str], str],
    new_user: Callable[[str], Credentials],
) -> None:
    name = f"test-{uuid.uuid4().hex[:8]}"
    described = root.client("ec2").describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]
    first, second, third, *_ = sorted(subnet["SubnetId"] for subnet in described)
    granted = json.dumps(operator_policy("aws", ACCOUNT, name))
    user = CliUser(operator.local, new_user(granted), operator.home, name)
    with deployed(root, name, put_template(template), {"SubnetIds": f"{first}, {second}"}):
        assert subnets(fleet(user, "--types", "c7i.large")) == {first, second}
        assert subnets(fleet(user, "--types", "c7i.large", "--subnet", third)) == {third}
        findings = user.run("doctor", "--output", "json").document["result"]["findings"]
        (seen,) = [finding for finding in findings if finding["id"] == "subnets"]
        assert seen["level"] == "OK"
        assert seen["detail"].startswith(f"{first}: everything by igw-")


def test_a_network_without_a_way_out_is_judged_by_its_endpoints(
    operator: CliUser,
    root: boto3.Session,
    template: str,
    put_template: Callable[[str], str],
    new_user: Callable[[str], Credentials],
) -> None:
    ec2, name = root.client("ec2"), f"test-{uuid.uuid4().hex[:8]}"
    vpc = ec2.create_vpc(CidrBlock="10.41.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.41.1.0/24")["Subnet"]["SubnetId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    service = f"com.amazonaws.{REGION}"
    gateway = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=f"{service}.s3", RouteTableIds=[table])["VpcEndpoint"]
    user = CliUser(operator.local, new_user(json.dumps(operator_policy("aws", ACCOUNT, name))), operator.home, name)

    def judged() -> tuple[str, str, str]:
        findings = user.run("doctor", "--output", "json").document["result"]["findings"]
        (seen,) = [finding for finding in findings if finding["id"] == "subnets"]
        return seen["level"], seen["detail"], seen["advice"]

    with deployed(root, name, put_template(template), {"SubnetIds": subnet, "VpcId": vpc, "Image": "no"}):
        level, detail, advice = judged()
        assert (level, detail) == ("PROBLEM", f"{subnet}: only S3 by {gateway['VpcEndpointId']}")
        assert advice.startswith("machines need EC2, S3 and the pool's port: add a NAT gateway")
        interface = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=f"{service}.ec2", VpcEndpointType="Interface")
        named = f"EC2 by {interface['VpcEndpoint']['VpcEndpointId']}"
        level, detail, advice = judged()
        assert (level, detail) == ("SKIPPED", f"{subnet}: only {named}, S3 by {gateway['VpcEndpointId']}")
        assert advice == "ask who runs the network whether the pool's port is among these"
