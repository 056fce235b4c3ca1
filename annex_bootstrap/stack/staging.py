"""The staging bucket: private, ours, and the place from which CloudFormation reads a template of this size.

All stacks of the account share it. Each has a prefix of its own, and who deploys one may write nowhere else.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

from annex_bootstrap.aws import Account, block_public_access, create_bucket, explained, find_bucket, retry
from annex_bootstrap.errors import AwsError, UserError
from annex_contract import __version__
from annex_contract.stack import TEMPLATE_NAME

PATIENCE = 600.0
"""Seconds to wait until S3 gives the name of a bucket that was just deleted again, or knows one that was just created.
S3 names no limit. Reports speak of minutes, and of an hour where another account asks:
https://github.com/aws/aws-cli/issues/2593"""

NOT_YET = ("OperationAborted", "NoSuchBucket")
"""What S3 answers meanwhile: another operation on the name is in progress, or HeadBucket found what is not there."""

EXISTS = "PreconditionFailed"
CONFLICT = "ConditionalRequestConflict"
"""What S3 answers to ``If-None-Match: *`` where there is an object, and where another request is at work on it. Source:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html"""


def bucket_name(account: Account) -> str:
    """Return the bucket's name, one for each account and region."""
    return f"annex-bootstrap-staging-{account.account_id}-{account.region}"


def prefix(stack_name: str) -> str:
    """Return how the keys of a stack's templates begin. No name of a stack has a slash."""
    return f"{stack_name}/"


def stage(account: Account, stack_name: str, text: str, sleep: Callable[[float], None] = time.sleep) -> str:
    """Put a template into the staging bucket, which is created if it is missing.

    Args:
        account: where.
        stack_name: the name of the stack that it is for.
        text: the template.
        sleep: waits some seconds.

    Returns:
        The URL at which CloudFormation can read it.

    Raises:
        UserError: AWS refused, or something else is there.
    """
    bucket, body = bucket_name(account), text.encode()
    key = f"{prefix(stack_name)}{__version__}/{hashlib.sha256(body).hexdigest()}/{TEMPLATE_NAME}"
    try:
        retry(lambda: _put(account, bucket, key, body), (*NOT_YET, CONFLICT), PATIENCE, sleep)
    except AwsError as error:
        if error.code not in NOT_YET:
            raise
        raise UserError(
            f"S3 has not released the name {bucket} after {PATIENCE / 60:.0f} minutes, "
            "although its bucket is deleted: try again later"
        ) from error
    with explained("putting the template into the staging bucket"):
        # The client knows the host name for any partition and endpoint; CloudFormation signs for itself.
        signed = account.s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
    return urlunsplit((*urlsplit(signed)[:3], "", ""))


def _put(account: Account, bucket: str, key: str, body: bytes) -> None:
    if find_bucket(account, bucket) is None:
        create_bucket(account, bucket)
    try:
        with explained("putting the template into the staging bucket"):
            block_public_access(account, bucket, policies=True)
            # The deployer's policy demands the condition, so that nobody replaces what is there.
            account.s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json", IfNoneMatch="*")
    except AwsError as error:
        if error.code != EXISTS:
            raise
        _compare(account, bucket, key, body)


def _compare(account: Account, bucket: str, key: str, body: bytes) -> None:
    """Refuse an object that is there already, unless it has these bytes: its name alone proves nothing."""
    with explained("reading the template in the staging bucket"):
        found = account.s3.get_object(Bucket=bucket, Key=key)
        same = found["ContentLength"] == len(body) and found["Body"].read() == body
    if not same:
        raise UserError(
            f"s3://{bucket}/{key} holds something else than this version's template: somebody put it there; nothing "
            "was changed; find out who did (CloudTrail), delete it, and try again"
        )


def delete(account: Account, stack_name: str) -> bool:
    """Delete all versions of a stack's templates, and the staging bucket unless it holds those of other stacks.

    Policies of some accounts switch versions on for every bucket.

    Returns:
        Whether there is no staging bucket any more.

    Raises:
        UserError: AWS refused.
    """
    bucket = bucket_name(account)
    try:
        with explained("deleting the staging bucket"):
            pages = account.s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix(stack_name))
            for page in pages:
                for listed in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
                    account.s3.delete_object(Bucket=bucket, Key=listed["Key"], VersionId=listed["VersionId"])
            account.s3.delete_bucket(Bucket=bucket)
    except AwsError as error:
        if error.code not in ("NoSuchBucket", "BucketNotEmpty"):
            raise
        return error.code == "NoSuchBucket"
    return True
