"""EC2 fleets: choosing by attributes and by price, weights, shortfalls, and machines that are replaced."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from local_aws.server_settings import MACHINES
from tests.local_aws.server.ec2_requests import found, refusal
from tests.local_aws.server.principals import Server

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import CreateFleetResultTypeDef

BASE = "ami-0deb13000000a0001"
SetAccount = Callable[..., None]


def create(ec2: EC2Client, *overrides: dict[str, Any], capacity: int = 1, **more: Any) -> CreateFleetResultTypeDef:
    """Create a fleet of a new launch template."""
    made = ec2.create_launch_template(LaunchTemplateName=str(uuid.uuid4()), LaunchTemplateData={"ImageId": BASE})
    target = {"TotalTargetCapacity": capacity, "DefaultTargetCapacityType": "on-demand", **more.pop("target", {})}
    request: Any = {
        "Type": "instant",
        "LaunchTemplateConfigs": [
            {
                "LaunchTemplateSpecification": {
                    "LaunchTemplateId": made["LaunchTemplate"]["LaunchTemplateId"],
                    "Version": "$Latest",
                },
                "Overrides": overrides,
            }
        ],
        "TargetCapacitySpecification": target,
        **more,
    }
    return ec2.create_fleet(**request)


def attributes(least: int, most: int, **more: Any) -> dict[str, Any]:
    """Return an override for machines of so many vCPUs."""
    return {"InstanceRequirements": {"VCpuCount": {"Min": least, "Max": most}, "MemoryMiB": {"Min": 1}, **more}}


def started(answer: CreateFleetResultTypeDef) -> Counter[str]:
    """Return how many machines of each type started."""
    counts: Counter[str] = Counter()
    for launched in answer["Instances"]:
        counts[launched["InstanceType"]] += len(launched["InstanceIds"])
    return counts


def test_a_request_has_at_most_four_overrides_by_attributes(ec2: EC2Client) -> None:
    create(ec2, *[attributes(2, 2)] * 4)
    with pytest.raises(
        ClientError, match=r"more than the maximum allowed number of InstanceRequirements \(4\)"
    ) as error:
        create(ec2, *[attributes(2, 2)] * 5)
    assert refusal(error) == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("limit", "expected"),
    [({}, "m7i.large"), ({"OnDemandMaxPricePercentageOverLowestPrice": 60}, "r7i.large")],
)
def test_a_fleet_leaves_out_what_costs_a_fifth_more_than_the_cheapest_and_the_preview_keeps_it(
    server: Server, ec2: EC2Client, limit: dict[str, int], expected: str
) -> None:
    override = attributes(2, 2, InstanceGenerations=["current"], **limit)
    listed = ec2.get_instance_types_from_instance_requirements(
        ArchitectureTypes=["x86_64"], VirtualizationTypes=["hvm"], **override
    )["InstanceTypes"]
    assert {"c7i.large", "m7i.large", "r7i.large"} <= {each["InstanceType"] for each in listed}
    # The first machine of each type that is dearer comes where the cheaper ones have none.
    gone = {"c7i.large": 0, "x8i.large": 0, **({} if expected == "m7i.large" else {"m7i.large": 0})}
    set_region(server, ec2, capacity=gone)
    assert started(create(ec2, override)) == {expected: 1}
    set_region(server, ec2, capacity={**gone, expected: 0})
    assert started(create(ec2, override)) == {}


@pytest.mark.parametrize(("percent", "starts"), [(60, 1), (59, 0)])
def test_a_spot_price_may_be_measured_at_the_price_on_demand(
    server: Server, ec2: EC2Client, percent: int, starts: int
) -> None:
    limit = {"MaxSpotPriceAsPercentageOfOptimalOnDemandPrice": percent}
    override = attributes(2, 2, InstanceGenerations=["current"], **limit)
    # 40% of r7i.large's $0.1323 is 59.3% of c7i.large's $0.08925.
    set_region(server, ec2, capacity={"c7i.large": 0, "m7i.large": 0, "x8i.large": 0})
    answer = create(ec2, override, target={"DefaultTargetCapacityType": "spot"})
    assert started(answer)["r7i.large"] == starts


def set_region(server: Server, ec2: EC2Client, **settings: Any) -> None:
    """Say what becomes of machines in the region of a client."""
    ssm = server.client("ssm", ec2.meta.region_name)
    ssm.put_parameter(Name=MACHINES, Type="String", Overwrite=True, Value=json.dumps(settings))


def test_the_number_of_machines_is_rounded_up_by_their_weight(ec2: EC2Client) -> None:
    weighted = {"InstanceType": "c7i.xlarge", "WeightedCapacity": 4.0}
    assert started(create(ec2, weighted, capacity=9)) == {"c7i.xlarge": 3}


def test_the_cheapest_unit_of_capacity_is_taken_first(ec2: EC2Client) -> None:
    small, large = {"InstanceType": "m7i.large", "WeightedCapacity": 2.0}, {"InstanceType": "c7i.xlarge"}
    assert started(create(ec2, small, {**large, "WeightedCapacity": 4.0}, capacity=4)) == {"c7i.xlarge": 1}
    assert started(create(ec2, small, {**large, "WeightedCapacity": 1.0}, capacity=4)) == {"m7i.large": 2}


def test_a_spot_machine_that_costs_more_than_the_highest_price_does_not_start(ec2: EC2Client) -> None:
    spot = {"DefaultTargetCapacityType": "spot"}
    answer = create(ec2, {"InstanceType": "m7i.large", "MaxPrice": "0.04"}, target=spot)
    assert [error["ErrorCode"] for error in answer["Errors"]] == ["SpotMaxPriceTooLow"]
    assert started(create(ec2, {"InstanceType": "m7i.large", "MaxPrice": "0.05"}, target=spot)) == {"m7i.large": 1}


def test_a_quota_leaves_a_fleet_what_fits_or_refuses_it(ec2: EC2Client, set_account: SetAccount) -> None:
    quota = {"vcpu_quotas": {ec2.meta.region_name: {"L-1216C47A": 5.0}}}
    set_account(**quota)
    answer = create(ec2, {"InstanceType": "m7i.large"}, capacity=4)
    assert started(answer) == {"m7i.large": 2}
    assert [error["ErrorCode"] for error in answer["Errors"]] == ["VcpuLimitExceeded"]
    set_account(**quota, fleet_refusals_in_answer=False)
    with pytest.raises(ClientError) as error:
        create(ec2, {"InstanceType": "m7i.large"})
    assert refusal(error) == "VcpuLimitExceeded"


def test_a_denied_launch_refuses_the_fleet_or_is_one_of_its_errors(server: Server, set_account: SetAccount) -> None:
    key = server.key({"Action": ["ec2:CreateFleet", "ec2:CreateLaunchTemplate"], "Resource": "*"})
    client: EC2Client = server.client("ec2", credentials=key)
    with pytest.raises(ClientError) as error:
        create(client, {"InstanceType": "m7i.large"})
    assert refusal(error) == "UnauthorizedOperation"
    set_account(fleet_denials_in_answer=True)
    answer = create(client, {"InstanceType": "m7i.large"})
    assert answer["Instances"] == []
    assert [error["ErrorCode"] for error in answer["Errors"]] == ["UnauthorizedOperation"]


@pytest.mark.parametrize(
    ("override", "tagged"),
    [({"KeyName": "a"}, "fleet"), ({"MetadataOptions": {"HttpTokens": "optional"}}, "fleet"), ({}, "instance")],
)
def test_only_an_instant_fleet_overrides_what_a_machine_is_and_tags_it(
    ec2: EC2Client, override: dict[str, Any], tagged: str
) -> None:
    tags = [{"ResourceType": tagged, "Tags": [{"Key": "a", "Value": "b"}]}]
    with pytest.raises(ClientError, match="Only a fleet of the type instant") as error:
        create(ec2, {"InstanceType": "m7i.large", **override}, Type="maintain", TagSpecifications=tags)
    assert refusal(error) == "InvalidParameterValue"


RUNNING = ("instance-state-name", "running")


def test_a_fleet_of_the_default_type_replaces_machines_until_it_is_deleted(ec2: EC2Client) -> None:
    fleet = create(ec2, {"InstanceType": "m7i.large"}, capacity=2, Type="maintain")
    assert fleet.get("Instances", []) == []
    mine = ("tag:aws:ec2:fleet-id", fleet["FleetId"])
    first = found(ec2, RUNNING, mine)
    ec2.terminate_instances(InstanceIds=sorted(first))
    second = found(ec2, RUNNING, mine)
    assert len(first) == len(second) == 2
    assert not first & second
    active = ec2.describe_fleet_instances(FleetId=fleet["FleetId"])["ActiveInstances"]
    assert {each["InstanceId"] for each in active} == second
    ec2.delete_fleets(FleetIds=[fleet["FleetId"]], TerminateInstances=True)
    assert found(ec2, RUNNING, mine) == set()
    (described,) = ec2.describe_fleets(FleetIds=[fleet["FleetId"]])["Fleets"]
    assert (described["FleetState"], described["Type"]) == ("deleted", "maintain")


def test_a_fleet_that_was_requested_replaces_nothing_and_its_machines_may_outlive_it(ec2: EC2Client) -> None:
    fleet = create(ec2, {"InstanceType": "m7i.large"}, capacity=2, Type="request")["FleetId"]
    one, other = sorted(found(ec2, RUNNING))
    ec2.terminate_instances(InstanceIds=[one])
    assert found(ec2, RUNNING) == {other}
    ec2.delete_fleets(FleetIds=[fleet], TerminateInstances=False)
    assert ec2.describe_fleets(FleetIds=[fleet])["Fleets"][0]["FleetState"] == "deleted_running"
    assert found(ec2, RUNNING) == {other}


def test_a_fleet_maintains_itself_also_where_a_machine_cannot_run(ec2: EC2Client, set_account: SetAccount) -> None:
    set_account(launch_failure={"Code": "Client.InternalError", "Message": "made up"})
    create(ec2, {"InstanceType": "m7i.large"}, Type="maintain")
    assert len(found(ec2, ("instance-state-name", "terminated"))) == 1
    set_account()
    assert len(found(ec2, RUNNING)) == 1


def test_an_image_that_is_not_there_is_refused(ec2: EC2Client) -> None:
    with pytest.raises(ClientError) as error:
        create(ec2, {"InstanceType": "m7i.large", "ImageId": "ami-00000000000000000"})
    assert refusal(error) == "InvalidAMIID.NotFound"
