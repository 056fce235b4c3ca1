"""The Service Quotas API: how many vCPUs may run. MiniStack has no such service.

Source: https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_GetServiceQuota.html
"""

from __future__ import annotations

import json
from typing import Any

from ministack import app as ministack
from ministack.core import iam_actions, router
from ministack.core.responses import get_account_id, get_region

from local_aws.server import account
from local_aws.server.iam.rules import Rules
from local_aws.server.wire import Params, Response, json_answer

TARGET = "ServiceQuotasV20190624."

QUOTAS = {"L-1216C47A": 256.0, "L-34B43A08": 128.0}
"""vCPUs of standard machines on demand, and on the spot market: numbers made up."""


def value(code: str) -> float:
    """Return what a quota is in this region."""
    return float(account.settings().vcpu_quotas.get(get_region(), {}).get(code, QUOTAS[code]))


def install() -> None:
    """Add the service to MiniStack, with IAM's check of its one action."""
    router.SERVICE_PATTERNS["servicequotas"] = {"target_prefixes": [TARGET]}
    iam_actions.SERVICE_TO_IAM_NAMESPACE["servicequotas"] = "servicequotas"
    ministack.SERVICE_HANDLERS["servicequotas"] = _handle


def resources(params: Params) -> list[str]:
    """Return the quota that a call is authorized on."""
    return [_arn(str(params.get("ServiceCode", "")), str(params.get("QuotaCode", "")))]


RULES = Rules(resources)


async def _handle(
    method: str,  # noqa: ARG001 (as MiniStack calls it)
    path: str,  # noqa: ARG001
    headers: dict[str, str],
    body: bytes,
    query_params: dict[str, Any],  # noqa: ARG001
) -> Response:
    request = json.loads(body)
    service, code = request.get("ServiceCode", ""), request.get("QuotaCode", "")
    if headers.get("x-amz-target") != f"{TARGET}GetServiceQuota" or service != "ec2" or code not in QUOTAS:
        return json_answer(400, {"__type": "NoSuchResourceException", "message": "The local AWS knows no such quota."})
    quota = {"ServiceCode": service, "QuotaCode": code, "QuotaArn": _arn(service, code), "Value": value(code)}
    return json_answer(200, {"Quota": quota})


def _arn(service: str, code: str) -> str:
    return f"arn:aws:servicequotas:{get_region()}:{get_account_id()}:{service}/{code}"
