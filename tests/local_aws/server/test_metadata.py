"""The instance metadata service of the local AWS."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as KeyPair
from botocore.exceptions import ClientError

from local_aws.launcher import INTERRUPTION_TAG, REGION, STAND_IN_TAG, LocalAws

IMAGE = "ami-0c2023a1b2c3d4e5f"


@pytest.fixture
def profile(root: boto3.Session) -> Iterator[str]:
    """The ARN of an instance profile whose role may list buckets and nothing else."""
    iam = root.client("iam")
    name = f"machine-{uuid.uuid4().hex[:8]}"
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    allowed = {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
    iam.put_role_policy(
        RoleName=name, PolicyName="list", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    )
    made = iam.create_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Arn"]
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    yield made
    iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=name)
    iam.delete_instance_profile(InstanceProfileName=name)
    iam.delete_role_policy(RoleName=name, PolicyName="list")
    iam.delete_role(RoleName=name)


@pytest.fixture
def machine(root: boto3.Session, profile: str) -> Iterator[str]:
    """The ID of a machine with that profile, which the metadata service describes."""
    ec2 = root.client("ec2")
    started = ec2.run_instances(
        ImageId=IMAGE,
        MinCount=1,
        MaxCount=1,
        IamInstanceProfile={"Arn": profile},
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": STAND_IN_TAG, "Value": "yes"}]}],
    )
    instance_id = started["Instances"][0]["InstanceId"]
    yield instance_id
    ec2.terminate_instances(InstanceIds=[instance_id])


def ask(local: LocalAws, item: str, headers: dict[str, str] | None = None, method: str = "GET") -> tuple[int, str]:
    """Status and text of what the metadata service says. Away from its own address it answers only who signs."""
    context = ssl.create_default_context(cafile=str(local.ca_file))
    url = f"{local.endpoint}/latest/{item}"
    asked = AWSRequest(method, url, headers=headers)
    SigV4Auth(KeyPair(local.root.access_key_id, local.root.secret_access_key), "imds", REGION).add_auth(asked)
    sent = urllib.request.Request(url, headers=dict(asked.headers.items()), method=method)
    try:
        # As long as boto3 waits: the server's first answer can take a busy machine more than ten seconds.
        with urllib.request.urlopen(sent, context=context, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def metadata(local: LocalAws, item: str) -> str:
    """What the metadata service says; it must know."""
    status, text = ask(local, item)
    assert status == 200
    return text


def test_a_machine_learns_its_id_profile_and_region(local: LocalAws, machine: str, profile: str) -> None:
    assert metadata(local, "meta-data/instance-id") == machine
    assert json.loads(metadata(local, "meta-data/iam/info"))["InstanceProfileArn"] == profile
    assert f'\n  "region" : "{REGION}"' in metadata(local, "dynamic/instance-identity/document")


def test_a_machine_learns_by_lists_what_there_is(local: LocalAws, machine: str) -> None:
    assert metadata(local, "").split() == ["dynamic/", "meta-data/"]
    assert {"instance-id", "network/", "placement/"} <= set(metadata(local, "meta-data/").split())
    (mac,) = metadata(local, "meta-data/network/interfaces/macs/").split()
    assert mac == f"{metadata(local, 'meta-data/mac')}/"
    assert metadata(local, f"meta-data/network/interfaces/macs/{mac}device-number") == "0"
    assert metadata(local, f"meta-data/network/interfaces/macs/{mac}interface-id") == f"eni-{machine[2:]}"
    assert ask(local, "meta-data/made-up/")[0] == 404


def test_a_terminated_machine_has_no_metadata(local: LocalAws, root: boto3.Session, machine: str) -> None:
    root.client("ec2").terminate_instances(InstanceIds=[machine])
    assert metadata(local, "meta-data/instance-id") != machine


@pytest.mark.usefixtures("machine")
def test_a_machines_keys_can_do_what_its_role_can_and_no_more(local: LocalAws) -> None:
    role = metadata(local, "meta-data/iam/security-credentials/")
    keys = json.loads(metadata(local, f"meta-data/iam/security-credentials/{role}"))
    session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["Token"])
    session.client("s3").list_buckets()
    with pytest.raises(ClientError, match="not authorized"):
        session.client("iam").list_roles()


@pytest.mark.usefixtures("machine")
def test_a_machine_gets_no_keys_for_another_role(local: LocalAws) -> None:
    assert ask(local, "meta-data/iam/security-credentials/somebody-else")[0] == 404


def test_a_machine_whose_options_demand_a_token_gets_no_answer_without_one(
    local: LocalAws, root: boto3.Session, machine: str
) -> None:
    applied = root.client("ec2").modify_instance_metadata_options(InstanceId=machine, HttpTokens="required")
    assert applied["InstanceMetadataOptions"]["HttpTokens"] == "required"
    assert ask(local, "meta-data/instance-id") == (401, "")
    status, token = ask(local, "api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, "PUT")
    assert status == 200
    assert ask(local, "meta-data/instance-id", {"X-aws-ec2-metadata-token": token}) == (200, machine)
    assert ask(local, "meta-data/instance-id", {"X-aws-ec2-metadata-token": "made-up"})[0] == 401


def test_the_options_of_a_machine_that_does_not_exist_cannot_be_modified(root: boto3.Session) -> None:
    with pytest.raises(ClientError, match=r"InvalidInstanceID\.NotFound"):
        root.client("ec2").modify_instance_metadata_options(InstanceId="i-00000000000000000", HttpTokens="required")


def test_a_machine_learns_its_tags_only_where_its_options_say_so(
    local: LocalAws, root: boto3.Session, machine: str
) -> None:
    ec2 = root.client("ec2")
    ec2.create_tags(Resources=[machine], Tags=[{"Key": "htcondor:AnnexName", "Value": "first"}])
    assert ask(local, "meta-data/tags/instance/htcondor:AnnexName")[0] == 404
    ec2.modify_instance_metadata_options(InstanceId=machine, InstanceMetadataTags="enabled")
    assert metadata(local, "meta-data/tags/instance/htcondor:AnnexName") == "first"
    assert ask(local, "meta-data/tags/instance/other")[0] == 404


def test_a_machine_gets_notice_of_its_interruption_once_it_is_tagged(
    local: LocalAws, root: boto3.Session, machine: str
) -> None:
    assert metadata(local, "meta-data/instance-life-cycle") == "on-demand"
    assert ask(local, "meta-data/spot/instance-action")[0] == 404
    time = "2026-11-23T12:00:00Z"
    root.client("ec2").create_tags(Resources=[machine], Tags=[{"Key": INTERRUPTION_TAG, "Value": time}])
    assert json.loads(metadata(local, "meta-data/spot/instance-action")) == {"action": "terminate", "time": time}
