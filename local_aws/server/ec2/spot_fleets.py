"""Spot fleets: all of a fleet's machines are of its first launch specification, as lowestPrice picks one."""

from __future__ import annotations

import json
import math
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import AccountRegionScopedDict
from ministack.services import ec2, iam

from annex_contract.stack import SPOT_FLEET_SERVICE, SPOT_SERVICE
from local_aws.server import wire
from local_aws.server.ec2 import instances, refusals
from local_aws.server.wire import Params, RefusalError, Response

FLEET_TAG = "aws:ec2spot:fleet-request-id"
"""The tag that AWS puts on a fleet's instances."""


@dataclass
class Fleet:
    """One spot fleet request.

    Attributes:
        config: the SpotFleetRequestConfig as it was sent.
        instance_ids: every instance that it ever started.
        history: its HistoryRecords, oldest first.
        ended: those of its instances whose end is in the history.
    """

    fleet_id: str
    config: dict[str, Any]
    created: datetime
    cancelled: bool = False
    instance_ids: list[str] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)

    @property
    def specification(self) -> dict[str, Any]:
        """The launch specification that it starts."""
        first: dict[str, Any] = self.config["LaunchSpecifications"][0]
        return first

    @property
    def live(self) -> list[str]:
        """Its instances that are not terminated."""
        return [instance_id for instance_id in self.instance_ids if instances.is_live(instance_id)]

    @property
    def fulfilled(self) -> float:
        """The capacity that its live instances have."""
        return len(self.live) * float(self.specification.get("WeightedCapacity", 1.0))

    @property
    def state(self) -> str:
        """A BatchState."""
        if not self.cancelled:
            return "active"
        return "cancelled_running" if self.live else "cancelled"

    @property
    def activity(self) -> str | None:
        """An ActivityStatus, or None once it is cancelled."""
        if self.cancelled:
            return None
        if not _trusts_spot_fleets(self.config["IamFleetRole"]):
            return "error"
        return "fulfilled" if self.fulfilled >= self.config["TargetCapacity"] else "pending_fulfillment"

    def record(self, event_type: str, sub_type: str, instance_id: str | None = None) -> None:
        """Add an event to the history."""
        event = {"EventSubType": sub_type, "InstanceId": instance_id}
        self.history.append({"EventType": event_type, "EventInformation": event, "Timestamp": datetime.now(UTC)})


_fleets = AccountRegionScopedDict()


def install() -> None:
    """Extend MiniStack's EC2."""
    instances.REPLACING.append(replace_ended)
    wire.install(
        {
            "RequestSpotFleet": request_spot_fleet,
            "DescribeSpotFleetRequests": describe_spot_fleet_requests,
            "DescribeSpotFleetInstances": describe_spot_fleet_instances,
            "DescribeSpotFleetRequestHistory": describe_spot_fleet_request_history,
            "CancelSpotFleetRequests": cancel_spot_fleet_requests,
        }
    )


def request_spot_fleet(params: Params) -> Response:
    """RequestSpotFleet; a client token that was seen before answers with the fleet that it requested then."""
    request = wire.read("RequestSpotFleet", params)
    config = request.get("SpotFleetRequestConfig", {})
    for name in ("IamFleetRole", "TargetCapacity", "LaunchSpecifications"):
        if name not in config:
            raise RefusalError(
                "MissingParameter", f"The request must contain the parameter SpotFleetRequestConfig.{name}"
            )
    if request.get("DryRun"):
        raise RefusalError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
    refusals.check_account()
    refusals.check_spot_role(SPOT_SERVICE, "EC2 Spot Instances")
    refusals.check_spot_role(SPOT_FLEET_SERVICE, "EC2 Spot Fleet")
    token = config.get("ClientToken")
    fleet = next((f for f in _fleets.values() if token and f.config.get("ClientToken") == token), None)
    if fleet is None:
        _role(config["IamFleetRole"])
        fleet = Fleet(f"sfr-{uuid.uuid4()}", config, datetime.now(UTC))
        ec2._tags[fleet.fleet_id] = instances.tags_of("spot-fleet-request", config)
        fleet.record("fleetRequestChange", "submitted")
        _fill(fleet)
        _fleets[fleet.fleet_id] = fleet
    elif fleet.config != config:
        raise RefusalError("IdempotentParameterMismatch", "The client token was used before, with other parameters.")
    return wire.answer("RequestSpotFleet", SpotFleetRequestId=fleet.fleet_id)


def describe_spot_fleet_requests(params: Params) -> Response:
    """DescribeSpotFleetRequests."""
    request = wire.read("DescribeSpotFleetRequests", params)
    wanted = request.get("SpotFleetRequestIds", list(_fleets))
    shown, token = wire.page([(fleet_id, _find(fleet_id)) for fleet_id in wanted], request)
    return wire.answer(
        "DescribeSpotFleetRequests",
        NextToken=token,
        SpotFleetRequestConfigs=[
            {
                "SpotFleetRequestId": fleet.fleet_id,
                "SpotFleetRequestState": fleet.state,
                "ActivityStatus": fleet.activity,
                "CreateTime": fleet.created,
                "SpotFleetRequestConfig": {
                    "AllocationStrategy": "lowestPrice",
                    "Type": "maintain",
                    **fleet.config,
                    "FulfilledCapacity": fleet.fulfilled,
                },
            }
            for fleet in shown
        ],
    )


def describe_spot_fleet_instances(params: Params) -> Response:
    """DescribeSpotFleetInstances."""
    request = wire.read("DescribeSpotFleetInstances", params)
    fleet = _find(request["SpotFleetRequestId"])
    shown, token = wire.page([(instance_id, ec2._instances[instance_id]) for instance_id in fleet.live], request)
    return wire.answer(
        "DescribeSpotFleetInstances",
        SpotFleetRequestId=fleet.fleet_id,
        NextToken=token,
        ActiveInstances=[
            {name: instance[name] for name in ("InstanceId", "InstanceType", "SpotInstanceRequestId")}
            | {"InstanceHealth": "healthy"}
            for instance in shown
        ],
    )


def describe_spot_fleet_request_history(params: Params) -> Response:
    """DescribeSpotFleetRequestHistory: what was submitted, launched, terminated and cancelled."""
    request = wire.read("DescribeSpotFleetRequestHistory", params)
    fleet = _find(request["SpotFleetRequestId"])
    since = request["StartTime"]
    records = [
        (f"{number:09d}", record)
        for number, record in enumerate(fleet.history, start=1)
        if record["Timestamp"] >= since and request.get("EventType", record["EventType"]) == record["EventType"]
    ]
    shown, token = wire.page(records, request)
    return wire.answer(
        "DescribeSpotFleetRequestHistory",
        SpotFleetRequestId=fleet.fleet_id,
        StartTime=since,
        LastEvaluatedTime=datetime.now(UTC),
        HistoryRecords=shown,
        NextToken=token,
    )


def cancel_spot_fleet_requests(params: Params) -> Response:
    """CancelSpotFleetRequests; each fleet succeeds or fails on its own."""
    request = wire.read("CancelSpotFleetRequests", params)
    terminate = request["TerminateInstances"]
    done, failed = [], []
    for fleet_id in request["SpotFleetRequestIds"]:
        fleet = _fleets.get(fleet_id)
        if fleet is None or fleet.cancelled:
            code = "fleetRequestIdDoesNotExist" if fleet is None else "fleetRequestNotInCancellableState"
            message = f"The spot fleet request {fleet_id} " + ("does not exist" if fleet is None else "is cancelled")
            failed.append({"SpotFleetRequestId": fleet_id, "Error": {"Code": code, "Message": message}})
            continue
        fleet.cancelled = True
        current = "cancelled_terminating" if terminate else "cancelled_running"
        fleet.record("fleetRequestChange", current)
        if terminate and fleet.live:
            instances.terminate_instances(
                {f"InstanceId.{n}": instance_id for n, instance_id in enumerate(fleet.live, start=1)}
            )
        done.append(
            {
                "SpotFleetRequestId": fleet_id,
                "PreviousSpotFleetRequestState": "active",
                "CurrentSpotFleetRequestState": current,
            }
        )
    return wire.answer("CancelSpotFleetRequests", SuccessfulFleetRequests=done, UnsuccessfulFleetRequests=failed)


def replace_ended() -> None:
    """Have every active fleet of the type ``maintain``, AWS's default, replace its machines that ended.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_SpotFleetRequestConfigData.html
    """
    for fleet in _fleets.values():
        for lost in set(fleet.instance_ids) - set(fleet.live) - fleet.ended:
            fleet.ended.add(lost)
            fleet.record("instanceChange", "terminated", lost)
        if fleet.config.get("Type", "maintain") == "maintain":
            _fill(fleet)


def _find(fleet_id: str) -> Fleet:
    fleet: Fleet | None = _fleets.get(fleet_id)
    if fleet is None:
        raise RefusalError(
            "InvalidSpotFleetRequestId.NotFound", f"The spot fleet request ID '{fleet_id}' does not exist"
        )
    return fleet


def _role(arn: str) -> dict[str, Any]:
    for role in iam._roles.values():
        if role["Arn"] == arn:
            found: dict[str, Any] = role
            return found
    raise RefusalError("InvalidSpotFleetRequestConfig", "Parameter: SpotFleetRequestConfig.IamFleetRole is invalid.")


def _trusts_spot_fleets(role_arn: str) -> bool:
    statements = json.loads(_role(role_arn)["AssumeRolePolicyDocument"])["Statement"]
    return any(
        iam_evaluator._service_principal_matches(statement.get("Principal"), "spotfleet.amazonaws.com")
        for statement in (statements if isinstance(statements, list) else [statements])
    )


def _fill(fleet: Fleet) -> None:
    """Start the machines that an active fleet lacks; none with a role that spot fleets cannot assume."""
    if fleet.activity == "error":
        fleet.record("error", "iamFleetRoleInvalid")
    if fleet.activity != "pending_fulfillment":
        return
    specification = fleet.specification
    missing = fleet.config["TargetCapacity"] - fleet.fulfilled
    wanted = math.ceil(missing / specification.get("WeightedCapacity", 1.0))
    count = min(wanted, refusals.left(specification["InstanceType"], "spot"))
    if count < wanted:
        # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/monitor-ec2-fleet-using-eventbridge.html
        fleet.record("error", "spotInstanceCountLimitExceeded")
    if count < 1:
        return
    for instance in instances.start(_request(specification), count, spot=True):
        instance_id = instance["InstanceId"]
        ec2._tags[instance_id] = [
            *instances.tags_of("instance", specification),
            {"Key": FLEET_TAG, "Value": fleet.fleet_id},
        ]
        fleet.instance_ids.append(instance_id)
        fleet.record("instanceChange", "launched", instance_id)


def _request(specification: dict[str, Any]) -> dict[str, Any]:
    return {
        **specification,
        # A specification may list several subnets, with commas between them.
        "SubnetId": specification.get("SubnetId", "").split(",")[0].strip(),
        "SecurityGroupIds": [group["GroupId"] for group in specification.get("SecurityGroups", [])],
    }
