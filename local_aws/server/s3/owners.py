"""Whose a bucket is, where a call says whose it must be; MiniStack does not look.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html
"""

from __future__ import annotations

from typing import Any

from ministack import app as ministack
from ministack.core.responses import get_account_id

from local_aws.server import account
from local_aws.server.wire import Response

HEADER = "x-amz-expected-bucket-owner"

SOMEBODY_ELSE = "999999999999"
"""The account that foreign buckets belong to. Made up."""


def install() -> None:
    """Stand before MiniStack's S3."""
    handler = ministack.SERVICE_HANDLERS["s3"]

    async def checked(
        method: str, path: str, headers: dict[str, str], body: bytes, query_params: dict[str, Any]
    ) -> Response:
        expected = headers.get(HEADER)
        if expected and expected != _owner(path, headers):
            text = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            return 403, {"Content-Type": "application/xml"}, b"" if method == "HEAD" else text.encode()
        answer: Response = await handler(method, path, headers, body, query_params)
        return answer

    ministack.SERVICE_HANDLERS["s3"] = checked


def _owner(path: str, headers: dict[str, str]) -> str:
    bucket = ministack._extract_s3_vhost_bucket(headers.get("host", "")) or path.lstrip("/").partition("/")[0]
    return SOMEBODY_ELSE if bucket in account.settings().foreign_buckets else str(get_account_id())
