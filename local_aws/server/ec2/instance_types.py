"""Instance types: what each is, and in which availability zones it is offered."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from ministack.core.responses import get_region

from local_aws.server import wire
from local_aws.server.ec2.catalogue import FREE_PLAN, InstanceType, instance_types
from local_aws.server.wire import Params, RefusalError, Response

FILTERS: dict[str, Callable[[InstanceType], str]] = {
    "bare-metal": lambda instance_type: str(instance_type.bare_metal).lower(),
    "burstable-performance-supported": lambda instance_type: str(instance_type.burstable).lower(),
    "current-generation": lambda instance_type: str(instance_type.current).lower(),
    "free-tier-eligible": lambda instance_type: str(instance_type.name in FREE_PLAN).lower(),
    "instance-type": lambda instance_type: instance_type.name,
    "processor-info.supported-architecture": lambda instance_type: instance_type.architecture,
    "supported-usage-class": lambda instance_type: "spot" if instance_type.spot else "on-demand",
}
"""The filters of DescribeInstanceTypes known here."""


def install() -> None:
    """Extend MiniStack's EC2."""
    wire.install(
        {
            "DescribeInstanceTypes": describe_instance_types,
            "DescribeInstanceTypeOfferings": describe_instance_type_offerings,
        }
    )


def describe_instance_types(params: Params) -> Response:
    """DescribeInstanceTypes, by names or by filters, in pages."""
    request = wire.read("DescribeInstanceTypes", params)
    unknown = sorted(set(request.get("InstanceTypes", [])) - set(instance_types()))
    if unknown:
        raise RefusalError("InvalidInstanceType", f"The following supplied instance types do not exist: {unknown}")
    conditions = [_condition(filter_["Name"], filter_.get("Values", [])) for filter_ in request.get("Filters", [])]
    found = {
        name: instance_types()[name]
        for name in request.get("InstanceTypes") or instance_types()
        if all(condition(instance_types()[name]) for condition in conditions)
    }
    shown, token = wire.page(found.items(), request, minimum=5)
    return wire.answer(
        "DescribeInstanceTypes", InstanceTypes=[_described(instance_type) for instance_type in shown], NextToken=token
    )


def describe_instance_type_offerings(params: Params) -> Response:
    """DescribeInstanceTypeOfferings by availability zone, in pages."""
    request = wire.read("DescribeInstanceTypeOfferings", params)
    if request.get("LocationType") != "availability-zone":
        raise RefusalError("UnsupportedOperation", "The local AWS knows offerings by availability zone only.")
    filters = {filter_["Name"]: filter_.get("Values", []) for filter_ in request.get("Filters", [])}
    offered = {
        f"{instance_type.name} {zone}": {
            "InstanceType": instance_type.name,
            "LocationType": "availability-zone",
            "Location": zone,
        }
        for instance_type in instance_types().values()
        for zone in (f"{get_region()}{letter}" for letter in instance_type.zones)
        if zone in filters.get("location", [zone])
        and instance_type.name in filters.get("instance-type", [instance_type.name])
    }
    shown, token = wire.page(offered.items(), request, minimum=5)
    return wire.answer("DescribeInstanceTypeOfferings", InstanceTypeOfferings=shown, NextToken=token)


def _condition(name: str, patterns: list[str]) -> Callable[[InstanceType], bool]:
    if name not in FILTERS:
        raise RefusalError("InvalidParameterValue", f"The filter '{name}' is invalid")
    return lambda instance_type: any(fnmatchcase(FILTERS[name](instance_type), pattern) for pattern in patterns)


def _described(instance_type: InstanceType) -> dict[str, Any]:
    return {
        "InstanceType": instance_type.name,
        "CurrentGeneration": instance_type.current,
        "FreeTierEligible": instance_type.name in FREE_PLAN,
        "SupportedUsageClasses": ["on-demand", "spot"] if instance_type.spot else ["on-demand"],
        "BareMetal": instance_type.bare_metal,
        "BurstablePerformanceSupported": instance_type.burstable,
        "ProcessorInfo": {"SupportedArchitectures": [instance_type.architecture]},
        "VCpuInfo": {"DefaultVCpus": instance_type.vcpus},
        "MemoryInfo": {"SizeInMiB": instance_type.memory},
    }
