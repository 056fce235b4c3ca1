"""What becomes of launches: addresses, quotas, plans, and machines that end as soon as they have started."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.server.ec2_requests import IMAGE, found, refusal, run
from tests.local_aws.server.principals import Server

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

ENCRYPTED: list[Any] = [{"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": True}}]
SetAccount = Callable[..., None]


def describe(ec2: EC2Client, machine: str) -> InstanceTypeDef:
    """Return the description of a machine."""
    return ec2.describe_instances(InstanceIds=[machine])["Reservations"][0]["Instances"][0]


@pytest.fixture
def isolated(ec2: EC2Client) -> str:
    """A subnet in the second zone, with a route table without a way out."""
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    zone = f"{ec2.meta.region_name}b"
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    return subnet


def test_a_machine_is_in_its_subnets_zone_and_has_an_address_only_where_that_gives_one(
    ec2: EC2Client, isolated: str
) -> None:
    usual, without = run(ec2)[0], run(ec2, SubnetId=isolated)[0]
    interface: list[Any] = [{"DeviceIndex": 0, "SubnetId": isolated, "AssociatePublicIpAddress": True}]
    asked = run(ec2, NetworkInterfaces=interface)[0]
    assert ["PublicIpAddress" in describe(ec2, each) for each in (usual, without, asked)] == [True, False, True]
    assert describe(ec2, without)["Placement"]["AvailabilityZone"] == f"{ec2.meta.region_name}b"
    ec2.modify_subnet_attribute(SubnetId=isolated, MapPublicIpOnLaunch={"Value": True})
    assert "PublicIpAddress" in describe(ec2, run(ec2, SubnetId=isolated)[0])


def test_route_tables_tell_which_subnet_has_a_way_out(ec2: EC2Client, isolated: str) -> None:
    def ways_out(*filters: Any) -> list[str]:
        (table,) = ec2.describe_route_tables(Filters=list(filters))["RouteTables"]
        routes = [route for route in table["Routes"] if route.get("DestinationCidrBlock") == "0.0.0.0/0"]
        return [route.get("GatewayId", "")[:4] for route in routes]

    default = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
    main = {"Name": "association.main", "Values": ["true"]}
    assert ways_out({"Name": "association.subnet-id", "Values": [isolated]}) == []
    assert ways_out({"Name": "vpc-id", "Values": [default]}, main) == ["igw-"]


def make_key(server: Server, ec2: EC2Client) -> str:
    """Make a customer-managed key the default of a client's region, and return its ARN."""
    kms = server.client("kms", ec2.meta.region_name)
    arn = kms.create_key()["KeyMetadata"]["Arn"]
    ec2.modify_ebs_default_kms_key_id(KmsKeyId=arn)
    return str(arn)


@pytest.mark.parametrize("by_default", [False, True])
def test_a_machine_ends_at_once_where_its_starter_may_not_use_the_default_key(
    server: Server, ec2: EC2Client, by_default: bool
) -> None:
    key, region = make_key(server, ec2), ec2.meta.region_name
    if by_default:
        ec2.enable_ebs_encryption_by_default()
    volumes = {} if by_default else {"BlockDeviceMappings": ENCRYPTED}
    allowed = {"Action": "ec2:*", "Resource": "*"}
    without = server.client("ec2", region, server.key(allowed))
    (machine,) = run(without, **volumes)  # type: ignore[arg-type]  # no count, no token
    described = describe(ec2, machine)
    assert described["State"]["Name"] == "terminated"
    assert described["StateReason"] == {
        "Code": "Client.InternalError",
        "Message": "Client.InternalError: Client error on launch",
    }
    granted = server.client("ec2", region, server.key(allowed, {"Action": "kms:*", "Resource": key}))
    for client, how in ((granted, volumes), (without, {"BlockDeviceMappings": with_key("alias/aws/ebs")})):
        (machine,) = run(client, **how)  # type: ignore[arg-type]  # no count, no token
        assert describe(ec2, machine)["State"]["Name"] == "running"


def with_key(key: str) -> list[Any]:
    """Return the mapping of an encrypted volume with a key of its own."""
    return [{"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": True, "KmsKeyId": key}}]


def test_a_launch_succeeds_and_its_machine_ends_for_any_reason(ec2: EC2Client, set_account: SetAccount) -> None:
    why = {"Code": "Client.VolumeLimitExceeded", "Message": "Client.VolumeLimitExceeded: Volume limit exceeded"}
    set_account(launch_failure=why)
    answer = ec2.run_instances(ImageId=IMAGE, InstanceType="t3.micro", MinCount=1, MaxCount=1)["Instances"][0]
    assert answer["State"]["Name"] == "pending"
    described = describe(ec2, answer["InstanceId"])
    assert (described["State"]["Name"], described["StateReason"]) == ("terminated", why)


def test_a_quota_of_vcpus_lets_start_what_it_has_room_for(ec2: EC2Client, set_account: SetAccount) -> None:
    set_account(vcpu_quotas={ec2.meta.region_name: {"L-1216C47A": 5.0}})
    assert len(run(ec2, 3)) == 2
    with pytest.raises(ClientError, match="current vCPU limit of 5") as error:
        run(ec2)
    assert refusal(error) == "VcpuLimitExceeded"


def test_the_free_plan_has_few_types(ec2: EC2Client, set_account: SetAccount) -> None:
    set_account(free_plan=True)
    free: Any = [{"Name": "free-tier-eligible", "Values": ["true"]}]
    types = {each["InstanceType"] for each in ec2.describe_instance_types(Filters=free)["InstanceTypes"]}
    assert types == {"t3.micro", "t3.small", "t4g.micro", "t4g.small", "c7i-flex.large", "m7i-flex.large"}
    run(ec2)
    with pytest.raises(ClientError, match="not eligible for Free Tier") as error:
        ec2.run_instances(ImageId=IMAGE, InstanceType="m7i.large", MinCount=1, MaxCount=1)
    assert refusal(error) == "InvalidParameterCombination"


@pytest.mark.parametrize(
    ("setting", "code"), [("throttled_regions", "RequestLimitExceeded"), ("unverified_regions", "PendingVerification")]
)
def test_a_region_starts_nothing_while_another_does(
    server: Server, ec2: EC2Client, set_account: SetAccount, setting: str, code: str
) -> None:
    set_account(**{setting: [ec2.meta.region_name]})
    with pytest.raises(ClientError) as error:
        run(ec2)
    assert refusal(error) == code
    assert found(ec2) == set()
    run(server.ec2(f"test-{uuid.uuid4().hex[:8]}-1"))


def persistent() -> dict[str, Any]:
    """Return the member of a launch that asks for a persistent spot request."""
    options = {"SpotInstanceType": "persistent", "InstanceInterruptionBehavior": "terminate"}
    return {"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": options}}


def test_a_machine_of_a_persistent_spot_request_comes_back_until_the_request_is_cancelled(ec2: EC2Client) -> None:
    (machine,) = run(ec2, **persistent())
    request_id = describe(ec2, machine)["SpotInstanceRequestId"]
    running = ("instance-state-name", "running")
    ec2.terminate_instances(InstanceIds=[machine])
    (again,) = found(ec2, running)
    assert again != machine
    (request,) = ec2.describe_spot_instance_requests(SpotInstanceRequestIds=[request_id])["SpotInstanceRequests"]
    assert (request["Type"], request["State"], request["InstanceId"]) == ("persistent", "active", again)
    for name, value, shown in (("type", "persistent", True), ("type", "one-time", False), ("state", "open", False)):
        by: list[Any] = [{"Name": name, "Values": [value]}]
        listed = ec2.describe_spot_instance_requests(Filters=by)["SpotInstanceRequests"]
        assert [each["SpotInstanceRequestId"] for each in listed] == [request_id] * shown
    ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=[request_id])
    ec2.terminate_instances(InstanceIds=[again])
    assert found(ec2, running) == set()


def test_a_spot_machine_is_authorized_on_its_request_too(server: Server, ec2: EC2Client) -> None:
    own = [
        f"arn:aws:ec2:*:*:{kind}/*" for kind in ("instance", "network-interface", "security-group", "subnet", "volume")
    ]
    client = server.client(
        "ec2",
        ec2.meta.region_name,
        server.key({"Action": "ec2:RunInstances", "Resource": [*own, "arn:aws:ec2:*::image/*"]}),
    )
    run(client)
    with pytest.raises(ClientError) as error:
        run(client, **persistent())
    assert refusal(error) == "UnauthorizedOperation"


def test_cancelling_a_spot_request_is_authorized_on_it(server: Server, ec2: EC2Client) -> None:
    (machine,) = run(ec2, **persistent())
    request_id = describe(ec2, machine)["SpotInstanceRequestId"]
    for resource, allowed in (("*:volume/*", False), (f"*:spot-instances-request/{request_id}", True)):
        statement = {"Action": "ec2:CancelSpotInstanceRequests", "Resource": f"arn:aws:ec2:*:{resource}"}
        client = server.client("ec2", ec2.meta.region_name, server.key(statement))
        if allowed:
            client.cancel_spot_instance_requests(SpotInstanceRequestIds=[request_id])
        else:
            with pytest.raises(ClientError) as error:
                client.cancel_spot_instance_requests(SpotInstanceRequestIds=[request_id])
            assert refusal(error) == "UnauthorizedOperation"
