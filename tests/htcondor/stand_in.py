"""A machine that boots from the stack's image in place of one that the local AWS only records."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from local_aws.launcher import STAND_IN_TAG
from tests.htcondor.image import ImageMachine
from tests.htcondor.network import Network
from tests.htcondor.testbed import Testbed

ADMINISTRATOR = "administrator"

EVERYTHING = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
"""An administrator's policy."""


def said_by(stand_in: ImageMachine) -> list[str]:
    """Return what the boot service said on the console, where others talk too."""
    lines = (line.partition("annex-boot: ") for line in stand_in.console.splitlines())
    return [text for _, found, text in lines if found]


def network_of(testbed: Testbed, instance_id: str) -> Network:
    """Return the network of an instance: its public address, and the ports that its security groups open."""
    ec2 = testbed.root.client("ec2")
    (reservation,) = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    (instance,) = reservation["Instances"]
    groups = [group["GroupId"] for group in instance["SecurityGroups"]]
    allowed = [
        permission
        for group in ec2.describe_security_groups(GroupIds=groups)["SecurityGroups"]
        for permission in group["IpPermissions"]
    ]
    return Network(instance["PublicIpAddress"], sorted({permission["FromPort"] for permission in allowed}))


@contextmanager
def booted(
    testbed: Testbed, image: Path, instance_id: str, files: Mapping[str, str] = MappingProxyType({})
) -> Iterator[ImageMachine]:
    """Boot a machine in place of an instance; it asks for metadata with tokens only.

    Args:
        testbed: whose instance it is.
        image: that it boots from.
        instance_id: of the instance.
        files: what the image has besides, by path.
    """
    ec2 = testbed.root.client("ec2")
    ec2.modify_instance_metadata_options(InstanceId=instance_id, HttpTokens="required")
    ec2.create_tags(Resources=[instance_id], Tags=[{"Key": STAND_IN_TAG, "Value": "yes"}])
    ca_pem = testbed.local.ca_file.read_text()
    try:
        network = network_of(testbed, instance_id)
        with ImageMachine(image, network, hosts=testbed.pool.hosts, ca_pem=ca_pem, files=files) as stand_in:
            try:
                yield stand_in
            except BaseException:
                sys.stdout.write(f"{stand_in.console}\n")
                raise
    finally:
        ec2.delete_tags(Resources=[instance_id], Tags=[{"Key": STAND_IN_TAG}])
