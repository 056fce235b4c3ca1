"""Instance types: what each is, and in which availability zones it is offered."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from ministack.core.responses import get_region

from local_aws.server import wire
from local_aws.server.ec2.catalogue import INSTANCE_TYPES, InstanceType
from local_aws.server.wire import Params, RefusalError, Response

FILTERS: dict[str, Callable[[InstanceType], str]] = {
    "bare-metal": lambda each: str(each.bare_metal).lower(),
    "burstable-performance-supported": lambda each: str(each.burstable).lower(),
    "current-generation": lambda each: str(each.current).lower(),
    "instance-type": lambda each: each.name,
    "processor-info.supported-architecture": lambda each: each.architecture,
    "supported-usage-class": lambda each: "spot" if each.spot else "on-demand",
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
    unknown = sorted(set(request.get("InstanceTypes", [])) - set(INSTANCE_TYPES))
    if unknown:
        raise RefusalError("InvalidInstanceType", f"The following supplied instance types do not exist: {unknown}")
    conditions = [_condition(each["Name"], each.get("Values", [])) for each in request.get("Filters", [])]
    found = {
        name: INSTANCE_TYPES[name]
        for name in request.get("InstanceTypes") or INSTANCE_TYPES
        if all(condition(INSTANCE_TYPES[name]) for condition in conditions)
    }
    shown, token = wire.page(found.items(), request, minimum=5)
    return wire.answer("DescribeInstanceTypes", InstanceTypes=[_described(each) for each in shown], NextToken=token)


def describe_instance_type_offerings(params: Params) -> Response:
    """DescribeInstanceTypeOfferings by availability zone, in pages."""
    request = wire.read("DescribeInstanceTypeOfferings", params)
    if request.get("LocationType") != "availability-zone":
        raise RefusalError("UnsupportedOperation", "The local AWS knows offerings by availability zone only.")
    filters = {each["Name"]: each.get("Values", []) for each in request.get("Filters", [])}
    offered = {
        f"{each.name} {zone}": {"InstanceType": each.name, "LocationType": "availability-zone", "Location": zone}
        for each in INSTANCE_TYPES.values()
        for zone in (f"{get_region()}{letter}" for letter in each.zones)
        if zone in filters.get("location", [zone]) and each.name in filters.get("instance-type", [each.name])
    }
    shown, token = wire.page(offered.items(), request, minimum=5)
    return wire.answer("DescribeInstanceTypeOfferings", InstanceTypeOfferings=shown, NextToken=token)


def _condition(name: str, patterns: list[str]) -> Callable[[InstanceType], bool]:
    if name not in FILTERS:
        raise RefusalError("InvalidParameterValue", f"The filter '{name}' is invalid")
    return lambda each: any(fnmatchcase(FILTERS[name](each), pattern) for pattern in patterns)


def _described(each: InstanceType) -> dict[str, Any]:
    return {
        "InstanceType": each.name,
        "CurrentGeneration": each.current,
        "SupportedUsageClasses": ["on-demand", "spot"] if each.spot else ["on-demand"],
        "BareMetal": each.bare_metal,
        "BurstablePerformanceSupported": each.burstable,
        "ProcessorInfo": {"SupportedArchitectures": [each.architecture]},
        "VCpuInfo": {"DefaultVCpus": each.vcpus},
        "MemoryInfo": {"SizeInMiB": each.memory},
    }
