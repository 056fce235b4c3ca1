"""VPC endpoints: routes to gateways, private names, and what is found by which filter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


def test_a_gateway_has_a_route_and_an_interface_a_private_name(ec2: EC2Client) -> None:
    vpc, other = (ec2.create_vpc(CidrBlock=f"10.{number}.0.0/16")["Vpc"]["VpcId"] for number in (7, 8))
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    service = f"com.amazonaws.{ec2.meta.region_name}"
    gateway = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=f"{service}.s3", RouteTableIds=[table])["VpcEndpoint"]
    interface, nameless = (
        ec2.create_vpc_endpoint(
            VpcId=vpc, ServiceName=f"{service}.ec2", VpcEndpointType="Interface", PrivateDnsEnabled=named
        )["VpcEndpoint"]
        for named in (True, False)
    )
    assert (gateway["VpcEndpointType"], gateway["State"], gateway["PrivateDnsEnabled"]) == (
        "Gateway",
        "available",
        False,
    )
    assert [interface["PrivateDnsEnabled"], nameless["PrivateDnsEnabled"]] == [True, False]

    def routes() -> dict[str, str]:
        (described,) = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
        return {
            route["GatewayId"]: route["DestinationPrefixListId"]
            for route in described["Routes"]
            if "DestinationPrefixListId" in route
        }

    assert [*routes()] == [gateway["VpcEndpointId"]]
    assert routes()[gateway["VpcEndpointId"]].startswith("pl-")
    found = ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["VpcEndpoints"]
    assert [each["VpcEndpointId"] for each in found] == [
        each["VpcEndpointId"] for each in (gateway, interface, nameless)
    ]
    assert ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": [other]}])["VpcEndpoints"] == []
    with pytest.raises(ClientError, match="The filter 'made-up' is invalid"):
        ec2.describe_vpc_endpoints(Filters=[{"Name": "made-up", "Values": ["x"]}])
    ec2.delete_vpc_endpoints(VpcEndpointIds=[gateway["VpcEndpointId"]])
    assert routes() == {}
    assert len(ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["VpcEndpoints"]) == 2
