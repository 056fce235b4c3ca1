"""EC2 fleets, and the prices of the spot market.

MiniStack's CreateFleet reads no attributes and knows neither client tokens nor shortfalls. Here the cheapest unit of
capacity is taken first, on demand and on the spot market. `Settings` of `scripts` say of which types there are how many
machines left, and how AWS refuses more; `Account` what the account may not start.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateFleet.html
"""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_region
from ministack.services import ec2

from local_aws.server import account, wire
from local_aws.server.ec2 import instances, scripts
from local_aws.server.ec2.attributes import MOST_REQUIREMENTS, SPOT_SHARE, price
from local_aws.server.ec2.capacity import Candidate, available, candidates, is_by_vcpu, lifecycle_of, rank
from local_aws.server.ec2.catalogue import instance_types
from local_aws.server.ec2.launch_templates import read_template
from local_aws.server.wire import Params, RefusalError, Response

FLEET_TAG = "aws:ec2:fleet-id"
"""The tag that AWS puts on a fleet's instances."""

INSTANT_ONLY = ("BlockDeviceMappings", "IamInstanceProfile", "KeyName", "MetadataOptions")
"""Members of an override that only a fleet of the type ``instant`` may have:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_FleetLaunchTemplateOverridesRequest.html"""

_fleets = AccountRegionScopedDict()


@dataclass
class Fleet:
    """A fleet: of the type ``instant`` it starts machines once, ``maintain`` replaces those that end.

    Attributes:
        fleet_id: its ID.
        request: as it was sent.
        created: when.
        launched: the machines that it started, as CreateFleet answers.
        errors: why it started no more, as CreateFleet answers.
        weights: what each of its machines counts.
        deleted: whether it starts none any more.
    """

    fleet_id: str
    request: Mapping[str, Any]
    created: datetime
    launched: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    weights: dict[str, float] = field(default_factory=dict)
    deleted: bool = False

    @property
    def type(self) -> str:
        """Its type; ``maintain`` is AWS's default."""
        return str(self.request.get("Type", "maintain"))

    @property
    def live(self) -> list[str]:
        """Its machines that are not terminated."""
        return [instance_id for instance_id in self.weights if instances.is_live(instance_id)]

    @property
    def fulfilled(self) -> float:
        """The capacity of its live machines."""
        return sum(self.weights[instance_id] for instance_id in self.live)


def install() -> None:
    """Extend MiniStack's EC2."""
    instances.REPLACING.append(replace_ended)
    wire.install(
        {
            "CreateFleet": create_fleet,
            "DeleteFleets": delete_fleets,
            "DescribeFleetInstances": describe_fleet_instances,
            "DescribeFleets": describe_fleets,
            "DescribeSpotPriceHistory": describe_spot_price_history,
        }
    )


def create_fleet(params: Params) -> Response:
    """CreateFleet; a client token that was seen before answers with the fleet that it made then."""
    request = wire.read("CreateFleet", params)
    token = request.get("ClientToken")
    fleet = next((f for f in _fleets.values() if token and f.request.get("ClientToken") == token), None)
    if fleet is None:
        _check(request)
        if request.get("DryRun"):
            raise RefusalError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", status=412)
        fleet = Fleet(f"fleet-{uuid.uuid4()}", request, datetime.now(UTC))
        ec2._tags[fleet.fleet_id] = instances.tags_of("fleet", request)
        _fill(fleet)
        _fleets[fleet.fleet_id] = fleet
    elif fleet.request != request:
        raise RefusalError("IdempotentParameterMismatch", "The client token was used before, with other parameters.")
    return _created(fleet)


def refused(params: Params, refusal: Response) -> Response:
    """Return what CreateFleet answers where its caller may not start the machines.

    Either it is refused itself, or its answer has the refusal among its errors, as seen in
    https://github.com/aws/karpenter-provider-aws/issues/7370: `Account` chooses.
    """
    request = wire.read("CreateFleet", params)
    if request.get("Type") != "instant" or not account.settings().fleet_denials_in_answer:
        return refusal
    code, message = (re.search(f"<{tag}>(.*?)</{tag}>", refusal[2].decode()) for tag in ("Code", "Message"))
    fleet = Fleet(f"fleet-{uuid.uuid4()}", request, datetime.now(UTC))
    error = {"ErrorCode": code[1] if code else "", "ErrorMessage": message[1] if message else ""}
    fleet.errors = [{"Lifecycle": lifecycle_of(request), **error}]
    return _created(fleet)


def describe_fleets(params: Params) -> Response:
    """DescribeFleets; AWS lists instant ones by their IDs only."""
    request = wire.read("DescribeFleets", params)
    named = request.get("FleetIds", [])
    wanted = [_find(fleet_id) for fleet_id in named] or [f for f in _fleets.values() if f.type != "instant"]
    shown, token = wire.page([(fleet.fleet_id, fleet) for fleet in wanted], request)
    return wire.answer("DescribeFleets", NextToken=token, Fleets=[_described(fleet) for fleet in shown])


def describe_fleet_instances(params: Params) -> Response:
    """DescribeFleetInstances: the machines of a fleet that run."""
    request = wire.read("DescribeFleetInstances", params)
    fleet = _find(request["FleetId"])
    if fleet.type == "instant":
        raise RefusalError("UnsupportedOperation", "DescribeFleetInstances is not supported for instant fleets.")
    shown, token = wire.page([(instance_id, ec2._instances[instance_id]) for instance_id in fleet.live], request)
    active = [{name: instance[name] for name in ("InstanceId", "InstanceType")} for instance in shown]
    return wire.answer("DescribeFleetInstances", FleetId=fleet.fleet_id, NextToken=token, ActiveInstances=active)


def delete_fleets(params: Params) -> Response:
    """DeleteFleets; an instant fleet cannot be deleted and its machines kept."""
    request = wire.read("DeleteFleets", params)
    terminate = request["TerminateInstances"]
    done, failed = [], []
    for fleet_id in request["FleetIds"]:
        fleet = _fleets.get(fleet_id)
        if fleet is None or fleet.deleted or (fleet.type == "instant" and not terminate):
            code = "fleetIdDoesNotExist" if fleet is None else "fleetNotInDeletableState"
            message = f"The fleet {fleet_id} cannot be deleted."
            failed.append({"FleetId": fleet_id, "Error": {"Code": code, "Message": message}})
            continue
        fleet.deleted = True
        if terminate and fleet.live:
            instances.terminate_instances({f"InstanceId.{n}": each for n, each in enumerate(fleet.live, start=1)})
        state = _state(fleet)
        done.append({"FleetId": fleet_id, "PreviousFleetState": "active", "CurrentFleetState": state})
    return wire.answer("DeleteFleets", SuccessfulFleetDeletions=done, UnsuccessfulFleetDeletions=failed)


def replace_ended() -> None:
    """Have every fleet of the type ``maintain`` replace its machines that ended."""
    for fleet in _fleets.values():
        if fleet.type == "maintain" and not fleet.deleted:
            _fill(fleet)


def describe_spot_price_history(params: Params) -> Response:
    """DescribeSpotPriceHistory: the price in force of each type in each zone, in pages."""
    request = wire.read("DescribeSpotPriceHistory", params)
    wanted = request.get("InstanceTypes", list(instance_types()))
    found = [
        (
            f"{name} {letter}",
            {
                "InstanceType": name,
                "AvailabilityZone": f"{get_region()}{letter}",
                "ProductDescription": "Linux/UNIX",
                "SpotPrice": f"{price(instance_types()[name]) * SPOT_SHARE:f}",
                "Timestamp": datetime.now(UTC),
            },
        )
        for name in wanted
        if name in instance_types() and instance_types()[name].spot
        for letter in instance_types()[name].zones
    ]
    shown, token = wire.page(found, request)
    # AWS answers with an empty token at the end, as botocore's paginator takes it.
    return wire.answer("DescribeSpotPriceHistory", SpotPriceHistory=shown, NextToken=token or "")


def _created(fleet: Fleet) -> Response:
    # Others tell their machines by DescribeFleetInstances only.
    told = fleet.type == "instant"
    return wire.answer(
        "CreateFleet",
        FleetId=fleet.fleet_id,
        Instances=fleet.launched if told else [],
        Errors=fleet.errors if told else [],
    )


def _described(fleet: Fleet) -> dict[str, Any]:
    enough = fleet.fulfilled >= fleet.request["TargetCapacitySpecification"]["TotalTargetCapacity"]
    return {
        "FleetId": fleet.fleet_id,
        "FleetState": _state(fleet),
        "ActivityStatus": None if fleet.deleted else "fulfilled" if enough else "pending_fulfillment",
        "CreateTime": fleet.created,
        "ClientToken": fleet.request.get("ClientToken"),
        "FulfilledCapacity": fleet.fulfilled,
        "LaunchTemplateConfigs": fleet.request["LaunchTemplateConfigs"],
        "TargetCapacitySpecification": fleet.request["TargetCapacitySpecification"],
        "Type": fleet.type,
        "Tags": ec2._tags[fleet.fleet_id] or None,
        "Instances": fleet.launched if fleet.type == "instant" else None,
        "Errors": fleet.errors if fleet.type == "instant" else None,
    }


def _state(fleet: Fleet) -> str:
    if not fleet.deleted:
        return "active"
    return "deleted_running" if fleet.live else "deleted"


def _find(fleet_id: str) -> Fleet:
    fleet: Fleet | None = _fleets.get(fleet_id)
    if fleet is None:
        raise RefusalError("InvalidFleetId.NotFound", f"The fleet ID '{fleet_id}' does not exist")
    return fleet


def _check(request: Mapping[str, Any]) -> None:
    in_vcpus = is_by_vcpu(request)
    overrides = [each for config in request["LaunchTemplateConfigs"] for each in config.get("Overrides") or [{}]]
    if request.get("Type") != "instant":
        # Machines of the other types have the tags of their launch template alone:
        # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateFleet.html
        kinds = {each["ResourceType"] for each in request.get("TagSpecifications", [])} - {"fleet"}
        named = {member for override in overrides for member in override if member in INSTANT_ONLY}
        if kinds or named:
            raise RefusalError(
                "InvalidParameterValue", f"Only a fleet of the type instant takes {', '.join(sorted(kinds | named))}."
            )
    if sum("InstanceRequirements" in override for override in overrides) > MOST_REQUIREMENTS:
        raise RefusalError(
            "InvalidParameterValue",
            f"Your request contains more than the maximum allowed number of InstanceRequirements ({MOST_REQUIREMENTS})",
        )
    for override in overrides:
        requirements, name = override.get("InstanceRequirements"), override.get("InstanceType")
        if (requirements is None) == (name is None) or (in_vcpus and requirements is None):
            raise RefusalError(
                "InvalidFleetConfiguration",
                "Name either InstanceType or InstanceRequirements; TargetCapacityUnitType needs InstanceRequirements.",
            )


def _fill(fleet: Fleet) -> None:
    """Start the machines that a fleet lacks, those whose unit of capacity is cheapest first."""
    lifecycle = lifecycle_of(fleet.request)
    missing = fleet.request["TargetCapacitySpecification"]["TotalTargetCapacity"] - fleet.fulfilled
    if missing <= 0:
        return
    kept = dict(scripts.settings().capacity or {})
    for config in fleet.request["LaunchTemplateConfigs"]:
        specification = config["LaunchTemplateSpecification"]
        _, data = read_template(specification)
        for candidate in sorted(candidates(fleet.request, config, data, lifecycle), key=rank(fleet.request)):
            if missing <= 0:
                return
            name = candidate.machine.name
            # "If the target capacity divided by this value is not a whole number, Amazon EC2 rounds the number of
            # instances to the next whole number": API_FleetLaunchTemplateOverridesRequest
            wanted = math.ceil(missing / candidate.weight)
            count, refusal = available(candidate, lifecycle, wanted, kept.get(name, wanted))
            kept[name] = kept.get(name, wanted) - count
            where = {
                "LaunchTemplateAndOverrides": {
                    "LaunchTemplateSpecification": specification,
                    "Overrides": candidate.override,
                },
                "Lifecycle": lifecycle,
            }
            if count:
                started = _start(fleet, candidate, data, count, lifecycle)
                fleet.launched.append({**where, "InstanceIds": started, "InstanceType": name})
                fleet.weights |= dict.fromkeys(started, candidate.weight)
                missing -= count * candidate.weight
            if refusal:
                fleet.errors.append({**where, "ErrorCode": refusal.code, "ErrorMessage": refusal.message})


def _start(fleet: Fleet, candidate: Candidate, data: Mapping[str, Any], count: int, lifecycle: str) -> list[str]:
    tags = [*data.get("TagSpecifications", [])]
    if fleet.type == "instant":
        # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateFleet.html: of others only the template's.
        tags += fleet.request.get("TagSpecifications", [])
    override = {name: value for name, value in candidate.override.items() if name != "InstanceRequirements"}
    request = {**data, **override, "InstanceType": candidate.machine.name, "TagSpecifications": tags}
    started = instances.start(request, count, spot=lifecycle == "spot")
    for instance in started:
        # The fleet's client token is not that of its machines.
        instance["ClientToken"] = f"{fleet.fleet_id}-{uuid.uuid4()}"[:64]
        ec2._tags[instance["InstanceId"]] = [
            *instances.tags_of("instance", request),
            {"Key": FLEET_TAG, "Value": fleet.fleet_id},
        ]
    return [instance["InstanceId"] for instance in started]
