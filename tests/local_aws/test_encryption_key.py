"""A customer's key of KMS: as the account's default, which nobody may use, and as the stack's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from annex_bootstrap.policies.key import key_policy
from annex_bootstrap.policies.operator import operator_policy
from annex_contract.machine_policies import KEY_POLICY
from annex_contract.stack import Output
from local_aws.launcher import ACCOUNT, REGION, Credentials, LocalAws
from tests.local_aws import stack
from tests.local_aws.cli_user import CliUser
from tests.local_aws.conftest import make_home

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_ec2 import EC2Client

STACK = "keyed"


@pytest.fixture
def key(root: boto3.Session) -> str:
    """The ARN of a key."""
    return str(root.client("kms").create_key()["KeyMetadata"]["Arn"])


@pytest.fixture
def unusable_default(root: boto3.Session, key: str) -> Iterator[None]:
    """A key that encrypts every volume that names none, and that none of our policies allows."""
    ec2 = root.client("ec2")
    ec2.modify_ebs_default_kms_key_id(KmsKeyId=key)
    ec2.enable_ebs_encryption_by_default()
    yield
    ec2.disable_ebs_encryption_by_default()
    ec2.reset_ebs_default_kms_key_id()


def run(ec2: EC2Client, image_id: str, **more: Any) -> str:
    """Start a machine, and return its state when it has one."""
    (machine,) = ec2.run_instances(ImageId=image_id, InstanceType="t3.micro", MinCount=1, MaxCount=1, **more)[
        "Instances"
    ]
    found = ec2.describe_instances(InstanceIds=[machine["InstanceId"]])["Reservations"][0]["Instances"][0]
    ec2.terminate_instances(InstanceIds=[machine["InstanceId"]])
    return found["State"]["Name"]


@pytest.fixture
def user_of(new_user: Callable[[str], Credentials], root: boto3.Session) -> Callable[[str], EC2Client]:
    """Return a function that makes a user with the document of a managed policy, and gives EC2 as they see it."""

    def make(policy_arn: str) -> EC2Client:
        iam = root.client("iam")
        version = iam.get_policy(PolicyArn=policy_arn)["Policy"]["DefaultVersionId"]
        document: Any = iam.get_policy_version(PolicyArn=policy_arn, VersionId=version)["PolicyVersion"]["Document"]
        # DescribeInstances and the like, and nothing of KMS.
        document["Statement"].append({"Effect": "Allow", "Action": "ec2:*", "Resource": "*"})
        credentials = new_user(json.dumps(document))
        return boto3.Session(credentials.access_key_id, credentials.secret_access_key).client("ec2")

    return make


@pytest.mark.usefixtures("set_machines", "unusable_default")
def test_an_account_whose_default_key_nobody_may_use_has_an_image_and_machines(
    root: boto3.Session,
    template: str,
    put_template: Callable[[str], str],
    user_of: Callable[[str], EC2Client],
) -> None:
    with stack.deployed(root, STACK, put_template(template), {"Image": "yes"}) as made:
        ec2, image = user_of(made.outputs[Output.ANNEX_USER_POLICY_ARN]), made.outputs[Output.IMAGE_ID]
        # As condor_annex and spot fleets do, which can name no key.
        assert run(ec2, image) == "running"
        template_id = {"LaunchTemplateId": made.outputs[Output.LAUNCH_TEMPLATE_ID], "Version": "$Latest"}
        assert run(user_of(made.outputs[Output.START_POLICY_ARN]), image, LaunchTemplate=template_id) == "running"


@pytest.mark.slow
@pytest.mark.usefixtures("set_machines")
def test_a_key_encrypts_all_that_a_stack_stores_for_those_who_have_its_policies_alone(
    local: LocalAws,
    root: boto3.Session,
    template: str,
    put_template: Callable[[str], str],
    user_of: Callable[[str], EC2Client],
    new_user: Callable[[str], Credentials],
    tmp_path: Path,
    key: str,
) -> None:
    url, iam, kms = put_template(template), root.client("iam"), root.client("kms")
    s3, logs = root.client("s3"), root.client("logs")

    def encryption() -> dict[str, Any]:
        bucket = made.outputs[Output.S3_BUCKET_NAME]
        (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        return dict(rule["ApplyServerSideEncryptionByDefault"])

    def keys_of_logs() -> set[str | None]:
        return {group.get("kmsKeyId") for group in logs.describe_log_groups(logGroupNamePrefix=STACK)["logGroups"]}

    def policies_of_machines() -> list[str]:
        role = made.outputs[Output.INSTANCE_ROLE_ARN].rpartition("/")[2]
        return iam.list_role_policies(RoleName=role)["PolicyNames"]

    with stack.deployed(root, STACK, url, {"Image": "yes", "KmsKeyArn": key}) as made:
        image = made.outputs[Output.IMAGE_ID]
        template_id = {"LaunchTemplateId": made.outputs[Output.LAUNCH_TEMPLATE_ID], "Version": "$Latest"}
        assert run(user_of(made.outputs[Output.START_POLICY_ARN]), image, LaunchTemplate=template_id) == "running"
        assert run(user_of(made.outputs[Output.ANNEX_USER_POLICY_ARN]), image) == "running"
        only_ec2 = new_user(json.dumps({"Statement": [{"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}]}))
        stranger = boto3.Session(only_ec2.access_key_id, only_ec2.secret_access_key).client("ec2")
        assert run(stranger, image) == "terminated"
        assert encryption() == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
        assert keys_of_logs() == {key}
        assert KEY_POLICY in policies_of_machines()

        granted = json.dumps(operator_policy("aws", ACCOUNT, STACK, key=key))
        operator = CliUser(local, new_user(granted), make_home(tmp_path), STACK)
        assert "lacks EncryptVolumesOfSpotMachines" in operator.run("doctor").stdout
        printed = json.loads(operator.must("policy", "key").stdout)
        assert printed == key_policy("aws", ACCOUNT, REGION, STACK)
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(printed))
        assert "is enabled, and its policy lets AWS use it" in operator.run("doctor").stdout

        assert stack.update(root, STACK, url, {"Image": "yes"}) == "UPDATE_COMPLETE"
        assert encryption() == {"SSEAlgorithm": "AES256"}
        assert keys_of_logs() == {None}
        assert KEY_POLICY not in policies_of_machines()
        # The image is rebuilt: the old one's snapshot still had the key.
        (made_anew,) = root.client("ec2").describe_images(Owners=["self"])["Images"]
        assert made_anew["ImageId"] != image
        assert run(stranger, made_anew["ImageId"]) == "running"
