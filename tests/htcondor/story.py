"""The people of the story and what they do: a scientist at a pool, an administrator of the AWS account."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from annex_contract.stack import ANNEX_TAG, DEFAULT_STACK_NAME, Output
from local_aws.demo.inventory import Inventory, take_inventory
from local_aws.launcher import ACCOUNT, LocalAws, local_aws
from tests.htcondor import world
from tests.htcondor.pool import USER, Pool
from tests.htcondor.transcript import Transcript

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

CHECKOUT = Path(__file__).parent.parent.parent
HOME = f"/home/{USER}"
CONDOR = f"{HOME}/.condor"
USER_CONFIG = f"{CONDOR}/user_config"
DEPLOYER = "deployer"
OPERATOR = "operator"

SPEED = 100
"""How many times faster than the clock schedules run: rate(5 minutes) fires every three seconds."""

PATIENCE = 120.0
"""Seconds until something that must happen counts as missing."""

INTRODUCTION = """\
Everything below happens in a Debian 13 with HTCondor {version}, on a network without a way out, in which AWS's own host
names lead to a local AWS with TLS and with IAM enforced. `$` is the prompt of the scientist, `#` that of root. What
`deploy` and `delete` say about single resources is left out."""

_COMMAND = "/usr/bin/annex-bootstrap"
_SOURCES, _PACKAGES = "/opt/annex-bootstrap/sources", "/opt/annex-bootstrap/packages"
_CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"

ENDED = {"shutting-down", "terminated"}


@dataclass
class Story:
    """A local AWS in AWS's place, a pool, and what the steps know of both.

    Attributes:
        local: the AWS.
        root: the account's root, to look at AWS from outside.
        pool: where condor_annex and our commands run.
        transcript: where everything is told.
        before: what the account had at the beginning.
        outputs: of the stack, by region.
    """

    local: LocalAws
    root: boto3.Session
    pool: Pool
    transcript: Transcript
    before: Mapping[str, Inventory]
    outputs: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def annex_bootstrap(self, *arguments: str, user: str = USER) -> str:
        """Run one of our commands in the pool, as a person would; it has to succeed.

        Returns:
            What it said.
        """
        ended = self.pool.run(["annex-bootstrap", *arguments], user=user, seconds=300)
        said = ended.stdout + ended.stderr
        self.transcript.command(f"annex-bootstrap {' '.join(arguments)}", said, user=user)
        assert ended.returncode == 0, said
        return said

    def condor_annex(self, *arguments: str) -> str:
        """Run condor_annex in the pool.

        Returns:
            What it said. Its exit code says nothing.
        """
        ended = self.pool.run(["condor_annex", *arguments])
        said = ended.stdout + ended.stderr
        self.transcript.command(f"condor_annex {' '.join(arguments)}", said)
        return said

    def checked(self, fact: str) -> None:
        """Tell what was checked."""
        self.transcript.checked(fact)

    def machines(self, annex_id: str, region: str = world.REGION) -> list[InstanceTypeDef]:
        """The machines of an annex that are not ended, by their tag, as AWS has them."""
        pages = self.root.client("ec2", region_name=region).get_paginator("describe_instances").paginate()
        return [
            instance
            for page in pages
            for reservation in page["Reservations"]
            for instance in reservation["Instances"]
            if {"Key": ANNEX_TAG, "Value": annex_id} in instance.get("Tags", [])
            and instance["State"]["Name"] not in ENDED
        ]

    def leases(self, region: str = world.REGION) -> set[str]:
        """The names of the rules that condor_annex made."""
        rules = self.root.client("events", region_name=region).list_rules()["Rules"]
        return {each["Name"] for each in rules if not each["Name"].startswith(DEFAULT_STACK_NAME)}

    def lease(self, annex_id: str, region: str = world.REGION) -> dict[str, Any]:
        """The input of the lease's one target; it has to be our function."""
        (target,) = self.root.client("events", region_name=region).list_targets_by_rule(Rule=annex_id)["Targets"]
        assert (target["Id"], target["Arn"]) == (annex_id, self.outputs[region][Output.LEASE_FUNCTION_ARN])
        lease: dict[str, Any] = json.loads(target["Input"])
        return lease

    def tarballs(self, region: str = world.REGION) -> set[str]:
        """The keys in the stack's bucket."""
        bucket = self.outputs[region][Output.S3_BUCKET_NAME]
        listed = self.root.client("s3", region_name=region).list_objects_v2(Bucket=bucket)
        return {each["Key"] for each in listed.get("Contents", [])}

    def wait_until(self, happened: Callable[[], bool], what: str) -> float:
        """Wait for something that must happen.

        Returns:
            Seconds that it took.
        """
        began = time.monotonic()
        while not happened():
            assert time.monotonic() - began < PATIENCE, f"waited {PATIENCE:.0f} s in vain until {what}"
            time.sleep(0.5)
        return time.monotonic() - began

    def read_outputs(self, region: str) -> Mapping[str, str]:
        """Read a stack's outputs, and let the pool resolve the name of its bucket, which no hosts file can know."""
        client = self.root.client("cloudformation", region_name=region)
        (stack,) = client.describe_stacks(StackName=DEFAULT_STACK_NAME)["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        self.outputs[region] = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
        self.pool.resolve(bucket_names(self.outputs[region][Output.S3_BUCKET_NAME], region))
        return self.outputs[region]

    def image(self, region: str = world.REGION) -> str:
        """Any machine image that the region has."""
        return self.root.client("ec2", region_name=region).describe_images(Owners=["amazon"])["Images"][0]["ImageId"]

    def make_user(self, name: str, policy: str | None = None) -> tuple[str, str]:
        """Make an IAM user, as an administrator of the account does, with one inline policy or none.

        Returns:
            The two parts of its access key.
        """
        iam = self.root.client("iam")
        iam.create_user(UserName=name)
        if policy is not None:
            iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]


def bucket_names(bucket: str, region: str) -> dict[str, str]:
    """The host names of a bucket."""
    return dict.fromkeys((f"{bucket}.s3.amazonaws.com", f"{bucket}.s3.{region}.amazonaws.com"), "127.0.0.1")


@contextmanager
def tell(root: Path) -> Iterator[Story]:
    """Set the scene: a local AWS in AWS's place, a pool beside it with our commands installed.

    Args:
        root: a root directory with HTCondor.
    """
    staging = f"{DEFAULT_STACK_NAME}-staging-{ACCOUNT}"
    hosts = dict.fromkeys(world.names(), "127.0.0.1")
    for region in world.REGIONS:
        hosts |= bucket_names(f"{staging}-{region}", region)
    with (
        pytest.MonkeyPatch.context() as patch,
        local_aws(SPEED, world.REGIONS) as local,
        Pool(
            root,
            hosts=hosts,
            ca_pem=local.ca_file.read_text(),
            directories={_SOURCES: CHECKOUT, _PACKAGES: Path(boto3.__file__).parent.parent},
        ) as pool,
    ):
        for name in [each for each in os.environ if each.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in local.environ(local.root).items():
            patch.setenv(name, value)
        _install_client(pool)
        session = boto3.Session()
        before = {each: take_inventory(boto3.Session(region_name=each)) for each in world.REGIONS}
        transcript = Transcript()
        transcript.begin(INTRODUCTION.format(version=pool.must(["condor_version"]).split()[1]))
        yield Story(local, session, pool, transcript, before)


def _install_client(pool: Pool) -> None:
    # The packages are those of the environment that runs the tests; all that the client needs is pure Python.
    pool.write(
        _COMMAND,
        f'#!/bin/sh\nPYTHONPATH={_SOURCES}:{_PACKAGES} exec python3 -B -m annex_bootstrap "$@"\n',
        user="root",
    )
    pool.must(["chmod", "755", _COMMAND])


def aws_profiles(keys: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """The files in which AWS's own tools and ours find profiles.

    Args:
        keys: the two parts of an access key, by the profile's name.

    Returns:
        The text of each file, by its path.
    """
    credentials = [
        f"[{name}]\naws_access_key_id = {key[0]}\naws_secret_access_key = {key[1]}\n" for name, key in keys.items()
    ]
    config = [f"[profile {name}]\nregion = {world.REGION}\nca_bundle = {_CA_BUNDLE}\n" for name in keys]
    return {f"{HOME}/.aws/credentials": "".join(credentials), f"{HOME}/.aws/config": "".join(config)}
