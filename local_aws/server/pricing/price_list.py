"""The Price List API: what instance types cost on demand. MiniStack has no such service.

Source: https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_pricing_GetProducts.html
"""

from __future__ import annotations

import json
from typing import Any

from ministack import app as ministack
from ministack.core import iam_actions, router

from local_aws.server.ec2.catalogue import InstanceType, instance_types
from local_aws.server.wire import Response, json_answer

TARGET = "AWSPriceListService."
PAGE_SIZE = 5
"""Products on a page, far below AWS's 100: so that a client that reads only one page is caught."""


def install() -> None:
    """Add the service to MiniStack, with IAM's check of its one action."""
    router.SERVICE_PATTERNS["pricing"] = {"target_prefixes": [TARGET]}
    iam_actions.SERVICE_TO_IAM_NAMESPACE["pricing"] = "pricing"
    ministack.SERVICE_HANDLERS["pricing"] = _handle


async def _handle(
    method: str,  # noqa: ARG001 (as MiniStack calls it)
    path: str,  # noqa: ARG001
    headers: dict[str, str],
    body: bytes,
    query_params: dict[str, Any],  # noqa: ARG001
) -> Response:
    if headers.get("x-amz-target") != f"{TARGET}GetProducts":
        return json_answer(
            400, {"__type": "InvalidParameterException", "message": "The local AWS knows GetProducts only."}
        )
    request = json.loads(body)
    wanted = {filter_["Field"]: filter_["Value"] for filter_ in request.get("Filters", [])}
    products = [
        _product(instance_type, wanted.get("regionCode", ""))
        for instance_type in instance_types().values()
        if instance_type.price
    ]
    found = [
        json.dumps(product)
        for product in products
        if all(product["product"]["attributes"].get(field) == value for field, value in wanted.items())
    ]
    start = int(request.get("NextToken", 0))
    following = {"NextToken": str(start + PAGE_SIZE)} if start + PAGE_SIZE < len(found) else {}
    answer = {"FormatVersion": "aws_v1", "PriceList": found[start : start + PAGE_SIZE], **following}
    return json_answer(200, answer)


def _product(instance_type: InstanceType, region: str) -> dict[str, Any]:
    sku = instance_type.name.upper().replace(".", "")
    return {
        "product": {
            "sku": sku,
            "productFamily": "Compute Instance" + (" (bare metal)" if instance_type.bare_metal else ""),
            "attributes": {
                "instanceType": instance_type.name,
                "regionCode": region,
                "operatingSystem": "Linux",
                "tenancy": "Shared",
                "preInstalledSw": "NA",
                "capacitystatus": "Used",
                "marketoption": "OnDemand",
            },
        },
        "terms": {
            "OnDemand": {
                f"{sku}.T": {
                    "priceDimensions": {f"{sku}.T.D": {"unit": "Hrs", "pricePerUnit": {"USD": instance_type.price}}}
                }
            }
        },
    }
