"""What an account holds of the kinds that custom resources create, and every detail of one resource."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import boto3
from botocore.exceptions import ClientError

from annex_contract.image import IMAGE_TAG

VOLATILE = ("ResponseMetadata", "RoleLastUsed")
"""Parts of answers that change by themselves."""


class Account:
    """The account, seen with its root keys."""

    def __init__(self, root: boto3.Session) -> None:
        """Create the clients once."""
        self.s3 = root.client("s3")
        self.iam = root.client("iam")
        self.ec2 = root.client("ec2")

    def resources(self) -> frozenset[str]:
        """Return the names of buckets, roles (but service-linked ones), instance profiles, groups and images."""
        roles = self.iam.get_paginator("list_roles").paginate()
        profiles = self.iam.get_paginator("list_instance_profiles").paginate()
        return frozenset(
            [
                *(f"bucket {bucket['Name']}" for bucket in self.s3.list_buckets()["Buckets"]),
                *(
                    f"role {role['Arn']}"
                    for page in roles
                    for role in page["Roles"]
                    if "/aws-service" not in role["Arn"]
                ),
                *(f"profile {profile['Arn']}" for page in profiles for profile in page["InstanceProfiles"]),
                *(f"group {group['GroupId']}" for group in self.ec2.describe_security_groups()["SecurityGroups"]),
                *(f"image {image['ImageId']}" for image in self.ec2.describe_images(Owners=["self"])["Images"]),
                *(
                    f"snapshot {snapshot['SnapshotId']}"
                    for snapshot in self.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
                ),
                *(f"builder {machine_id}" for machine_id in self._builders()),
            ]
        )

    def settled(self) -> frozenset[str]:
        """Return `resources` when two readings a second apart agree: what earlier tests deleted is gone by then."""
        for _ in range(60):
            first = self.resources()
            time.sleep(1)
            if self.resources() == first:
                return first
        raise AssertionError("The account's resources have changed every second for a minute")

    def _builders(self) -> list[str]:
        found = self.ec2.describe_instances(Filters=[{"Name": "tag-key", "Values": [IMAGE_TAG]}])["Reservations"]
        machines = [machine for reservation in found for machine in reservation["Instances"]]
        return [machine["InstanceId"] for machine in machines if machine["State"]["Name"] != "terminated"]

    def forget_service_linked_roles(self) -> None:
        """Make the account look as if it never had a spot fleet."""
        for page in self.iam.get_paginator("list_roles").paginate(PathPrefix="/aws-service-role/spot"):
            for role in page["Roles"]:
                self.iam.delete_service_linked_role(RoleName=role["RoleName"])

    def make_service_linked_roles(self) -> None:
        """Make those that were forgotten and that nobody has made since; other tests need them."""
        for service in ("spot.amazonaws.com", "spotfleet.amazonaws.com"):
            with contextlib.suppress(self.iam.exceptions.InvalidInputException):
                self.iam.create_service_linked_role(AWSServiceName=service)

    def details(self, resource: str, name: str) -> str:
        """Return everything about one resource as text that changes if and only if the resource does."""
        reads = {"Bucket": self._bucket, "MachineImage": self._image}
        reads |= dict.fromkeys(("ImageBuilder", "SecurityGroup"), self._group)
        found = reads.get(resource, self._role)(name)
        return json.dumps(found, default=str, sort_keys=True, indent=1)

    def _image(self, name: str) -> Any:
        tagged = [{"Name": f"tag:{IMAGE_TAG}", "Values": [name]}]
        return [
            self.ec2.describe_images(Owners=["self"], Filters=tagged)["Images"],  # type: ignore[arg-type]  # a literal
            self.ec2.describe_snapshots(OwnerIds=["self"], Filters=tagged)["Snapshots"],  # type: ignore[arg-type]  # too
        ]

    def _bucket(self, name: str) -> Any:
        reads: list[Any] = [
            *(self.s3.get_bucket_tagging, self.s3.get_bucket_policy, self.s3.get_public_access_block),
            *(self.s3.get_bucket_encryption, self.s3.get_bucket_ownership_controls, self.s3.get_bucket_versioning),
            *(self.s3.get_bucket_lifecycle_configuration, self.s3.get_bucket_acl, self.s3.list_object_versions),
            self.s3.list_multipart_uploads,
        ]
        return [_answer(read, Bucket=name) for read in reads]

    def _role(self, name: str) -> Any:
        inline = self.iam.list_role_policies(RoleName=name)["PolicyNames"]
        return [
            _answer(self.iam.get_role, RoleName=name)["Role"],
            _answer(self.iam.list_attached_role_policies, RoleName=name),
            [_answer(self.iam.get_role_policy, RoleName=name, PolicyName=policy) for policy in sorted(inline)],
            _answer(self.iam.get_instance_profile, InstanceProfileName=name),
        ]

    def _group(self, name: str) -> Any:
        groups = self.ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": [name]}])["SecurityGroups"]
        return [
            {
                **group,
                "IpPermissions": sorted(
                    str((permission["FromPort"], permission["IpRanges"], permission["Ipv6Ranges"]))
                    for permission in group["IpPermissions"]
                ),
            }
            for group in groups
        ]


def _answer(read: Any, **arguments: str) -> Any:
    try:
        answer = read(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    for name in VOLATILE:
        answer.pop(name, None)
        answer.get("Role", {}).pop(name, None)
    return answer
