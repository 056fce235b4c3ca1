"""What MiniStack's STS lacks: MFA codes, each good for one session, and DecodeAuthorizationMessage.

A code is six digits; which ones a device shows, nobody checks. That a code is good only once:
https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_mfa_configure-api-require.html.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import Any
from xml.sax.saxutils import escape

from ministack import app as ministack
from ministack.core import iam_evaluator
from ministack.services import iam, sts

from local_aws.server.iam.messages import decoded
from local_aws.server.iam.rules import value_of
from local_aws.server.wire import Params, Response

WITH_MFA = ("AssumeRole", "GetSessionToken")

_used: set[tuple[str, str]] = set()
"""The codes that were good once, with the serial number of their device."""


def install() -> None:
    """Stand before MiniStack's STS, and tell policies of sessions that began with a code or are a function's."""
    handler, keys_of = ministack.SERVICE_HANDLERS["sts"], iam_evaluator._principal_keys

    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query_params: dict[str, Any]
    ) -> Response:
        params = ministack._routing_params(method, path, headers, body, query_params)
        action = value_of(params, "Action")
        if action == "DecodeAuthorizationMessage":
            return _decode(params, headers, query_params)
        code = value_of(params, "TokenCode") if action in WITH_MFA else ""
        serial = value_of(params, "SerialNumber")
        if code and not _accepts(serial, code):
            message = "MultiFactorAuthentication failed with invalid MFA one time pass code. "
            refused: Response = iam._error(403, "AccessDenied", message, ns="sts")
            return refused
        answer: Response = await handler(method, path, headers, body, query_params)
        if code and answer[0] == 200:
            _used.add((serial, code))
            (key_id,) = re.findall(r"<AccessKeyId>(.*?)</AccessKeyId>", answer[2].decode())
            sts._sessions[key_id]["Mfa"] = True
        return answer

    def principal_keys(credential: Any) -> dict[str, Any]:
        keys: dict[str, Any] = keys_of(credential)
        session = sts._sessions.get(credential.access_key_id) or {}
        mfa = {"aws:multifactorauthpresent": "true"} if session.get("Mfa") else {}
        # https://docs.aws.amazon.com/lambda/latest/dg/permissions-source-function-arn.html
        source = {"lambda:sourcefunctionarn": session["SourceFunctionArn"]} if "SourceFunctionArn" in session else {}
        return {**keys, **mfa, **source}

    ministack.SERVICE_HANDLERS["sts"] = handle
    for module in (iam_evaluator, sts):
        module._principal_keys = principal_keys


def _accepts(serial: str, code: str) -> bool:
    device = iam._mfa_devices.get(serial)
    owned = bool(device and device["User"] and device["User"] in iam._users)
    return owned and bool(re.fullmatch(r"\d{6}", code)) and (serial, code) not in _used


def _decode(params: Params, headers: dict[str, str], query_params: dict[str, Any]) -> Response:
    # https://docs.aws.amazon.com/STS/latest/APIReference/API_DecodeAuthorizationMessage.html
    action = "sts:DecodeAuthorizationMessage"
    denied: Response | None = ministack._enforce_data_plane("sts", action, headers, query_params, str(uuid.uuid4()))
    if denied:
        return denied
    text = decoded(value_of(params, "EncodedMessage"))
    if text is None:
        message = "Message is not valid"
        refused: Response = iam._error(400, "InvalidAuthorizationMessageException", message, ns="sts")
        return refused
    # As compact as AWS writes it.
    document = escape(json.dumps(json.loads(text), separators=(",", ":")))
    inner = f"<DecodeAuthorizationMessageResult><DecodedMessage>{document}</DecodedMessage>"
    answer: Response = iam._xml(
        200, "DecodeAuthorizationMessageResponse", f"{inner}</DecodeAuthorizationMessageResult>", ns="sts"
    )
    return answer
