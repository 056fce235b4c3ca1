"""What EC2 refuses about security groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.server.ec2_requests import (
    refusal,
    run,
)

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


def test_a_group_stays_while_a_live_machine_uses_it(ec2: EC2Client) -> None:
    group = ec2.create_security_group(GroupName="g", Description="d")["GroupId"]
    machines = run(ec2, SecurityGroupIds=[group])
    with pytest.raises(ClientError) as error:
        ec2.delete_security_group(GroupId=group)
    assert refusal(error) == "DependencyViolation"
    ec2.terminate_instances(InstanceIds=machines)
    ec2.delete_security_group(GroupId=group)
    assert "g" not in {described["GroupName"] for described in ec2.describe_security_groups()["SecurityGroups"]}


def test_an_ingress_rule_is_added_once(ec2: EC2Client) -> None:
    group = ec2.create_security_group(GroupName="g", Description="d")["GroupId"]
    rule: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
    permission: Any = rule | {
        "IpRanges": [{"CidrIp": "192.0.2.0/24"}],
        "Ipv6Ranges": [{"CidrIpv6": "::/0"}],
    }
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    for again in ({**rule, "CidrIp": "192.0.2.0/24"}, {"IpPermissions": [permission]}):
        with pytest.raises(ClientError) as error:
            ec2.authorize_security_group_ingress(GroupId=group, **again)
        assert refusal(error) == "InvalidPermission.Duplicate"
    ec2.authorize_security_group_ingress(GroupId=group, **rule, CidrIp="198.51.100.0/24")


def test_a_vpc_must_exist(ec2: EC2Client) -> None:
    with pytest.raises(ClientError) as error:
        ec2.create_security_group(GroupName="g", Description="d", VpcId="vpc-0123456789abcdef0")
    assert refusal(error) == "InvalidVpcID.NotFound"


def test_an_unknown_filter_is_refused(ec2: EC2Client) -> None:
    with pytest.raises(ClientError, match="The filter 'annex' is invalid"):
        ec2.describe_security_groups(Filters=[{"Name": "annex", "Values": ["lab"]}])
    named = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["default"]}])
    assert len(named["SecurityGroups"]) == 1
