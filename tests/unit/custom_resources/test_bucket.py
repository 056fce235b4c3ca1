"""The bucket, against answers of S3 that no local one gives."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ParamValidationError
from botocore.stub import Stubber

from custom_resources import bucket
from custom_resources.lifecycle import Request

STACK = "arn:aws:cloudformation:eu-west-1:123456789012:stack/s/12345678-1234-1234-1234-123456789012"
NAME = "pool-bucket"
REQUEST = Request(STACK, "Bucket", "r", NAME, {"BucketName": NAME, "ExpirationDays": "30"}, math.inf)
TAGS = [{"Key": "annex-bootstrap:stack", "Value": STACK}]
OURS = {"Bucket": NAME, "ObjectOwnership": "BucketOwnerEnforced"}
"""What every creation asks for."""


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """S3 in eu-west-1, which has no bucket of that name."""
    client: Any = boto3.Session("AKIAMADEUP", "made-up", region_name="eu-west-1").client("s3")
    monkeypatch.setattr(bucket, "client", lambda _service: client)
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def missing(s3: Stubber) -> None:
    """Expect that no bucket is found."""
    s3.add_client_error("head_bucket", "404", "Not Found", 404)


def configured(s3: Stubber) -> None:
    """Expect the calls that configure a bucket of ours."""
    for operation in (
        "put_public_access_block",
        "put_bucket_encryption",
        "put_bucket_policy",
        "put_bucket_lifecycle_configuration",
    ):
        s3.add_response(operation, {})


def created_without_tags(s3: Stubber) -> None:
    """Expect that the bucket is created without tags and gets them in the next call."""
    place = {"LocationConstraint": "eu-west-1"}
    s3.add_response("create_bucket", {}, OURS | {"CreateBucketConfiguration": place})
    s3.add_response("put_bucket_tagging", {}, {"Bucket": NAME, "Tagging": {"TagSet": TAGS}})


@pytest.mark.parametrize("code", ["UnsupportedArgument", "MalformedXML"])
def test_where_s3_takes_no_tags_with_a_creation_they_come_at_once_after_it(s3: Stubber, code: str) -> None:
    missing(s3)
    tagged = OURS | {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1", "Tags": TAGS}}
    s3.add_client_error("create_bucket", code, "The request contained an unsupported argument.", 400, None, tagged)
    created_without_tags(s3)
    configured(s3)
    assert bucket.put(REQUEST) == {"BucketName": NAME}


def test_a_botocore_that_knows_no_tags_of_a_creation_does_the_same(
    s3: Stubber, monkeypatch: pytest.MonkeyPatch
) -> None:
    client: Any = s3.client
    create = client.create_bucket

    def create_as_before(**arguments: Any) -> Any:
        if "Tags" in arguments.get("CreateBucketConfiguration", {}):
            raise ParamValidationError(report='Unknown parameter in CreateBucketConfiguration: "Tags"')
        return create(**arguments)

    monkeypatch.setattr(client, "create_bucket", create_as_before)
    missing(s3)
    created_without_tags(s3)
    configured(s3)
    assert bucket.put(REQUEST) == {"BucketName": NAME}


def test_any_other_refusal_of_the_creation_does_not_concern_tags(s3: Stubber) -> None:
    missing(s3)
    s3.add_client_error("create_bucket", "TooManyBuckets", "no", 400)
    with pytest.raises(ClientError, match="TooManyBuckets"):
        bucket.put(REQUEST)
