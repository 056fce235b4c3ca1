"""The bucket: every setting of one that is made, what is adopted, and what is deleted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ParamValidationError

from custom_resources import bucket
from custom_resources.lifecycle import ResourceError
from tests.unit.custom_resources.conftest import OWN, request
from tests.unit.recorded import Recorded, RefusedError

NAME = "pool-bucket"
REQUEST = request(NAME, {"BucketName": NAME, "ExpirationDays": "30"})
IAM = "arn:aws:iam::123456789012"
MISSING = RefusedError("404", status=404)
CONFIGURED: list[tuple[str, dict[str, Any]]] = [
    (
        "PutPublicAccessBlock",
        {
            "Bucket": NAME,
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
        },
    ),
    (
        "PutBucketEncryption",
        {
            "Bucket": NAME,
            "ServerSideEncryptionConfiguration": {
                "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
            },
        },
    ),
    (
        "PutBucketPolicy",
        {
            "Bucket": NAME,
            "Policy": json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Sid": "TlsOnly",
                            "Effect": "Deny",
                            "Principal": "*",
                            "Action": "s3:*",
                            "Resource": [f"arn:aws:s3:::{NAME}", f"arn:aws:s3:::{NAME}/*"],
                            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                        },
                        {
                            "Sid": "NoOtherStacks",
                            "Effect": "Deny",
                            "Principal": "*",
                            "Action": "s3:*",
                            "Resource": [f"arn:aws:s3:::{NAME}", f"arn:aws:s3:::{NAME}/*"],
                            "Condition": {
                                "ArnLike": {
                                    "aws:PrincipalArn": [
                                        f"{IAM}:role/annex-bootstrap/*",
                                        f"{IAM}:user/annex-bootstrap/*/*",
                                    ]
                                },
                                "ArnNotLike": {
                                    "aws:PrincipalArn": [
                                        f"{IAM}:role/annex-bootstrap/s/*",
                                        f"{IAM}:user/annex-bootstrap/s/*",
                                        f"{IAM}:role/annex-bootstrap/s_*",
                                        f"{IAM}:role/annex-bootstrap/s-BucketFunctionRole-*",
                                        f"{IAM}:role/annex-bootstrap/s-LeaseFunctionRole-*",
                                        f"{IAM}:role/annex-bootstrap/annex-bootstrap-instance-12345678-123456789012",
                                        f"{IAM}:role/annex-bootstrap/annex-bootstrap-instance-start-12345678-123456789012",
                                    ]
                                },
                            },
                        },
                    ],
                }
            ),
        },
    ),
    (
        "PutBucketLifecycleConfiguration",
        {
            "Bucket": NAME,
            "LifecycleConfiguration": {
                "Rules": [
                    {
                        "ID": "annex-configurations-expire",
                        "Status": "Enabled",
                        "Filter": {"Prefix": "config-"},
                        "Expiration": {"Days": 30},
                    },
                    {
                        "ID": "machine-configurations-expire",
                        "Status": "Enabled",
                        "Filter": {"Prefix": "machines/"},
                        "Expiration": {"Days": 1},
                    },
                    {
                        "ID": "unfinished-uploads-expire",
                        "Status": "Enabled",
                        "Filter": {"Prefix": ""},
                        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                    },
                ]
            },
        },
    ),
]
"""The calls that configure a bucket that the stack made."""

SETTINGS: dict[str, Any] = {name: {} for name, _ in CONFIGURED}
IRELAND = {"LocationConstraint": "eu-west-1"}


@pytest.fixture
def s3(aws: Callable[..., Recorded], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Recorded]:
    """Return what makes an account in eu-west-1."""

    def make(**answers: Any) -> Recorded:
        made = aws(**answers)
        monkeypatch.setattr(boto3, "client", lambda service, **_: made.client(service, "eu-west-1"))
        return made

    return make


def creation(place: dict[str, Any] | None, tagged: bool) -> tuple[str, dict[str, Any]]:
    configuration = (place or {}) | ({"Tags": [OWN]} if tagged else {})
    asked = {"Bucket": NAME, "ObjectOwnership": "BucketOwnerEnforced"}
    return "CreateBucket", asked | ({"CreateBucketConfiguration": configuration} if configuration else {})


LOOKED = ("HeadBucket", {"Bucket": NAME})
TAGGED = ("PutBucketTagging", {"Bucket": NAME, "Tagging": {"TagSet": [OWN]}})


def test_a_bucket_is_made_with_its_owner_and_closed(s3: Callable[..., Recorded]) -> None:
    made = s3(HeadBucket=MISSING, CreateBucket={}, **SETTINGS)
    assert bucket.put(REQUEST) == {"BucketName": NAME}
    assert made.calls == [LOOKED, creation(IRELAND, tagged=True), *CONFIGURED]


def test_in_the_first_region_a_bucket_has_no_location(aws: Callable[..., Recorded]) -> None:
    made = aws(HeadBucket=MISSING, CreateBucket={}, **SETTINGS)
    bucket.put(REQUEST)
    assert made.calls[1] == creation(None, tagged=True)
    made = aws(
        HeadBucket=MISSING, CreateBucket=[RefusedError("UnsupportedArgument"), {}], PutBucketTagging={}, **SETTINGS
    )
    bucket.put(REQUEST)
    assert made.calls[1:4] == [creation(None, tagged=True), creation(None, tagged=False), TAGGED]


KEY = "arn:aws:kms:eu-west-1:123456789012:key/12345678-1234-1234-1234-123456789012"


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({}, {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}),
        ({"KmsKey": ""}, {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}),
        (
            {"KmsKey": KEY},
            {
                "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY},
                "BucketKeyEnabled": True,
            },
        ),
    ],
    ids=["earlier version", "no key", "key"],
)
def test_what_is_put_into_the_bucket_is_encrypted_with_the_stacks_key(
    s3: Callable[..., Recorded], given: dict[str, str], rule: dict[str, Any]
) -> None:
    made = s3(HeadBucket=MISSING, CreateBucket={}, **SETTINGS)
    bucket.put(replace(REQUEST, properties={**REQUEST.properties, **given}))
    (put,) = (arguments for name, arguments in made.calls if name == "PutBucketEncryption")
    assert put["ServerSideEncryptionConfiguration"] == {"Rules": [rule]}


@pytest.mark.parametrize("code", ["UnsupportedArgument", "MalformedXML"])
def test_where_s3_takes_no_tags_with_a_creation_they_come_at_once_after_it(
    s3: Callable[..., Recorded], code: str
) -> None:
    made = s3(HeadBucket=MISSING, CreateBucket=[RefusedError(code), {}], PutBucketTagging={}, **SETTINGS)
    assert bucket.put(REQUEST) == {"BucketName": NAME}
    assert made.calls == [
        LOOKED,
        creation(IRELAND, tagged=True),
        creation(IRELAND, tagged=False),
        TAGGED,
        *CONFIGURED,
    ]


def test_a_botocore_that_knows_no_tags_of_a_creation_does_the_same(
    s3: Callable[..., Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = s3(HeadBucket=MISSING, CreateBucket={}, PutBucketTagging={}, **SETTINGS)
    client = made.client("s3", "eu-west-1")
    create = client.create_bucket

    def create_as_before(**arguments: Any) -> Any:
        if "Tags" in arguments.get("CreateBucketConfiguration", {}):
            raise ParamValidationError(report='Unknown parameter in CreateBucketConfiguration: "Tags"')
        return create(**arguments)

    monkeypatch.setattr(client, "create_bucket", create_as_before)
    assert bucket.put(REQUEST) == {"BucketName": NAME}
    assert made.calls == [LOOKED, creation(IRELAND, tagged=False), TAGGED, *CONFIGURED]


def test_any_other_refusal_of_the_creation_does_not_concern_tags(s3: Callable[..., Recorded]) -> None:
    s3(HeadBucket=MISSING, CreateBucket=RefusedError("TooManyBuckets"))
    with pytest.raises(ClientError, match="TooManyBuckets"):
        bucket.put(REQUEST)


def test_our_own_bucket_is_configured_as_a_new_one_is(s3: Callable[..., Recorded]) -> None:
    made = s3(HeadBucket={}, GetBucketTagging={"TagSet": [OWN]}, PutBucketOwnershipControls={}, **SETTINGS)
    assert bucket.put(REQUEST) == {"BucketName": NAME}
    assert made.calls[2:] == [
        (
            "PutBucketOwnershipControls",
            {"Bucket": NAME, "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}},
        ),
        *CONFIGURED,
    ]


FOREIGN: dict[str, Any] = {
    "HeadBucket": {},
    "GetBucketTagging": RefusedError("NoSuchTagSet", status=404),
    "GetBucketLocation": {"LocationConstraint": "eu-west-1"},
}


def test_a_bucket_that_is_closed_to_the_public_is_adopted_and_not_changed(s3: Callable[..., Recorded]) -> None:
    closed = {"PublicAccessBlockConfiguration": {"IgnorePublicAcls": True, "RestrictPublicBuckets": True}}
    made = s3(**FOREIGN, GetPublicAccessBlock=closed)
    assert bucket.put(REQUEST) == {"BucketName": NAME}
    assert made.names == ["HeadBucket", "GetBucketTagging", "GetBucketLocation", "GetPublicAccessBlock"]


@pytest.mark.parametrize(
    "block",
    [
        RefusedError("NoSuchPublicAccessBlockConfiguration", status=404),
        {"PublicAccessBlockConfiguration": {"IgnorePublicAcls": True, "RestrictPublicBuckets": False}},
        {"PublicAccessBlockConfiguration": {"IgnorePublicAcls": False, "RestrictPublicBuckets": True}},
    ],
)
def test_a_bucket_that_may_be_public_is_not_adopted(s3: Callable[..., Recorded], block: Any) -> None:
    s3(**FOREIGN, GetPublicAccessBlock=block)
    with pytest.raises(ResourceError, match="may be open to the public"):
        bucket.put(REQUEST)


def test_a_bucket_of_another_region_is_not_adopted(s3: Callable[..., Recorded]) -> None:
    s3(**FOREIGN | {"GetBucketLocation": {"LocationConstraint": ""}})
    with pytest.raises(ResourceError, match=r"is in us-east-1; choose one in eu-west-1"):
        bucket.put(REQUEST)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("403", "the function may not look at the bucket pool-bucket"),
        ("301", "is in another region"),
        ("400", "is in another region"),
    ],
)
def test_a_bucket_that_cannot_be_looked_at_says_why(s3: Callable[..., Recorded], code: str, text: str) -> None:
    s3(HeadBucket=RefusedError(code, status=int(code)))
    with pytest.raises(ResourceError, match=text):
        bucket.put(REQUEST)


OWNED: dict[str, Any] = {"HeadBucket": {}, "GetBucketTagging": {"TagSet": [OWN]}}


def test_deleting_takes_every_version_and_upload_of_ours_and_then_the_bucket(s3: Callable[..., Recorded]) -> None:
    made = s3(
        **OWNED,
        ListObjectVersions=[
            {
                "Versions": [{"Key": "config-a", "VersionId": "1"}],
                "DeleteMarkers": [{"Key": "config-b", "VersionId": "2"}],
            },
            {"Versions": [{"Key": "machines/a/b", "VersionId": "4"}]},
        ],
        DeleteObjects=[{}, {}],
        ListMultipartUploads=[{"Uploads": [{"Key": "config-c", "UploadId": "3"}]}, {}],
        AbortMultipartUpload={},
        DeleteBucket={},
    )
    assert bucket.delete(REQUEST) == ""
    assert made.calls[2:] == [
        ("ListObjectVersions", {"Bucket": NAME, "Prefix": "config-", "EncodingType": "url"}),
        (
            "DeleteObjects",
            {
                "Bucket": NAME,
                "Delete": {
                    "Objects": [{"Key": "config-a", "VersionId": "1"}, {"Key": "config-b", "VersionId": "2"}],
                    "Quiet": True,
                },
            },
        ),
        ("ListMultipartUploads", {"Bucket": NAME, "Prefix": "config-"}),
        ("AbortMultipartUpload", {"Bucket": NAME, "Key": "config-c", "UploadId": "3"}),
        ("ListObjectVersions", {"Bucket": NAME, "Prefix": "machines/", "EncodingType": "url"}),
        (
            "DeleteObjects",
            {"Bucket": NAME, "Delete": {"Objects": [{"Key": "machines/a/b", "VersionId": "4"}], "Quiet": True}},
        ),
        ("ListMultipartUploads", {"Bucket": NAME, "Prefix": "machines/"}),
        ("DeleteBucket", {"Bucket": NAME}),
    ]


EMPTY: dict[str, Any] = {"ListObjectVersions": {}, "ListMultipartUploads": {}}


def test_a_bucket_that_holds_other_things_stays_and_that_is_said(s3: Callable[..., Recorded]) -> None:
    s3(**OWNED, **EMPTY, DeleteBucket=RefusedError("BucketNotEmpty", status=409))
    assert "holds objects that annex-bootstrap did not put there" in bucket.delete(REQUEST)
    s3(**OWNED, **EMPTY, DeleteBucket=RefusedError("AccessDenied", status=403))
    with pytest.raises(ClientError, match="AccessDenied"):
        bucket.delete(REQUEST)


def test_an_object_that_cannot_be_deleted_is_named(s3: Callable[..., Recorded]) -> None:
    listed = {"Versions": [{"Key": "config-a", "VersionId": "1"}]}
    errors = {"Errors": [{"Key": "config-a", "Code": "AccessDenied", "Message": "no"}]}
    s3(**OWNED, ListObjectVersions=listed, DeleteObjects=errors)
    with pytest.raises(ResourceError, match=f"config-a in {NAME} cannot be deleted: AccessDenied: no"):
        bucket.delete(REQUEST)


def test_an_adopted_bucket_and_one_that_is_gone_are_left_alone(s3: Callable[..., Recorded]) -> None:
    adopted = s3(**FOREIGN)
    assert bucket.delete(REQUEST) == ""
    assert adopted.names == ["HeadBucket", "GetBucketTagging"]
    gone = s3(HeadBucket=MISSING)
    assert bucket.delete(REQUEST) == ""
    assert gone.names == ["HeadBucket"]


def test_every_call_names_the_owner_that_the_bucket_must_have(s3: Callable[..., Recorded]) -> None:
    sent: list[str] = []
    client = s3(HeadBucket=MISSING, CreateBucket={}, **SETTINGS).client("s3", "eu-west-1")

    def note(model: Any, params: dict[str, Any], **_: object) -> None:
        sent.append(f"{model.name} {params['headers'].get('x-amz-expected-bucket-owner')}")

    # After the handler that names the owner, and before that which answers.
    bucket._client(REQUEST)
    client.meta.events.register("before-call.s3", note, unique_id="note")
    try:
        bucket.put(REQUEST)
    finally:
        client.meta.events.unregister("before-call.s3", unique_id="note")
    assert sent == [
        "HeadBucket 123456789012",
        "CreateBucket None",
        *(f"{name} 123456789012" for name, _ in CONFIGURED),
    ]
