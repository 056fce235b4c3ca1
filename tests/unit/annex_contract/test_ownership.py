"""Whose bucket a call of S3 may reach."""

from __future__ import annotations

import boto3

from annex_bootstrap.aws import Account
from annex_contract.ownership import HEADER

CALLS = {
    *("HeadBucket", "DeleteBucket", "GetBucketPolicy", "PutBucketPolicy", "PutPublicAccessBlock"),
    *("GetPublicAccessBlock", "GetObject", "PutObject", "DeleteObject", "ListObjectsV2"),
}
"""What the client does with buckets that are there."""


def test_every_call_on_a_bucket_names_the_owner_that_it_must_have() -> None:
    account = Account(boto3.Session("AKIAMADEUP", "made-up"), "us-east-1")
    account.__dict__["account_id"] = "123456789012"
    s3, named = account.s3, set()
    for operation in s3.meta.service_model.operation_names:
        model = s3.meta.service_model.operation_model(operation)
        headers = dict[str, str]()
        request = {"headers": headers, "body": b"", "url": "https://example.org/", "context": {}}
        s3.meta.events.emit(f"before-call.s3.{operation}", model=model, params=request, context={})
        if HEADER in headers:
            assert headers[HEADER] == "123456789012"
            named.add(operation)
    assert named >= CALLS
    assert not named & {"CreateBucket", "ListBuckets"}
