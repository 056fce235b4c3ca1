"""EC2 fleets of the type ``instant``, and what belongs to choosing machines by attributes.

MiniStack's CreateFleet reads no attributes and knows neither client tokens nor shortfalls. Here, too, the cheapest type
that fits is taken first, on demand and on the spot market. `Settings` of `scripts` say of which types there are how
many machines left, and how AWS refuses more.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateFleet.html
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_region
from ministack.services import ec2

from local_aws.server import wire
from local_aws.server.ec2 import images, instances, scripts
from local_aws.server.ec2.catalogue import GIB, INSTANCE_TYPES, InstanceType
from local_aws.server.ec2.launch_templates import read_template
from local_aws.server.wire import Params, RefusalError, Response

FLEET_TAG = "aws:ec2:fleet-id"
"""The tag that AWS puts on a fleet's instances."""

SPOT_SHARE = Decimal("0.4")
"""What a spot machine costs of the price on demand. Made up, as all prices here."""

UNPRICED = Decimal("0.1")
"""What a type costs that the price list lacks."""

_fleets = AccountRegionScopedDict()


@dataclass
class Fleet:
    """A fleet of the type ``instant``: it starts machines once.

    Attributes:
        fleet_id: its ID.
        request: as it was sent.
        launched: the machines that it started, as CreateFleet answers.
        errors: why it started no more, as CreateFleet answers.
    """

    fleet_id: str
    request: Mapping[str, Any]
    launched: list[dict[str, Any]]
    errors: list[dict[str, Any]]


@dataclass(frozen=True)
class Candidate:
    """A type in a subnet that a fleet may start.

    Attributes:
        machine: the type.
        override: the member of the request that allows it.
    """

    machine: InstanceType
    override: Mapping[str, Any]


def install() -> None:
    """Extend MiniStack's EC2."""
    wire.install(
        {
            "CreateFleet": create_fleet,
            "DescribeSpotPriceHistory": describe_spot_price_history,
            "GetInstanceTypesFromInstanceRequirements": get_instance_types_from_instance_requirements,
        }
    )


def create_fleet(params: Params) -> Response:
    """CreateFleet; a client token that was seen before answers with the fleet that it made then."""
    request = wire.read("CreateFleet", params)
    if request.get("Type", "maintain") != "instant":
        raise RefusalError("UnsupportedOperation", "The local AWS makes fleets of the type instant only.")
    token = request.get("ClientToken")
    fleet = next((f for f in _fleets.values() if token and f.request.get("ClientToken") == token), None)
    if fleet is None:
        fleet = Fleet(f"fleet-{uuid.uuid4()}", request, [], [])
        _launch(fleet)
        _fleets[fleet.fleet_id] = fleet
    elif fleet.request != request:
        raise RefusalError("IdempotentParameterMismatch", "The client token was used before, with other parameters.")
    return wire.answer("CreateFleet", FleetId=fleet.fleet_id, Instances=fleet.launched, Errors=fleet.errors)


def get_instance_types_from_instance_requirements(params: Params) -> Response:
    """GetInstanceTypesFromInstanceRequirements, in pages."""
    action = "GetInstanceTypesFromInstanceRequirements"
    request = wire.read(action, params)
    found = [
        (machine.name, {"InstanceType": machine.name})
        for machine in matching(request["InstanceRequirements"])
        if machine.architecture in request["ArchitectureTypes"]
    ]
    shown, token = wire.page(found, request)
    return wire.answer(action, InstanceTypes=shown, NextToken=token)


def describe_spot_price_history(params: Params) -> Response:
    """DescribeSpotPriceHistory: the price in force of each type in each zone, in pages."""
    request = wire.read("DescribeSpotPriceHistory", params)
    wanted = request.get("InstanceTypes", list(INSTANCE_TYPES))
    found = [
        (
            f"{name} {letter}",
            {
                "InstanceType": name,
                "AvailabilityZone": f"{get_region()}{letter}",
                "ProductDescription": "Linux/UNIX",
                "SpotPrice": f"{_price(INSTANCE_TYPES[name]) * SPOT_SHARE:f}",
                "Timestamp": datetime.now(UTC),
            },
        )
        for name in wanted
        if name in INSTANCE_TYPES and INSTANCE_TYPES[name].spot
        for letter in INSTANCE_TYPES[name].zones
    ]
    shown, token = wire.page(found, request)
    # AWS answers with an empty token at the end, as botocore's paginator takes it.
    return wire.answer("DescribeSpotPriceHistory", SpotPriceHistory=shown, NextToken=token or "")


def matching(requirements: Mapping[str, Any]) -> list[InstanceType]:
    """Return the types that have the attributes, by AWS's defaults for those that are not given."""
    return [machine for machine in INSTANCE_TYPES.values() if _matches(machine, requirements)]


def _matches(machine: InstanceType, requirements: Mapping[str, Any]) -> bool:
    generations = requirements.get("InstanceGenerations", ["current", "previous"])
    allowed, excluded = (requirements.get(f"{kind}InstanceTypes", []) for kind in ("Allowed", "Excluded"))
    return (
        _within(machine.vcpus, requirements["VCpuCount"])
        and _within(machine.memory, requirements["MemoryMiB"])
        and _within(machine.memory / GIB / machine.vcpus, requirements.get("MemoryGiBPerVCpu", {}))
        and ("current" if machine.current else "previous") in generations
        and (not machine.bare_metal or requirements.get("BareMetal", "excluded") != "excluded")
        and (not machine.burstable or requirements.get("BurstablePerformance", "excluded") != "excluded")
        and (not allowed or _named(machine, allowed))
        and not _named(machine, excluded)
    )


def _within(value: float, limits: Mapping[str, float]) -> bool:
    return limits.get("Min", 0) <= value <= limits.get("Max", math.inf)


def _named(machine: InstanceType, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(machine.name, pattern) for pattern in patterns)


def _price(machine: InstanceType) -> Decimal:
    return Decimal(machine.price) if machine.price else UNPRICED


def _launch(fleet: Fleet) -> None:
    target = fleet.request["TargetCapacitySpecification"]
    (config,) = fleet.request["LaunchTemplateConfigs"]
    specification = config["LaunchTemplateSpecification"]
    _, data = read_template(specification)
    by_vcpu = target.get("TargetCapacityUnitType", "units") == "vcpu"
    candidates = sorted(
        _candidates(config, data, by_vcpu), key=lambda found: _price(found.machine) / found.machine.vcpus
    )
    lifecycle = target.get("DefaultTargetCapacityType", "on-demand")
    missing = target["TotalTargetCapacity"]
    left = dict(scripts.settings().capacity or {})
    for candidate in candidates:
        if missing <= 0:
            return
        name, weight = candidate.machine.name, candidate.machine.vcpus if by_vcpu else 1
        wanted = math.ceil(missing / weight)
        count = min(wanted, left.get(name, wanted)) if lifecycle == "on-demand" or candidate.machine.spot else 0
        left[name] = left.get(name, wanted) - count
        where = {"LaunchTemplateSpecification": specification, "Overrides": candidate.override}
        if count:
            started = _start(fleet, candidate, data, count, lifecycle)
            fleet.launched.append(
                {
                    "LaunchTemplateAndOverrides": where,
                    "Lifecycle": lifecycle,
                    "InstanceIds": started,
                    "InstanceType": name,
                }
            )
            missing -= count * weight
        if count < wanted:
            code = scripts.settings().fleet_error
            fleet.errors.append(
                {
                    "LaunchTemplateAndOverrides": where,
                    "Lifecycle": lifecycle,
                    "ErrorCode": code,
                    "ErrorMessage": f"There are no more machines of the type {name} (made up).",
                }
            )


def _candidates(config: Mapping[str, Any], data: Mapping[str, Any], by_vcpu: bool) -> Iterable[Candidate]:
    architecture = images.architecture_of(data["ImageId"])
    for override in config.get("Overrides") or [{}]:
        requirements, name = override.get("InstanceRequirements"), override.get("InstanceType")
        if (requirements is None) == (name is None) or (by_vcpu and requirements is None):
            raise RefusalError(
                "InvalidFleetConfiguration",
                "Name either InstanceType or InstanceRequirements; TargetCapacityUnitType needs InstanceRequirements.",
            )
        machines = [INSTANCE_TYPES[name]] if name in INSTANCE_TYPES else []
        zone = ec2._subnets[override.get("SubnetId", ec2._DEFAULT_SUBNET_ID)]["AvailabilityZone"]
        for machine in matching(requirements) if requirements else machines:
            if machine.architecture == architecture and zone[-1] in machine.zones:
                yield Candidate(machine, override)


def _start(fleet: Fleet, candidate: Candidate, data: Mapping[str, Any], count: int, lifecycle: str) -> list[str]:
    request = {
        **data,
        "SubnetId": ec2._DEFAULT_SUBNET_ID,
        **candidate.override,
        "InstanceType": candidate.machine.name,
    }
    started = instances.launch(instances.form_of(request, count))
    for instance in started:
        instance |= {
            # The fleet's client token is not that of its machines.
            "ClientToken": f"{fleet.fleet_id}-{uuid.uuid4()}"[:64],
            "LaunchRequest": request,
            "DisableApiTermination": False,
            "Started": time.monotonic(),
        }
        if lifecycle == "spot":
            instance["SpotInstanceRequestId"] = f"sir-{uuid.uuid4().hex[:8]}"
        ec2._tags[instance["InstanceId"]] = [
            *_tags_of("instance", data),
            *_tags_of("instance", fleet.request),
            {"Key": FLEET_TAG, "Value": fleet.fleet_id},
        ]
        instances.tag_volumes(instance, data)
    return [instance["InstanceId"] for instance in started]


def _tags_of(kind: str, request: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {"Key": tag["Key"], "Value": tag.get("Value", "")}
        for specification in request.get("TagSpecifications", [])
        if specification["ResourceType"] == kind
        for tag in specification.get("Tags", [])
    ]
