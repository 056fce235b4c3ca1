"""Which regions an account has enabled; MiniStack's has all.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeRegions.html
"""

from __future__ import annotations

from typing import Any

from ministack.services import ec2

from local_aws.server import account, wire
from local_aws.server.wire import Params, RefusalError, Response


def install() -> None:
    """Extend MiniStack's EC2."""
    wire.install({"DescribeRegions": describe_regions})


def describe_regions(params: Params) -> Response:
    """DescribeRegions; those that are not enabled only where all are asked for."""
    request = wire.read("DescribeRegions", params)
    disabled, known = account.settings().disabled_regions, dict(ec2._AWS_REGIONS)
    wanted = request.get("RegionNames", list(known))
    for name in wanted:
        if name not in known:
            raise RefusalError("InvalidParameterValue", f"Invalid region provided: [{name}]")
    regions: list[dict[str, Any]] = [
        {
            "RegionName": name,
            "Endpoint": f"ec2.{name}.amazonaws.com",
            "OptInStatus": "not-opted-in" if name in disabled else known[name],
        }
        for name in wanted
        if request.get("AllRegions") or name not in disabled
    ]
    return wire.answer("DescribeRegions", Regions=regions)
