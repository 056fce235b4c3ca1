"""The staging bucket: private, ours, and the place from which CloudFormation reads a template of this size."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from botocore.exceptions import ClientError

from annex_bootstrap.aws import Account, explained
from annex_contract import __version__
from annex_contract.stack import TEMPLATE_NAME


@dataclass(frozen=True)
class Staged:
    """A template that CloudFormation can read.

    Attributes:
        url: where.
        made_bucket: whether the staging bucket was created for it.
    """

    url: str
    made_bucket: bool


def bucket_name(account: Account) -> str:
    """Return the bucket's name, one for each account and region."""
    return f"annex-bootstrap-staging-{account.account_id}-{account.region}"


def stage(account: Account, text: str) -> Staged:
    """Put a template into the staging bucket, which is created if it is missing.

    Raises:
        UserError: AWS refused.
    """
    with explained("putting the template into the staging bucket"):
        made_bucket = _make_bucket(account)
        body = text.encode()
        bucket, key = bucket_name(account), f"{__version__}/{hashlib.sha256(body).hexdigest()}/{TEMPLATE_NAME}"
        account.s3.put_object(
            Bucket=bucket, Key=key, Body=body, ContentType="application/json", ExpectedBucketOwner=account.account_id
        )
        # The client knows the host name for any partition and endpoint; CloudFormation signs for itself.
        signed = account.s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
    return Staged(urlunsplit((*urlsplit(signed)[:3], "", "")), made_bucket)


def _make_bucket(account: Account) -> bool:
    bucket, owner, s3 = bucket_name(account), account.account_id, account.s3
    made = False
    try:
        # The name can be guessed, so somebody else's bucket must never be written to.
        s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=owner)
    except ClientError as error:
        if error.response["Error"]["Code"] != "404":
            raise
        made = True
        if account.region == "us-east-1":
            s3.create_bucket(Bucket=bucket)
        else:
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": account.region})  # type: ignore[typeddict-item]  # any region
    s3.put_public_access_block(
        Bucket=bucket,
        ExpectedBucketOwner=owner,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
    )
    return made


def delete(account: Account) -> None:
    """Delete the staging bucket and the templates in it, if it is there.

    Raises:
        UserError: AWS refused.
    """
    bucket, owner = bucket_name(account), account.account_id
    with explained("deleting the staging bucket"):
        try:
            for page in account.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, ExpectedBucketOwner=owner):
                for listed in page.get("Contents", []):
                    account.s3.delete_object(Bucket=bucket, Key=listed["Key"], ExpectedBucketOwner=owner)
            account.s3.delete_bucket(Bucket=bucket, ExpectedBucketOwner=owner)
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchBucket":
                raise
