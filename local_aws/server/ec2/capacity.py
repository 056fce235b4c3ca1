"""What a fleet may start, in which order, and how much of it there is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ministack.services import ec2

from local_aws.server import account
from local_aws.server.ec2 import images, refusals, scripts
from local_aws.server.ec2.attributes import SPOT_SHARE, affordable, matching, price
from local_aws.server.ec2.catalogue import InstanceType, instance_types
from local_aws.server.wire import RefusalError


@dataclass(frozen=True)
class Candidate:
    """A type in a subnet that a fleet may start.

    Attributes:
        machine: the type.
        override: the member of the request that allows it.
        weight: what one machine counts.
        price: dollars an hour of one unit of capacity.
    """

    machine: InstanceType
    override: Mapping[str, Any]
    weight: float
    price: Decimal


def is_by_vcpu(request: Mapping[str, Any]) -> bool:
    """Tell whether a fleet's target counts vCPUs; otherwise it counts units."""
    return bool(request["TargetCapacitySpecification"].get("TargetCapacityUnitType", "units") == "vcpu")


def lifecycle_of(request: Mapping[str, Any]) -> str:
    """Return how a fleet buys its machines: ``on-demand`` or ``spot``."""
    return str(request["TargetCapacitySpecification"].get("DefaultTargetCapacityType", "on-demand"))


def rank(request: Mapping[str, Any]) -> Any:
    """Return the key by which a fleet sorts candidates: priority where it has one, otherwise the price of a unit."""
    strategies = [request.get(f"{kind}Options", {}).get("AllocationStrategy", "") for kind in ("OnDemand", "Spot")]
    if any(strategy.endswith("prioritized") for strategy in strategies):
        return lambda candidate: candidate.override.get("Priority", math.inf)
    return lambda candidate: candidate.price


def available(candidate: Candidate, lifecycle: str, wanted: int, in_stock: int) -> tuple[int, RefusalError | None]:
    """Return how many machines there are of those wanted, and why no more."""
    name = candidate.machine.name
    highest = candidate.override.get("MaxPrice")
    if lifecycle == "spot" and not candidate.machine.spot:
        return 0, RefusalError("InvalidFleetConfiguration", f"Your requested instance type ({name}) is not supported.")
    if lifecycle == "spot" and highest is not None and Decimal(highest) < candidate.price:
        text = f"Your Spot request price of {highest} is lower than the minimum required Spot request fulfillment price"
        return 0, RefusalError("SpotMaxPriceTooLow", f"{text} of {candidate.price}.")
    try:
        refusals.check_account()
        refusals.check_type(name, lifecycle, wanted)
    except RefusalError as refusal:
        if not account.settings().fleet_refusals_in_answer:
            raise
        exhausted = refusal.code in {code for code, _ in refusals.EXCEEDED.values()}
        return (min(in_stock, refusals.left(name, lifecycle)) if exhausted else 0), refusal
    count = min(wanted, in_stock)
    text = f"There are no more machines of the type {name} (made up)."
    return count, RefusalError(scripts.settings().fleet_error, text) if count < wanted else None


def candidates(
    request: Mapping[str, Any], config: Mapping[str, Any], data: Mapping[str, Any], lifecycle: str
) -> Iterator[Candidate]:
    """Yield what a member of LaunchTemplateConfigs lets a fleet start; `data` is its template's."""
    by_vcpu = is_by_vcpu(request)
    share = SPOT_SHARE if lifecycle == "spot" else Decimal(1)
    for override in config.get("Overrides") or [{}]:
        architecture = images.architecture_of({**data, **override}["ImageId"])
        subnet_id = override.get("SubnetId", data.get("SubnetId", ec2._DEFAULT_SUBNET_ID))
        zone = ec2._subnets[subnet_id]["AvailabilityZone"]
        for machine in _machines(override, architecture, lifecycle, by_vcpu=by_vcpu):
            if zone[-1] in machine.zones:
                weight = float(machine.vcpus) if by_vcpu else float(override.get("WeightedCapacity", 1))
                yield Candidate(machine, override, weight, price(machine) * share / Decimal(weight))


def _machines(
    override: Mapping[str, Any], architecture: str, lifecycle: str, *, by_vcpu: bool
) -> Iterable[InstanceType]:
    requirements = override.get("InstanceRequirements")
    if requirements is None:
        named = instance_types().get(override["InstanceType"])
        return [named] if named and named.architecture == architecture else []
    found = [machine for machine in matching(requirements) if machine.architecture == architecture]
    return affordable(found, requirements, lifecycle, by_vcpu=by_vcpu)
