"""Whose bucket a call of S3 may reach."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

HEADER = "x-amz-expected-bucket-owner"
"""With it S3 refuses the call where the bucket is another account's.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html"""

MEMBER = "ExpectedBucketOwner"
"""The header's name among the parameters of a call: of all calls but those that name no bucket or make one."""


def reach_own_buckets_only(s3: Any, account: Callable[[], str]) -> None:
    """Let every call of a client name the owner that its bucket must have.

    The names of our buckets can be guessed, and another account's bucket of such a name may let us in by its policy.

    Args:
        s3: a client of botocore's or boto3's.
        account: returns the account's ID; asked at each call.
    """

    def name_owner(model: Any, params: dict[str, Any], **_: object) -> None:
        if MEMBER in getattr(model.input_shape, "members", {}):
            params["headers"][HEADER] = account()

    s3.meta.events.register("before-call.s3", name_owner, unique_id="annex-bootstrap: the owner of buckets")
