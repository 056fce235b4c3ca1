"""Spot fleets: requests, their instances and their end."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.server.ec2_requests import (
    SPOT_FLEET_TRUST,
    fleet,
    found,
    instance_tags,
    refusal,
)
from tests.local_aws.server.principals import Server

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


def test_a_fleet_starts_the_capacity_rounded_up_in_tagged_spot_machines(ec2: EC2Client, fleet_role: str) -> None:
    fleet_id = ec2.request_spot_fleet(SpotFleetRequestConfig=fleet(fleet_role))["SpotFleetRequestId"]
    machines = found(ec2, ("tag:htcondor:AnnexName", "spot"), ("instance-lifecycle", "spot"))
    assert found(ec2, ("tag:aws:ec2spot:fleet-request-id", fleet_id)) == machines
    active = ec2.describe_spot_fleet_instances(SpotFleetRequestId=fleet_id)["ActiveInstances"]
    assert {instance["InstanceId"] for instance in active} == machines
    assert [instance["InstanceType"] for instance in active] == ["m5.large", "m5.large"]


def test_a_description_has_state_token_and_capacity(ec2: EC2Client, fleet_role: str) -> None:
    config = fleet(fleet_role)
    before = datetime.now(UTC)
    fleet_id = ec2.request_spot_fleet(SpotFleetRequestConfig=config)["SpotFleetRequestId"]
    (described,) = ec2.describe_spot_fleet_requests(SpotFleetRequestIds=[fleet_id])["SpotFleetRequestConfigs"]
    assert described["SpotFleetRequestState"] == "active"
    assert described["ActivityStatus"] == "fulfilled"
    assert before <= described["CreateTime"] <= datetime.now(UTC)
    shown = described["SpotFleetRequestConfig"]
    assert shown["ClientToken"] == config["ClientToken"]
    assert shown["FulfilledCapacity"] == 4.0
    assert shown["LaunchSpecifications"][0]["TagSpecifications"] == instance_tags("spot")


def test_a_repeated_token_requests_nothing(ec2: EC2Client, fleet_role: str) -> None:
    config = fleet(fleet_role)
    first = ec2.request_spot_fleet(SpotFleetRequestConfig=config)
    again = ec2.request_spot_fleet(SpotFleetRequestConfig=config)
    assert first["SpotFleetRequestId"] == again["SpotFleetRequestId"]
    assert len(found(ec2)) == 2
    with pytest.raises(ClientError) as error:
        ec2.request_spot_fleet(SpotFleetRequestConfig=fleet(fleet_role, config["ClientToken"], 9))
    assert refusal(error) == "IdempotentParameterMismatch"


def test_fleets_are_listed_page_by_page(ec2: EC2Client, fleet_role: str) -> None:
    fleets = {ec2.request_spot_fleet(SpotFleetRequestConfig=fleet(fleet_role))["SpotFleetRequestId"] for _ in range(3)}
    pages = list(ec2.get_paginator("describe_spot_fleet_requests").paginate(PaginationConfig={"PageSize": 2}))
    listed = [config["SpotFleetRequestId"] for page in pages for config in page["SpotFleetRequestConfigs"]]
    assert len(pages) == 2
    assert sorted(listed) == sorted(fleets)


def test_cancelling_with_termination_ends_the_machines(ec2: EC2Client, fleet_role: str) -> None:
    fleet_id = ec2.request_spot_fleet(SpotFleetRequestConfig=fleet(fleet_role))["SpotFleetRequestId"]
    answer = ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[fleet_id], TerminateInstances=True)
    assert answer["SuccessfulFleetRequests"] == [
        {
            "SpotFleetRequestId": fleet_id,
            "PreviousSpotFleetRequestState": "active",
            "CurrentSpotFleetRequestState": "cancelled_terminating",
        }
    ]
    assert found(ec2, ("instance-state-name", "running")) == set()
    assert _state(ec2, fleet_id) == "cancelled"


def test_cancelling_without_termination_leaves_the_machines_running(ec2: EC2Client, fleet_role: str) -> None:
    fleet_id = ec2.request_spot_fleet(SpotFleetRequestConfig=fleet(fleet_role))["SpotFleetRequestId"]
    ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[fleet_id], TerminateInstances=False)
    machines = found(ec2, ("instance-state-name", "running"))
    assert (len(machines), _state(ec2, fleet_id)) == (2, "cancelled_running")
    ec2.terminate_instances(InstanceIds=list(machines))
    assert _state(ec2, fleet_id) == "cancelled"


def test_a_cancelled_or_unknown_fleet_fails_without_stopping_the_others(ec2: EC2Client, fleet_role: str) -> None:
    first, second = (
        ec2.request_spot_fleet(SpotFleetRequestConfig=fleet(fleet_role))["SpotFleetRequestId"] for _ in range(2)
    )
    ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[first], TerminateInstances=True)
    unknown = f"sfr-{uuid.uuid4()}"
    answer = ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[unknown, first, second], TerminateInstances=True)
    assert [request["SpotFleetRequestId"] for request in answer["SuccessfulFleetRequests"]] == [second]
    assert {
        request["SpotFleetRequestId"]: request["Error"]["Code"] for request in answer["UnsuccessfulFleetRequests"]
    } == {
        unknown: "fleetRequestIdDoesNotExist",
        first: "fleetRequestNotInCancellableState",
    }


def test_an_active_fleet_that_maintains_its_capacity_replaces_a_terminated_machine(
    ec2: EC2Client, fleet_role: str
) -> None:
    fleet_id = ec2.request_spot_fleet(SpotFleetRequestConfig=fleet(fleet_role, kind="maintain"))["SpotFleetRequestId"]
    before = found(ec2)
    ec2.terminate_instances(InstanceIds=[min(before)])
    after = found(ec2, ("instance-state-name", "running"))
    assert len(after) == 2
    assert len(after - before) == 1
    history = ec2.describe_spot_fleet_request_history(
        SpotFleetRequestId=fleet_id,
        StartTime=datetime(2020, 1, 1, tzinfo=UTC),
        EventType="instanceChange",
    )
    events = [record["EventInformation"].get("EventSubType") for record in history["HistoryRecords"]]
    assert events == ["launched", "launched", "terminated", "launched"]


def test_a_role_that_spot_fleets_cannot_assume_starts_nothing(server: Server, ec2: EC2Client) -> None:
    trust = SPOT_FLEET_TRUST.replace("spotfleet", "ec2")
    role = server.iam().create_role(RoleName=f"r-{uuid.uuid4()}", AssumeRolePolicyDocument=trust)
    config = fleet(role["Role"]["Arn"])
    fleet_id = ec2.request_spot_fleet(SpotFleetRequestConfig=config)["SpotFleetRequestId"]
    (described,) = ec2.describe_spot_fleet_requests(SpotFleetRequestIds=[fleet_id])["SpotFleetRequestConfigs"]
    assert described["ActivityStatus"] == "error"
    assert found(ec2) == set()


def test_a_role_that_does_not_exist_is_refused(ec2: EC2Client) -> None:
    with pytest.raises(ClientError) as error:
        ec2.request_spot_fleet(SpotFleetRequestConfig=fleet("arn:aws:iam::000000000000:role/none"))
    assert refusal(error) == "InvalidSpotFleetRequestConfig"


def _state(ec2: EC2Client, fleet_id: str) -> str:
    """Return a fleet's state."""
    answer = ec2.describe_spot_fleet_requests(SpotFleetRequestIds=[fleet_id])
    return answer["SpotFleetRequestConfigs"][0]["SpotFleetRequestState"]


def test_a_quota_leaves_a_fleet_what_fits_and_its_history_says_so(
    ec2: EC2Client, fleet_role: str, set_account: Callable[..., None]
) -> None:
    set_account(vcpu_quotas={ec2.meta.region_name: {"L-34B43A08": 5.0}})
    since = datetime.now(UTC)
    fleet_id = ec2.request_spot_fleet(SpotFleetRequestConfig=fleet(fleet_role, capacity=9))["SpotFleetRequestId"]
    assert len(found(ec2, ("instance-lifecycle", "spot"))) == 2
    history = ec2.describe_spot_fleet_request_history(SpotFleetRequestId=fleet_id, StartTime=since)["HistoryRecords"]
    assert "spotInstanceCountLimitExceeded" in [record["EventInformation"]["EventSubType"] for record in history]
