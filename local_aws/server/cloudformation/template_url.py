"""The URL of a template in S3, with the bucket in its host name; MiniStack looks for buckets in the path only.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ministack import app as ministack
from ministack.services.cloudformation import helpers


def install() -> None:
    """Move the bucket from the host name into the path, before MiniStack reads the URL."""
    resolve = helpers._resolve_document

    def resolve_document(params: Mapping[str, Any], body_key: str, url_key: str, label: str) -> Any:
        url = urlsplit(helpers._p(params, url_key))
        bucket = ministack._extract_s3_vhost_bucket(url.netloc)
        if bucket:
            params = {**params, url_key: [url._replace(path=f"/{bucket}{url.path}").geturl()]}
        return resolve(params, body_key, url_key, label)

    helpers._resolve_document = resolve_document
