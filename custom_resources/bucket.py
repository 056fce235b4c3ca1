"""The private bucket, in which machines find their configuration.

condor_annex puts one there for all machines of an annex, ``config-*``, with the pool's password; ``start`` one for each
machine, in ``machines/``.

A bucket of that name that exists is adopted: checked, used, never changed and never deleted. One that this stack
made is closed to the public and to other stacks, encrypted, open to TLS only, and deletes ``config-*`` after
``ExpirationDays`` and what a machine of ``start`` never read after a day. It keeps no versions, because a pool password
must not linger.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError, ParamValidationError

from annex_contract.iam import deny, document
from annex_contract.lease import MACHINES_PREFIX, TARBALL_PREFIX
from annex_contract.ownership import reach_own_buckets_only
from annex_contract.resources import BUCKET, Attribute, Property
from annex_contract.stack import ROLE_PATH, LogicalId, function_of, stack_path
from custom_resources.lifecycle import Request, ResourceError, client, error_code, serve

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CreateBucketConfigurationTypeDef, ObjectIdentifierTypeDef

TAGS_UNKNOWN = {"UnsupportedArgument", "MalformedXML"}
"""What S3 answers to tags in CreateBucket where it does not know them, as in the European Sovereign Cloud:
https://github.com/hashicorp/terraform-provider-aws/issues/45684. A botocore that does not know them sends nothing."""

OWNERSHIP: Final = "BucketOwnerEnforced"
"""No ACL has any effect, and this account owns every object."""

logger = logging.getLogger(__name__)


def put(request: Request) -> Mapping[str, str]:
    """Make and configure the bucket, or check the one to adopt.

    Raises:
        ResourceError: the bucket exists and cannot be adopted.
        ClientError: AWS refused a call.
    """
    s3 = _client(request)
    if not _exists(s3, request):
        _create(s3, request)
    elif _is_ours(s3, request):
        s3.put_bucket_ownership_controls(
            Bucket=request.name, OwnershipControls={"Rules": [{"ObjectOwnership": OWNERSHIP}]}
        )
    else:
        _check_adoptable(s3, request.name)
        logger.info("adopted the bucket %s", request.name)
        return {Attribute.BUCKET_NAME: request.name}
    _configure(s3, request)
    return {Attribute.BUCKET_NAME: request.name}


def delete(request: Request) -> str:
    """Empty and delete the bucket if this stack made it; one that holds anything else than configurations stays.

    Raises:
        ResourceError: an object of ours could not be deleted.
        ClientError: AWS refused a call.
    """
    s3 = _client(request)
    if not _exists(s3, request) or not _is_ours(s3, request):
        return ""
    for prefix in (TARBALL_PREFIX, MACHINES_PREFIX):
        _empty(s3, request.name, prefix)
    try:
        s3.delete_bucket(Bucket=request.name)
    except ClientError as error:
        if error_code(error) != "BucketNotEmpty":
            raise
        left = f"the bucket {request.name} holds objects that annex-bootstrap did not put there, and so stays"
        logger.warning(left)
        return left
    return ""


def _client(request: Request) -> S3Client:
    s3: S3Client = client("s3")
    # Another account's bucket is no place for our pool's password.
    reach_own_buckets_only(s3, lambda: request.account)
    return s3


def _exists(s3: S3Client, request: Request) -> bool:
    bucket = request.name
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        # HEAD has no body: the code is the HTTP status.
        if error_code(error) == "404":
            return False
        if error_code(error) == "403":
            raise ResourceError(
                f"the function may not look at the bucket {bucket}: its role is not in effect yet, a policy denies it, "
                "or the bucket is not yours; deploy again, or choose another BucketName"
            ) from error
        if error_code(error) in {"301", "400"}:
            raise ResourceError(
                f"the bucket {bucket} is in another region; choose one in this region, or another BucketName"
            ) from error
        raise
    return True


def _is_ours(s3: S3Client, request: Request) -> bool:
    try:
        return request.owns(s3.get_bucket_tagging(Bucket=request.name)["TagSet"])
    except ClientError as error:
        if error_code(error) == "NoSuchTagSet":
            return False
        raise


def _check_adoptable(s3: S3Client, bucket: str) -> None:
    region = s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] or "us-east-1"
    if region != s3.meta.region_name:
        raise ResourceError(
            f"the bucket {bucket} is in {region}; choose one in {s3.meta.region_name}, or another BucketName"
        )
    try:
        blocks = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    except ClientError as error:
        if error_code(error) != "NoSuchPublicAccessBlockConfiguration":
            raise
        blocks = {}
    if not (blocks.get("IgnorePublicAcls") and blocks.get("RestrictPublicBuckets")):
        raise ResourceError(
            f"the bucket {bucket} may be open to the public, and it would hold the pool's password; "
            "turn on its Block Public Access, or choose another BucketName"
        )


def _create(s3: S3Client, request: Request) -> None:
    configuration: CreateBucketConfigurationTypeDef = {}
    # Needs s3:PutBucketOwnershipControls too: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
    create = partial(s3.create_bucket, Bucket=request.name, ObjectOwnership=OWNERSHIP)
    if s3.meta.region_name != "us-east-1":
        configuration["LocationConstraint"] = s3.meta.region_name  # type: ignore[typeddict-item]  # any region
    try:
        # The tag comes with the creation, so that an interruption cannot leave a bucket without an owner.
        create(CreateBucketConfiguration={**configuration, "Tags": request.tags})
    except (ClientError, ParamValidationError) as error:
        if isinstance(error, ClientError) and error_code(error) not in TAGS_UNKNOWN:
            raise
        logger.info("S3 takes no tags with a creation here: %s", error)
        if configuration:
            create(CreateBucketConfiguration=configuration)
        else:
            create()
        s3.put_bucket_tagging(Bucket=request.name, Tagging={"TagSet": request.tags})


def _configure(s3: S3Client, request: Request) -> None:
    bucket, key = request.name, request.properties.get(Property.KMS_KEY, "")
    expiration_days = int(request.properties[Property.EXPIRATION_DAYS])
    s3.put_public_access_block(
        Bucket=bucket,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
    )
    s3.put_bucket_encryption(
        Bucket=bucket,
        ServerSideEncryptionConfiguration={
            "Rules": [
                {
                    "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key},
                    "BucketKeyEnabled": True,
                }
                if key
                else {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
            ]
        },
    )
    roles = request.properties.get(Property.GIVEN_ROLES, "")
    policy = bucket_policy(s3.meta.partition, bucket, request.stack_id, roles)
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    s3.put_bucket_lifecycle_configuration(
        Bucket=bucket,
        LifecycleConfiguration={
            "Rules": [
                {
                    "ID": "annex-configurations-expire",
                    "Status": "Enabled",
                    "Filter": {"Prefix": TARBALL_PREFIX},
                    "Expiration": {"Days": expiration_days},
                },
                {
                    "ID": "machine-configurations-expire",
                    "Status": "Enabled",
                    "Filter": {"Prefix": MACHINES_PREFIX},
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
    )


def bucket_policy(partition: str, bucket: str, stack_id: str, given_roles: str = "") -> dict[str, Any]:
    """Return the policy that denies the bucket to requests without TLS, and to roles and users of other stacks.

    ``aws:PrincipalArn`` is the ARN of a role, with its path, whatever session it has:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn

    Args:
        partition: such as ``aws``.
        bucket: its name.
        stack_id: the stack's ARN.
        given_roles: of an administrator, who made the machines' roles; empty where the stack did.
    """
    arns = [f"arn:{partition}:s3:::{bucket}", f"arn:{partition}:s3:::{bucket}/*"]
    insecure = {"Bool": {"aws:SecureTransport": "false"}}
    account, stack_name, number = stack_id.split(":")[4], *stack_id.split("/")[1:]
    first, *_, last = number.split("-")
    unique = given_roles or f"{first}-{last}"
    # Versions before a stack had a path of its own made roles with these names. Their users cannot be told apart.
    earlier = (
        *(f"{stack_name}-{function}Role-*" for function in (function_of(BUCKET.logical_id), LogicalId.LEASE_FUNCTION)),
        *(f"annex-bootstrap-{made}-{unique}" for made in ("instance", "instance-start")),
    )

    def iam(*resources: str) -> dict[str, list[str]]:
        return {"aws:PrincipalArn": [f"arn:{partition}:iam::{account}:{resource}" for resource in resources]}

    of_stacks = iam(f"role{ROLE_PATH}*", f"user{ROLE_PATH}*/*")
    own = iam(
        *(f"{kind}{stack_path(stack_name)}*" for kind in ("role", "user")),
        # Those that the stack makes where it has a boundary of its own.
        f"role{ROLE_PATH}{stack_name}_*",
        *(f"role{ROLE_PATH}{name}" for name in earlier),
    )
    return document(
        [
            deny("TlsOnly", "s3:*", arns, insecure, principal="*"),
            deny("NoOtherStacks", "s3:*", arns, {"ArnLike": of_stacks, "ArnNotLike": own}, principal="*"),
        ]
    )


def _empty(s3: S3Client, bucket: str, prefix: str) -> None:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        found: list[ObjectIdentifierTypeDef] = [
            {"Key": item["Key"], "VersionId": item["VersionId"]}
            for item in (*page.get("Versions", []), *page.get("DeleteMarkers", []))
        ]
        if not found:
            continue
        for error in s3.delete_objects(Bucket=bucket, Delete={"Objects": found, "Quiet": True}).get("Errors", []):
            raise ResourceError(f"{error['Key']} in {bucket} cannot be deleted: {error['Code']}: {error['Message']}")
    for uploads in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix):
        for upload in uploads.get("Uploads", []):
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])


handler = serve(BUCKET.name_property, put, delete)
