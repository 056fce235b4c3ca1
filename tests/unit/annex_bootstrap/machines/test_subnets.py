"""Where machines start: in subnets that lead somewhere, and in those that somebody names."""

from __future__ import annotations

from typing import Any

import pytest

from annex_bootstrap.errors import UnavailableError
from annex_bootstrap.machines.subnets import (
    Endpoint,
    Subnet,
    find_endpoints,
    find_subnets,
    find_ways,
    has_way_out,
    one_per_zone,
)
from tests.unit.annex_bootstrap.answers import answering
from tests.unit.recorded import Recorded, RefusedError

TO_INTERNET = {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1", "State": "active"}
LOCAL = {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"}


def table(*routes: dict[str, str], main: bool = False, subnet: str = "") -> dict[str, Any]:
    association = {"Main": main} | ({"SubnetId": subnet} if subnet else {})
    return {"Associations": [association], "Routes": [LOCAL, *routes]}


@pytest.mark.parametrize(
    ("route", "public", "private"),
    [
        (TO_INTERNET, True, False),
        (TO_INTERNET | {"State": "blackhole"}, False, False),
        ({"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1", "State": "active"}, True, True),
        ({"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "vgw-1", "State": "active"}, True, True),
        ({"DestinationCidrBlock": "172.16.0.0/12", "TransitGatewayId": "tgw-1", "State": "active"}, False, False),
    ],
)
def test_a_way_out_is_a_route_that_the_machines_of_a_subnet_can_use(
    route: dict[str, str], public: bool, private: bool
) -> None:
    tables = [table(route, subnet="subnet-1")]
    assert has_way_out("subnet-1", tables, public=True) is public
    assert has_way_out("subnet-1", tables, public=False) is private


def test_the_ways_of_a_subnet_are_its_destinations_and_what_leads_there() -> None:
    endpoint = {"DestinationPrefixListId": "pl-1", "GatewayId": "vpce-1", "State": "active"}
    campus = {"DestinationCidrBlock": "172.16.0.0/12", "TransitGatewayId": "tgw-1", "State": "active"}
    gone = {"DestinationCidrBlock": "192.0.2.0/24", "VpcPeeringConnectionId": "pcx-1", "State": "blackhole"}
    tables = [table(endpoint, campus, gone, TO_INTERNET, subnet="subnet-1")]
    private = {"pl-1": "vpce-1", "172.16.0.0/12": "tgw-1"}
    assert find_ways("subnet-1", tables, public=False) == private
    assert find_ways("subnet-1", tables, public=True) == private | {"0.0.0.0/0": "igw-1"}


def endpoint(number: int, service: str, kind: str = "Interface", **more: Any) -> dict[str, Any]:
    return {
        "VpcEndpointId": f"vpce-{number}",
        "VpcEndpointType": kind,
        "ServiceName": f"com.amazonaws.{service}",
        "State": "available",
        "PrivateDnsEnabled": kind == "Interface",
        **more,
    }


def test_endpoints_count_that_work_under_the_usual_name_of_a_service_in_the_region() -> None:
    described = [
        endpoint(1, "us-east-1.s3", "Gateway"),
        endpoint(2, "us-east-1.ec2", State="Available"),
        endpoint(3, "us-east-1.ec2", PrivateDnsEnabled=False),
        endpoint(4, "us-east-1.ec2", State="pending"),
        endpoint(5, "eu-west-1.ec2"),
        endpoint(6, "us-east-1.s3", "GatewayLoadBalancer"),
    ]
    asked = {"Filters": [{"Name": "vpc-id", "Values": ["vpc-1"]}]}
    with answering(ec2=[("describe_vpc_endpoints", asked, {"VpcEndpoints": described})]) as account:
        assert find_endpoints(account, "vpc-1") == [
            Endpoint("vpce-1", "s3", gateway=True),
            Endpoint("vpce-2", "ec2", gateway=False),
            Endpoint("vpce-5", "com.amazonaws.eu-west-1.ec2", gateway=False),
        ]


def test_endpoints_that_may_not_be_read_are_not_known() -> None:
    denied = Recorded(DescribeVpcEndpoints=RefusedError("UnauthorizedOperation", status=403))
    assert find_endpoints(denied.account(), "vpc-1") is None


def test_a_subnet_without_a_table_of_its_own_has_the_main_one() -> None:
    tables = [table(TO_INTERNET, main=True), table(subnet="isolated")]
    assert has_way_out("other", tables, public=True)
    assert not has_way_out("isolated", tables, public=True)


def test_a_subnet_that_leads_somewhere_is_better_than_an_emptier_one() -> None:
    subnets = [
        Subnet("isolated", "a", True, 99, way_out=False),
        Subnet("nat", "a", False, 5, way_out=True),
        Subnet("b1", "b", False, 5),
        Subnet("b2", "b", True, 1),
    ]
    assert [subnet.subnet_id for subnet in one_per_zone(subnets)] == ["nat", "b2"]


def described(subnet_id: str, zone: str, *, public: bool) -> dict[str, Any]:
    return {
        "SubnetId": subnet_id,
        "AvailabilityZone": zone,
        "MapPublicIpOnLaunch": public,
        "AvailableIpAddressCount": 5,
    }


def calls(*tables: dict[str, Any]) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    vpc = {"Filters": [{"Name": "vpc-id", "Values": ["vpc-1"]}]}
    subnets = [
        described("subnet-a", "us-east-1a", public=True),
        described("subnet-b", "us-east-1b", public=False),
    ]
    return [
        ("describe_security_groups", {"GroupIds": ["sg-1"]}, {"SecurityGroups": [{"VpcId": "vpc-1"}]}),
        ("describe_subnets", vpc, {"Subnets": subnets}),
        *([("describe_route_tables", vpc, {"RouteTables": list(tables)})] if tables else []),
    ]


def test_without_a_choice_the_subnets_that_lead_nowhere_are_left_out() -> None:
    with answering(ec2=calls(table(TO_INTERNET, main=True), table(subnet="subnet-b"))) as account:
        subnets = find_subnets(account, "sg-1", ())
    assert subnets == [Subnet("subnet-a", "us-east-1a", True, 5, way_out=True)]


def test_a_subnet_that_somebody_names_is_taken_and_what_it_leads_to_is_known() -> None:
    with answering(ec2=calls(table(TO_INTERNET, main=True), table(subnet="subnet-b"))) as account:
        subnets = find_subnets(account, "sg-1", ["subnet-b"])
    assert subnets == [Subnet("subnet-b", "us-east-1b", False, 5, way_out=False)]


def test_where_no_subnet_leads_anywhere_all_of_them_are_taken() -> None:
    with answering(ec2=calls(table(main=True))) as account:
        assert [subnet.subnet_id for subnet in find_subnets(account, "sg-1", ())] == ["subnet-a", "subnet-b"]


def test_a_subnet_of_another_vpc_is_refused() -> None:
    with (
        answering(ec2=calls()) as account,
        pytest.raises(UnavailableError, match="the VPC vpc-1 has no subnet subnet-x"),
    ):
        find_subnets(account, "sg-1", ["subnet-x"])
