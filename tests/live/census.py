"""What there is in an account of the live test's stack: by its name, and by the tags that say whose a thing is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import boto3
from botocore.exceptions import ClientError

from annex_bootstrap.aws import Account
from annex_bootstrap.stack import staging
from annex_contract.boundaries import Holder, boundary_name
from annex_contract.lease import MACHINE_RUNNING
from annex_contract.stack import ANNEX_TAG, ROLE_PATH, STACK_TAG
from local_aws.demo.inventory import take_inventory
from tests.live.options import STACK

OWNER = f":stack/{STACK}/"
"""What the ID of any stack of that name contains, and so the tag on what it makes."""


def take_census(session: boto3.Session, region: str, annexes: Sequence[str]) -> list[str]:
    """Return everything of the live test's stack, as ``kind name``.

    Args:
        session: of a principal who may read everything, with that region.
        region: where.
        annexes: the IDs of the test's annexes.
    """
    # The administrator made the boundaries, and keeps them.
    boundaries = tuple(f":policy/{boundary_name(holder, STACK)}" for holder in Holder)
    found = {
        f"{kind} {name}"
        for kind, name in take_inventory(session)
        if (STACK in name and not name.endswith(boundaries)) or name in annexes
    }
    found |= set(_roles(session)) | set(_buckets(session)) | set(_ec2(session, annexes))
    return sorted(found | set(_staging(session, region)))


def _staging(session: boto3.Session, region: str) -> Iterator[str]:
    # It stays while it holds templates of other stacks.
    bucket = staging.bucket_name(Account(session, region))
    s3 = session.client("s3")
    if any(each["Name"] == bucket for each in s3.list_buckets()["Buckets"]):
        pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket)
        listed = [each for page in pages for each in (*page.get("Versions", []), *page.get("DeleteMarkers", []))]
        if not listed or any(each["Key"].startswith(staging.prefix(STACK)) for each in listed):
            yield f"bucket {bucket}"


def _roles(session: boto3.Session) -> Iterator[str]:
    iam = session.client("iam")
    for page in iam.get_paginator("list_roles").paginate(PathPrefix=ROLE_PATH):
        for role in page["Roles"]:
            if _is_ours(iam.list_role_tags(RoleName=role["RoleName"])["Tags"]):
                yield f"role {role['Arn']}"
    for profiles in iam.get_paginator("list_instance_profiles").paginate(PathPrefix=ROLE_PATH):
        for profile in profiles["InstanceProfiles"]:
            name = profile["InstanceProfileName"]
            if _is_ours(iam.list_instance_profile_tags(InstanceProfileName=name)["Tags"]):
                yield f"instance profile {profile['Arn']}"
    for users in iam.get_paginator("list_users").paginate(PathPrefix=ROLE_PATH):
        yield from (f"user {user['Arn']}" for user in users["Users"] if user["UserName"].startswith(STACK))


def _buckets(session: boto3.Session) -> Iterator[str]:
    s3 = session.client("s3")
    for bucket in s3.list_buckets()["Buckets"]:
        if bucket["Name"].startswith("annex-bootstrap-"):
            try:
                tags = s3.get_bucket_tagging(Bucket=bucket["Name"])["TagSet"]
            except ClientError as error:
                if error.response["Error"]["Code"] not in {"NoSuchTagSet", "NoSuchBucket"}:
                    raise
                continue
            if _is_ours(tags):
                yield f"bucket {bucket['Name']}"


def _ec2(session: boto3.Session, annexes: Sequence[str]) -> Iterator[str]:
    ec2 = session.client("ec2")
    tagged: list[Any] = [{"Name": "tag-key", "Values": [STACK_TAG]}]
    for groups in ec2.get_paginator("describe_security_groups").paginate(Filters=tagged):
        yield from (f"security group {g['GroupId']}" for g in groups["SecurityGroups"] if _is_ours(g.get("Tags", [])))
    for image in ec2.describe_images(Owners=["self"], Filters=tagged)["Images"]:
        if _is_ours(image.get("Tags", [])):
            yield f"image {image['ImageId']}"
    for snapshots in ec2.get_paginator("describe_snapshots").paginate(OwnerIds=["self"], Filters=tagged):
        yield from (f"snapshot {s['SnapshotId']}" for s in snapshots["Snapshots"] if _is_ours(s.get("Tags", [])))
    running: list[Any] = [{"Name": "instance-state-name", "Values": MACHINE_RUNNING}]
    for reservations in ec2.get_paginator("describe_instances").paginate(Filters=running):
        for reservation in reservations["Reservations"]:
            for machine in reservation["Instances"]:
                tags = machine.get("Tags", [])
                if _is_ours(tags) or any(tag["Key"] == ANNEX_TAG and tag["Value"] in annexes for tag in tags):
                    yield f"machine {machine['InstanceId']}"
    for fleets in ec2.get_paginator("describe_spot_fleet_requests").paginate():
        for fleet in fleets["SpotFleetRequestConfigs"]:
            annex = fleet["SpotFleetRequestConfig"].get("ClientToken", "").rpartition("_")[0]
            if annex in annexes and not fleet["SpotFleetRequestState"].startswith("cancelled"):
                yield f"spot fleet {fleet['SpotFleetRequestId']}"


def _is_ours(tags: Sequence[Mapping[str, Any]]) -> bool:
    return any(tag["Key"] == STACK_TAG and OWNER in tag["Value"] for tag in tags)
