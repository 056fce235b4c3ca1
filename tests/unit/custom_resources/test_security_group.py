"""The security group: its rules, call by call, and what keeps it from being deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from custom_resources import security_group
from custom_resources.lifecycle import NotYetError, ResourceError
from tests.unit.custom_resources.conftest import OWN, STACK, request
from tests.unit.recorded import Recorded, RefusedError

NAME = "pool-machines"
PROPERTIES: dict[str, Any] = {
    "VpcId": "",
    "CondorPort": "9618",
    "CondorCidrs": ["0.0.0.0/0", " 2001:DB8::/32 ", ""],
    "SshCidrs": ["192.0.2.0/24"],
}
VPCS = {"Vpcs": [{"VpcId": "vpc-default"}]}


def permission(port: int, v4: tuple[str, ...] = (), v6: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    """Return a rule as EC2 describes it."""
    ranges = {"IpRanges": [{"CidrIp": each} for each in v4], "Ipv6Ranges": [{"CidrIpv6": each} for each in v6]}
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port} | ranges | more


SSH = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "192.0.2.0/24"}]}
V4 = {"IpProtocol": "tcp", "FromPort": 9618, "ToPort": 9618, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
V6 = {"IpProtocol": "tcp", "FromPort": 9618, "ToPort": 9618, "Ipv6Ranges": [{"CidrIpv6": "2001:db8::/32"}]}


def groups(*permissions: dict[str, Any], tags: tuple[dict[str, str], ...] = (OWN,)) -> dict[str, Any]:
    return {
        "SecurityGroups": [{"GroupId": "sg-1", "Tags": list(tags), "IpPermissions": list(permissions)}],
    }


def test_a_group_is_made_in_the_default_vpc_with_the_rules_asked_for(aws: Callable[..., Recorded]) -> None:
    made = aws(
        DescribeVpcs=VPCS,
        DescribeSecurityGroups={"SecurityGroups": []},
        CreateSecurityGroup={"GroupId": "sg-1"},
        AuthorizeSecurityGroupIngress={},
    )
    assert security_group.put(request(NAME, PROPERTIES)) == {"GroupId": "sg-1", "VpcId": "vpc-default"}
    assert made.calls == [
        ("DescribeVpcs", {"Filters": [{"Name": "is-default", "Values": ["true"]}]}),
        (
            "DescribeSecurityGroups",
            {"Filters": [{"Name": "group-name", "Values": [NAME]}, {"Name": "vpc-id", "Values": ["vpc-default"]}]},
        ),
        (
            "CreateSecurityGroup",
            {
                "GroupName": NAME,
                "Description": "Machines of HTCondor annexes",
                "VpcId": "vpc-default",
                "TagSpecifications": [{"ResourceType": "security-group", "Tags": [OWN]}],
            },
        ),
        ("AuthorizeSecurityGroupIngress", {"GroupId": "sg-1", "IpPermissions": [SSH, V4, V6]}),
    ]


def test_only_what_differs_is_changed_and_new_ranges_come_before_old_ones_go(aws: Callable[..., Recorded]) -> None:
    made = aws(
        DescribeSecurityGroups=groups(
            permission(22, ("192.0.2.0/24", "198.51.100.0/24")),
            permission(9618, ("0.0.0.0/0",), ("2001:db8:1::/48",)),
            # What somebody added by hand and what is not one of our rules stays.
            permission(80, ToPort=90),
            permission(53, ("0.0.0.0/0",), IpProtocol="udp"),
        ),
        AuthorizeSecurityGroupIngress={},
        RevokeSecurityGroupIngress={},
    )
    assert security_group.put(request(NAME, PROPERTIES | {"VpcId": "vpc-2"})) == {"GroupId": "sg-1", "VpcId": "vpc-2"}
    assert made.calls[1:] == [
        ("AuthorizeSecurityGroupIngress", {"GroupId": "sg-1", "IpPermissions": [V6]}),
        (
            "RevokeSecurityGroupIngress",
            {
                "GroupId": "sg-1",
                "IpPermissions": [
                    {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "198.51.100.0/24"}]},
                    {
                        "IpProtocol": "tcp",
                        "FromPort": 9618,
                        "ToPort": 9618,
                        "Ipv6Ranges": [{"CidrIpv6": "2001:db8:1::/48"}],
                    },
                ],
            },
        ),
    ]


def test_a_group_that_is_as_it_should_be_is_not_touched(aws: Callable[..., Recorded]) -> None:
    made = aws(
        DescribeSecurityGroups=groups(
            permission(22, ("192.0.2.0/24",)), permission(9618, ("0.0.0.0/0",), ("2001:db8::/32",))
        )
    )
    security_group.put(request(NAME, PROPERTIES | {"VpcId": "vpc-2"}))
    assert made.names == ["DescribeSecurityGroups"]


@pytest.mark.parametrize(
    ("answers", "properties", "text"),
    [
        ({"DescribeVpcs": {"Vpcs": []}}, {}, "this region has no default VPC; give the parameter VpcId"),
        (
            {"DescribeSecurityGroups": groups(tags=())},
            {"VpcId": "vpc-2"},
            f"a security group {NAME} exists in vpc-2 and was not made by this stack",
        ),
        ({}, {"CondorCidrs": ["192.0.2.1/24"]}, r"'192.0.2.1/24' is not a range of addresses such as 192.0.2.0/24"),
    ],
)
def test_where_no_group_can_be_made_nothing_is_changed(
    aws: Callable[..., Recorded], answers: dict[str, Any], properties: dict[str, Any], text: str
) -> None:
    made = aws(**answers)
    with pytest.raises(ResourceError, match=text):
        security_group.put(request(NAME, PROPERTIES | properties))
    assert made.names == list(answers)


def test_only_our_own_group_of_that_name_is_deleted(aws: Callable[..., Recorded]) -> None:
    made = aws(DescribeSecurityGroups=groups(), DeleteSecurityGroup={})
    assert security_group.delete(request(NAME, PROPERTIES)) == ""
    assert made.calls == [
        (
            "DescribeSecurityGroups",
            {
                "Filters": [
                    {"Name": "group-name", "Values": [NAME]},
                    {"Name": "tag:annex-bootstrap:stack", "Values": [STACK]},
                ]
            },
        ),
        ("DeleteSecurityGroup", {"GroupId": "sg-1"}),
    ]


IN_USE = RefusedError("DependencyViolation")


@pytest.mark.parametrize(
    ("machines", "interfaces", "users"),
    [
        (["i-1"], [{"NetworkInterfaceId": "eni-1", "Attachment": {"InstanceId": "i-1"}}], "i-1"),
        ([], [{"NetworkInterfaceId": "eni-2"}, {"NetworkInterfaceId": "eni-3", "Attachment": {}}], "eni-2, eni-3"),
        ([], [], "a rule of another group"),
    ],
)
def test_what_still_uses_a_group_is_named(
    aws: Callable[..., Recorded], machines: list[str], interfaces: list[dict[str, Any]], users: str
) -> None:
    made = aws(
        DescribeSecurityGroups=groups(),
        DeleteSecurityGroup=IN_USE,
        DescribeInstances={"Reservations": [{"Instances": [{"InstanceId": each} for each in machines]}]},
        DescribeNetworkInterfaces={"NetworkInterfaces": interfaces},
    )
    with pytest.raises(NotYetError, match=f"^sg-1 is still in use; .*: {users}$"):
        security_group.delete(request(NAME, PROPERTIES))
    assert made.of("DescribeInstances") == [{"Filters": [{"Name": "instance.group-id", "Values": ["sg-1"]}]}]
    assert made.of("DescribeNetworkInterfaces") == [{"Filters": [{"Name": "group-id", "Values": ["sg-1"]}]}]


def test_any_other_refusal_of_the_deletion_is_final(aws: Callable[..., Recorded]) -> None:
    aws(DescribeSecurityGroups=groups(), DeleteSecurityGroup=RefusedError("UnauthorizedOperation"))
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        security_group.delete(request(NAME, PROPERTIES))
