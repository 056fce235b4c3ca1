"""Publishing: the built template and its launch page in a bucket, so that one link makes the stack.

A version's objects never change. What is under ``latest`` does, so caches must revalidate it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from annex_bootstrap.advice import FORBIDDEN
from annex_bootstrap.aws import Account, block_public_access, create_bucket, explained, find_bucket, retry
from annex_bootstrap.errors import AwsError, DeniedError, UserError
from annex_bootstrap.launch import launch_links, launch_page
from annex_bootstrap.stack.template import parse_template
from annex_contract import __version__
from annex_contract.iam import allow, document
from annex_contract.stack import TEMPLATE_NAME

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"
"""Caches must revalidate every answer: RFC 9111, section 5.2.2.4."""

LATEST = "latest"

BLOCK_PATIENCE = 60.0
"""Seconds until S3 accepts a public policy after such policies were allowed."""

PREFIX = "[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*"
"""The prefixes that are accepted: none has a character with a special meaning in a policy or a URL."""
READ_SID = "AnnexBootstrapPublicRead"


@dataclass(frozen=True)
class Upload:
    """One object that is to be in the bucket.

    Attributes:
        key: its key.
        body: its bytes.
        content_type: for browsers and CloudFormation.
        released: whether it must never change.
    """

    key: str
    body: bytes
    content_type: str
    released: bool


@dataclass(frozen=True)
class Place:
    """Where to publish.

    Attributes:
        bucket: the bucket's name.
        prefix: what the keys begin with.
        stack_name: the name that the links suggest for the stack.
    """

    bucket: str
    prefix: str
    stack_name: str


@dataclass(frozen=True)
class Links:
    """The URLs that can be shared.

    Attributes:
        template: the URL of this version's template, whose bytes never change.
        latest_template: the URL of the newest one.
        page: the URL of this version's launch page.
        latest_page: the URL of the newest one.
        quick_create: the console's link for the bucket's own region, with every default.
    """

    template: str
    latest_template: str
    page: str
    latest_page: str
    quick_create: str


def publish(account: Account, place: Place, template: str, *, create: bool, public: bool) -> Links:
    """Put this version of the template and its page into a bucket.

    Args:
        account: whose bucket it is, in the bucket's region.
        place: where in it.
        template: the built template.
        create: whether to create the bucket if it does not exist.
        public: whether to let everyone read what is below the prefix.

    Returns:
        The links.

    Raises:
        UserError: the bucket is missing, in another region or another account's, or this version was published with
            other bytes; nothing that was published before has changed.
    """
    bucket, prefix = place.bucket, place.prefix
    links = links_of(account, place)
    page = launch_page.render(parse_template(template), account.partition, links.template, place.stack_name)
    if not has_bucket(account, place):
        if not create:
            raise UserError(f"there is no bucket {bucket}: add --create-bucket to make it")
        with _explained(f"creating the bucket {bucket}"):
            create_bucket(account, bucket)
            block_public_access(account, bucket, policies=True)
    if public:
        with _explained(f"letting everyone read {bucket}/{prefix}/"):
            _open(account, bucket, prefix)
    for upload in _uploads(prefix, template.encode(), page.encode()):
        with _explained(f"putting {upload.key} into {bucket}"):
            _put(account, bucket, upload)
    return links


def object_url(s3: S3Client, bucket: str, key: str) -> str:
    """Return the URL of an object, with the S3 host of the client's partition and region, or a local one."""
    # With the bucket in the path: a name with dots would fail TLS as a host name.
    return f"{s3.meta.endpoint_url}/{bucket}/{quote(key)}"


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    """Turn errors into sentences as ``explained`` does, but name the publisher's policy where access is denied."""
    try:
        with explained(doing):
            yield
    except DeniedError as error:
        raise UserError(
            f"{doing} failed: AWS said {error.reason.rstrip('.')}; ask your administrator for the publisher's policy "
            "in docs/operations.md, and whether the account blocks public buckets"
        ) from error


def links_of(account: Account, place: Place) -> Links:
    """Return the links of what is published at a place.

    Raises:
        UserError: no console is known for the account's region.
    """
    region = launch_links.find_region(account.region)

    def url(version: str, name: str) -> str:
        return object_url(account.s3, place.bucket, f"{place.prefix}/{version}/{name}")

    template = url(__version__, TEMPLATE_NAME)
    return Links(
        template=template,
        latest_template=url(LATEST, TEMPLATE_NAME),
        page=url(__version__, launch_page.PAGE_NAME),
        latest_page=url(LATEST, launch_page.PAGE_NAME),
        quick_create=launch_links.quick_create_url(region, template, place.stack_name, {}),
    )


def _uploads(prefix: str, template: bytes, page: bytes) -> Iterator[Upload]:
    # The released ones first: where they are refused, latest stays as it is.
    for version in (__version__, LATEST):
        released = version == __version__
        yield Upload(f"{prefix}/{version}/{TEMPLATE_NAME}", template, "application/json", released)
        yield Upload(f"{prefix}/{version}/{launch_page.PAGE_NAME}", page, "text/html; charset=utf-8", released)


def has_bucket(account: Account, place: Place) -> bool:
    """Return whether the bucket of a place exists.

    Raises:
        UserError: the prefix is invalid, or the bucket is in another region or another account's.
    """
    if not re.fullmatch(PREFIX, place.prefix):
        raise UserError(
            f"invalid prefix {place.prefix!r}: give letters, digits and . _ - with single slashes between them"
        )
    try:
        with _explained(f"checking the bucket {place.bucket}"):
            region = find_bucket(account, place.bucket)
    except AwsError as error:
        if error.code != FORBIDDEN:
            raise
        raise UserError(
            f"you may not use the bucket {place.bucket}: a permission that you were just granted may take minutes to "
            "have effect, so try again; if that does not help, ask whose bucket it is or give --bucket another name"
        ) from error
    # botocore would follow it there, but the links name the host of one region.
    if region not in (None, account.region):
        raise UserError(f"the bucket {place.bucket} is in {region}: give --region {region}")
    return region is not None


def _open(account: Account, bucket: str, prefix: str) -> None:
    s3 = account.s3
    try:
        with explained("reading the bucket's policy"):
            policy: dict[str, Any] = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    except AwsError as error:
        if error.code != "NoSuchBucketPolicy":
            raise
        policy = document([])
    objects = f"arn:{account.partition}:s3:::{bucket}/{prefix}/*"
    ours = allow(READ_SID, "s3:GetObject", objects, principal="*")
    others = [statement for statement in policy["Statement"] if statement.get("Sid") != READ_SID]
    for statement in others:
        if statement["Effect"] == "Allow" and _is_for_everyone(statement):
            raise UserError(
                f"the policy of the bucket {bucket} has another statement for everyone "
                f"({statement.get('Sid', 'without a Sid')}), which --public would make take effect: "
                "delete that statement, or give --bucket another name"
            )
    block_public_access(account, bucket, policies=False)
    public = json.dumps(policy | {"Statement": [*others, ours]})

    # S3 may refuse a public policy for a while after such policies were allowed:
    # https://github.com/env0/templates/pull/258 and https://github.com/pulumi/pulumi-aws/issues/1570
    def put() -> None:
        with explained("opening the bucket's prefix to everyone"):
            s3.put_bucket_policy(Bucket=bucket, Policy=public)

    retry(put, ("AccessDenied", "OperationAborted"), BLOCK_PATIENCE)


def _is_for_everyone(statement: Mapping[str, Any]) -> bool:
    principal = statement.get("Principal", {})
    named = principal.values() if isinstance(principal, dict) else [principal]
    listed = [name for names in named for name in (names if isinstance(names, list) else [names])]
    return "NotPrincipal" in statement or any("*" in name for name in listed)


def _put(account: Account, bucket: str, upload: Upload) -> None:
    s3 = account.s3
    # With If-None-Match two publishers cannot overtake each other between reading and writing.
    condition: Any = {"IfNoneMatch": "*"} if upload.released else {}
    try:
        with explained(f"putting {upload.key} into the bucket"):
            s3.put_object(
                Bucket=bucket,
                Key=upload.key,
                Body=upload.body,
                ContentType=upload.content_type,
                CacheControl=IMMUTABLE if upload.released else REVALIDATE,
                ChecksumSHA256=base64.b64encode(hashlib.sha256(upload.body).digest()).decode(),
                **condition,
            )
    except AwsError as error:
        if error.code not in {"PreconditionFailed", "412"}:
            raise
        there = s3.get_object(Bucket=bucket, Key=upload.key)["Body"].read()
        if there != upload.body:
            raise UserError(
                f"{upload.key} in {bucket} was published with other bytes, and a release never changes: "
                "publish a new version, or give --prefix another name"
            ) from error
