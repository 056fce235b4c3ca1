"""Putting the template where CloudFormation reads it, against answers of S3 that no local one gives."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber

from annex_bootstrap.aws import Account
from annex_bootstrap.errors import UserError
from annex_bootstrap.stack import staging
from annex_contract import __version__
from annex_contract.stack import TEMPLATE_NAME

BUCKET = "annex-bootstrap-staging-123456789012-us-east-1"
NAMED = {"Bucket": BUCKET}
KEY = f"mine/{__version__}/44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a/{TEMPLATE_NAME}"
"""With the digest of ``{}``."""
URL = f"https://{BUCKET}.s3.amazonaws.com/{KEY}"
FLAGS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
CLOSED = {**NAMED, "PublicAccessBlockConfiguration": dict.fromkeys(FLAGS, True)}
PUT = {**NAMED, "Key": KEY, "Body": b"{}", "ContentType": "application/json", "IfNoneMatch": "*"}


@pytest.fixture
def account() -> Account:
    made = Account(boto3.Session("AKIAMADEUP", "made-up"), "us-east-1")
    made.__dict__["account_id"] = "123456789012"
    return made


@pytest.fixture
def s3(account: Account) -> Iterator[Stubber]:
    with Stubber(account.s3) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def stage(account: Account, pauses: list[float] | None = None) -> str:
    pause: Callable[[float], Any] = (pauses if pauses is not None else []).append
    return staging.stage(account, "mine", "{}", pause)


def put(s3: Stubber) -> None:
    """Expect that a bucket which is there is closed and written to."""
    s3.add_response("put_public_access_block", {}, CLOSED)
    s3.add_response("put_object", {}, PUT)


def missing(s3: Stubber) -> None:
    """Expect that no bucket is found."""
    s3.add_client_error("head_bucket", "404", "Not Found", 404, expected_params=NAMED)


def test_a_name_whose_bucket_was_just_deleted_is_waited_for(account: Account, s3: Stubber) -> None:
    for _ in range(2):
        missing(s3)
        s3.add_client_error("create_bucket", "OperationAborted", "A conflicting conditional operation is in progress")
    missing(s3)
    s3.add_response("create_bucket", {}, {"Bucket": BUCKET})
    put(s3)
    pauses: list[float] = []
    assert stage(account, pauses) == URL
    assert pauses == [5.0, 5.0]


def test_a_bucket_that_is_found_although_it_is_deleted_is_created_again(account: Account, s3: Stubber) -> None:
    s3.add_response("head_bucket", {"BucketRegion": "us-east-1"}, NAMED)
    s3.add_client_error("put_public_access_block", "NoSuchBucket", "The specified bucket does not exist")
    missing(s3)
    s3.add_response("create_bucket", {}, {"Bucket": BUCKET})
    put(s3)
    assert stage(account) == URL


def test_a_name_that_is_never_given_again_ends_in_a_sentence_that_says_so(
    account: Account, s3: Stubber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "PATIENCE", 5.0)
    for _ in range(2):
        missing(s3)
        s3.add_client_error("create_bucket", "OperationAborted", "A conflicting conditional operation is in progress")
    with pytest.raises(UserError, match=f"S3 has not released the name {BUCKET} after"):
        stage(account)


def test_a_bucket_that_is_forbidden_is_final_and_nobody_is_accused(account: Account, s3: Stubber) -> None:
    s3.add_client_error("head_bucket", "403", "Forbidden", 403, expected_params=NAMED)
    with pytest.raises(UserError, match=r"minutes to have effect, so try again; .*policy --help.* whose bucket it is"):
        stage(account)


def exists(s3: Stubber, body: bytes) -> None:
    """Expect that an object of the template's name is there, with these bytes."""
    s3.add_response("head_bucket", {"BucketRegion": "us-east-1"}, NAMED)
    s3.add_response("put_public_access_block", {}, CLOSED)
    s3.add_client_error("put_object", "PreconditionFailed", "At least one did not hold", 412, expected_params=PUT)
    found = {"ContentLength": len(body), "Body": StreamingBody(io.BytesIO(body), len(body))}
    s3.add_response("get_object", found, {**NAMED, "Key": KEY})


def test_the_same_template_that_is_there_already_is_used(account: Account, s3: Stubber) -> None:
    exists(s3, b"{}")
    assert stage(account) == URL


@pytest.mark.parametrize("body", [b"", b"[]", b"{} ", b'{"Resources": {}}'])
def test_an_object_of_that_name_with_other_bytes_is_refused(account: Account, s3: Stubber, body: bytes) -> None:
    exists(s3, body)
    with pytest.raises(UserError, match=f"^s3://{BUCKET}/{KEY} holds something else than .*; nothing was changed; "):
        stage(account)


def test_another_upload_of_it_at_the_same_time_is_waited_for(account: Account, s3: Stubber) -> None:
    s3.add_response("head_bucket", {"BucketRegion": "us-east-1"}, NAMED)
    s3.add_response("put_public_access_block", {}, CLOSED)
    s3.add_client_error("put_object", "ConditionalRequestConflict", "in progress", 409, expected_params=PUT)
    exists(s3, b"{}")
    assert stage(account) == URL


@pytest.mark.parametrize(("code", "gone"), [("NoSuchBucket", True), ("BucketNotEmpty", False)])
def test_only_the_stacks_own_templates_are_deleted(account: Account, s3: Stubber, code: str, gone: bool) -> None:
    version = {"Key": KEY, "VersionId": "null"}
    s3.add_response("list_object_versions", {"Versions": [version]}, {**NAMED, "Prefix": "mine/"})
    s3.add_response("delete_object", {}, {**NAMED, **version})
    s3.add_client_error("delete_bucket", code, "as it is", expected_params=NAMED)
    assert staging.delete(account, "mine") is gone


def test_every_version_of_a_template_is_deleted_and_a_bucket_that_is_gone_is_gone(
    account: Account, s3: Stubber
) -> None:
    listed = {
        "Versions": [{"Key": "mine/a", "VersionId": "1"}, {"Key": "mine/a", "VersionId": "2"}],
        "DeleteMarkers": [{"Key": "mine/b", "VersionId": "3"}],
    }
    s3.add_response("list_object_versions", listed, NAMED | {"Prefix": "mine/"})
    for key, version in (("mine/a", "1"), ("mine/a", "2"), ("mine/b", "3")):
        s3.add_response("delete_object", {}, NAMED | {"Key": key, "VersionId": version})
    s3.add_response("delete_bucket", {}, NAMED)
    assert staging.delete(account, "mine")
    s3.add_client_error("list_object_versions", "NoSuchBucket", "The specified bucket does not exist", 404)
    assert staging.delete(account, "mine")
    s3.add_client_error("list_object_versions", "AccessDenied", "no", 403)
    with pytest.raises(UserError, match="AccessDenied"):
        staging.delete(account, "mine")
