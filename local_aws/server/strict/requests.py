"""What goes wrong on the way of a request: throttles, and the name of a bucket that is not free yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

from ministack import app as ministack

from local_aws.server.strict import late_iam, late_reads
from local_aws.server.strict.chance import count, later, now, strikes
from local_aws.server.wire import Response

THROTTLED = 0.1
"""The probability that EC2 or IAM throttles a call. Those of botocore's "standard" mode are tried again in time."""

NAME_KEPT = 120.0
"""Seconds, at most, for which a deleted bucket's name is not free. S3 names no limit; minutes were seen:
https://github.com/aws/aws-cli/issues/2593"""

Handler = Callable[..., Any]

_kept: dict[str, float] = {}
"""Until when the name of each deleted bucket is not free."""


def install() -> None:
    """Stand before the services' own handlers."""
    handlers = ministack.SERVICE_HANDLERS
    # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/throttling.html
    handlers["ec2"] = _throttled(
        handlers["ec2"],
        "<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>Request limit exceeded.</Message></Error>"
        "</Errors><RequestID>throttled</RequestID></Response>",
        503,
    )
    # https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html
    handlers["iam"] = _throttled(
        handlers["iam"],
        "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error>"
        "<RequestId>throttled</RequestId></ErrorResponse>",
        400,
    )
    handlers["s3"] = _keeping_names(handlers["s3"])


def _throttled(handler: Handler, body: str, status: int) -> Handler:
    async def throttled(*request: Any) -> Response:
        if strikes(THROTTLED):
            count("a throttled call")
            return status, {"Content-Type": "text/xml"}, body.encode()
        answer: Response = await handler(*request)
        late_iam.observe()
        late_reads.observe()
        return answer

    return throttled


def _keeping_names(handler: Handler) -> Handler:
    async def keeping(method: str, path: str, headers: Any, body: bytes, query: Any) -> Response:
        name = path.strip("/")
        is_bucket = bool(name) and "/" not in name and not set(query) - {"x-id"}
        if is_bucket and method == "PUT" and _kept.get(name, 0.0) > now():
            count("the name of a deleted bucket that is not free yet")
            message = "A conflicting conditional operation is currently in progress against this resource."
            text = f"<Error><Code>OperationAborted</Code><Message>{escape(message)}</Message></Error>"
            return 409, {"Content-Type": "application/xml"}, text.encode()
        answer: Response = await handler(method, path, headers, body, query)
        if is_bucket and method == "DELETE" and answer[0] == 204:
            _kept[name] = later(NAME_KEPT)
        return answer

    return keeping
