"""Machines chosen by attributes: which types have them, and which of those a fleet leaves out for their price."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

from local_aws.server import wire
from local_aws.server.ec2.catalogue import GIB, InstanceType, instance_types
from local_aws.server.wire import Params, Response

SPOT_SHARE = Decimal("0.4")
"""What a spot machine costs of the price on demand. Made up, as all prices here."""

UNPRICED = Decimal("0.1")
"""What a type costs that the price list lacks."""

MOST_REQUIREMENTS = 4
"""InstanceRequirements in a CreateFleet request, at most: https://github.com/osbuild/osbuild-composer/pull/3946"""

PROTECTION = {
    "on-demand": ("OnDemandMaxPricePercentageOverLowestPrice", 20),
    "spot": ("SpotMaxPricePercentageOverLowestPrice", 100),
}
"""The attribute that says how far above the cheapest type, in percent, and its default.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceRequirementsRequest.html
"""


def install() -> None:
    """Extend MiniStack's EC2."""
    action = "GetInstanceTypesFromInstanceRequirements"
    wire.install({action: get_instance_types_from_instance_requirements})


def get_instance_types_from_instance_requirements(params: Params) -> Response:
    """GetInstanceTypesFromInstanceRequirements, in pages; there is no price protection here.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-fleet-attribute-based-instance-type-selection.html
    """
    action = "GetInstanceTypesFromInstanceRequirements"
    request = wire.read(action, params)
    found = [
        (machine.name, {"InstanceType": machine.name})
        for machine in matching(request["InstanceRequirements"])
        if machine.architecture in request["ArchitectureTypes"]
    ]
    shown, token = wire.page(found, request)
    return wire.answer(action, InstanceTypes=shown, NextToken=token)


def matching(requirements: Mapping[str, Any]) -> list[InstanceType]:
    """Return the types that have the attributes, by AWS's defaults for those that are not given."""
    return [machine for machine in instance_types().values() if _matches(machine, requirements)]


def affordable(
    machines: list[InstanceType], requirements: Mapping[str, Any], lifecycle: str, *, by_vcpu: bool
) -> list[InstanceType]:
    """Return the types of those that have the attributes whose price a fleet accepts.

    They are measured at the cheapest type of the families C, M and R, or at the cheapest of all where those have none.
    A spot price is measured at the cheapest spot price, or, where the attributes say so, at the price on demand. Same
    source as above.

    Args:
        machines: that have the attributes.
        requirements: the attributes.
        lifecycle: ``on-demand`` or ``spot``.
        by_vcpu: whether prices are compared by vCPU, as for a target in vCPUs, or by machine.
    """
    name, percent = PROTECTION[lifecycle]
    factor = 1 + Decimal(requirements.get(name, percent)) / 100

    def unit_price(machine: InstanceType) -> Decimal:
        return price(machine) / (machine.vcpus if by_vcpu else 1)

    usual = [machine for machine in machines if machine.name[0] in "cmr" and machine.current]
    lowest = min(map(unit_price, usual or machines), default=Decimal(0))
    on_demand = requirements.get("MaxSpotPriceAsPercentageOfOptimalOnDemandPrice") if lifecycle == "spot" else None
    if on_demand is not None:
        return [each for each in machines if unit_price(each) * SPOT_SHARE <= lowest * Decimal(on_demand) / 100]
    return [machine for machine in machines if unit_price(machine) <= lowest * factor]


def price(machine: InstanceType) -> Decimal:
    """Return what a machine of a type costs an hour on demand, in dollars."""
    return Decimal(machine.price) if machine.price else UNPRICED


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
