"""``delete``, under the deployer's policy and with IAM enforced."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace

import boto3
import pytest

from annex_contract.stack import Output
from local_aws.demo.annexes import AnnexUser
from local_aws.demo.inventory import is_service_linked, take_inventory
from local_aws.launcher import ACCOUNT, Credentials
from tests.local_aws import stack
from tests.local_aws.cli_user import DEPLOY_WITHOUT_IMAGE, CliUser

pytestmark = pytest.mark.slow

HOUR = 3600

ADMINISTRATOR = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def outputs(deployer: CliUser) -> dict[str, str]:
    (region,) = deployer.must("status", "--output", "json").document["result"]["regions"]
    found: dict[str, str] = region["outputs"]
    return found


@pytest.fixture
def image_id(root: boto3.Session) -> str:
    return root.client("ec2").describe_images(Owners=["amazon"])["Images"][0]["ImageId"]


def test_nothing_of_ours_is_left_and_the_rest_of_the_configuration_is_kept(
    deployer: CliUser, root: boto3.Session
) -> None:
    before = take_inventory(root)
    deployer.config.parent.mkdir(parents=True)
    deployer.config.write_text("# mine\n")
    deployer.must("deploy", "--yes")
    refused = deployer.run("delete", text="n\n")
    assert refused.returncode == 0
    assert re.search(r"^  deletes the machine image ami-\w+ with its snapshots$", refused.stdout, re.MULTILINE)
    assert "keeps the account's two service-linked roles for spot" in refused.stdout
    assert refused.stdout.endswith("Nothing was changed.\n")
    assert deployer.must("status").returncode == 0

    ran = deployer.must("delete", "--yes")
    assert f"DELETE_COMPLETE: {deployer.stack_name} in us-east-1" in ran.stdout
    assert {resource for resource in take_inventory(root) - before if not is_service_linked(resource)} == set()
    assert deployer.config.read_text() == "# mine\n"

    again = deployer.must("delete", "--yes")
    assert again.stdout == f"There is no stack {deployer.stack_name} in us-east-1.\n"


def test_a_stack_with_leases_is_kept_unless_its_annexes_may_be_ended(
    deployer: CliUser, root: boto3.Session, image_id: str
) -> None:
    deployer.must(*DEPLOY_WITHOUT_IMAGE)
    user = AnnexUser(root, outputs(deployer))
    prefix = deployer.stack_name.replace("test-", "a")
    blast = user.start(prefix, count=2, seconds=HOUR, image_id=image_id)
    other = user.start(f"{prefix}-2", count=1, seconds=HOUR, image_id=image_id)

    refused = deployer.run("delete", "--yes", "--output", "json")
    assert refused.returncode == 1
    assert refused.document["result"]["regions"][0]["annexes"] == [prefix, f"{prefix}-2"]
    assert f"these annexes still have a lease: {prefix}, {prefix}-2;" in refused.stderr
    assert (user.running(blast), user.running(other)) == (2, 1)
    assert deployer.must("status").returncode == 0

    ran = deployer.must("delete", "--yes", "--end-annexes")
    assert f"ends these annexes and all their machines: {prefix}, {prefix}-2" in ran.stdout
    assert (user.running(blast), user.running(other)) == (0, 0)
    assert root.client("events").list_rules(NamePrefix=prefix)["Rules"] == []


def test_every_version_in_a_staging_bucket_is_deleted_and_the_budget_with_it(
    deployer: CliUser, root: boto3.Session
) -> None:
    deployer.must(*DEPLOY_WITHOUT_IMAGE, "--monthly-budget", "50", "--mail", "somebody@example.org")
    bucket = f"annex-bootstrap-staging-{ACCOUNT}-us-east-1"
    s3 = root.client("s3")
    # As policies of some accounts do to every bucket.
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    twice = f"{deployer.stack_name}/twice"
    s3.put_object(Bucket=bucket, Key=twice, Body=b"1")
    s3.put_object(Bucket=bucket, Key=twice, Body=b"2")
    s3.delete_object(Bucket=bucket, Key=twice)
    ran = deployer.must("delete", "--yes")
    assert "deleted the budget" in ran.stdout
    assert deployer.config.read_text() == ""
    assert bucket not in [listed["Name"] for listed in s3.list_buckets()["Buckets"]]


def test_templates_of_other_stacks_stay_with_the_staging_bucket(deployer: CliUser, root: boto3.Session) -> None:
    deployer.must(*DEPLOY_WITHOUT_IMAGE)
    bucket, theirs = f"annex-bootstrap-staging-{ACCOUNT}-us-east-1", f"{deployer.stack_name}-b/template"
    s3 = root.client("s3")
    s3.put_object(Bucket=bucket, Key=theirs, Body=b"{}")
    ran = deployer.must("delete", "--yes")
    assert f"keeps the bucket {bucket}: other stacks have their templates in it" in ran.stdout
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [theirs]
    s3.delete_object(Bucket=bucket, Key=theirs)
    s3.delete_bucket(Bucket=bucket)


def test_a_staging_bucket_that_cannot_be_deleted_keeps_neither_budget_nor_configuration(
    deployer: CliUser, root: boto3.Session
) -> None:
    deployer.must(*DEPLOY_WITHOUT_IMAGE, "--monthly-budget", "50", "--mail", "somebody@example.org")
    bucket = f"annex-bootstrap-staging-{ACCOUNT}-us-east-1"
    s3 = root.client("s3")
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject*", "Resource": f"arn:aws:s3:::{bucket}/*"}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
    ran = deployer.run("delete", "--yes")
    s3.delete_bucket_policy(Bucket=bucket)
    assert ran.returncode == 1
    assert "deleting the staging bucket failed" in ran.stderr
    assert f"DELETE_COMPLETE: {deployer.stack_name} in us-east-1" in ran.stdout
    assert "deleted the budget" in ran.stdout
    assert deployer.config.read_text() == ""


def test_an_image_that_aws_still_lists_after_it_is_deregistered_delays_the_deletion_only(
    deployer: CliUser, set_machines: Callable[..., None]
) -> None:
    deployer.must("deploy", "--yes")
    set_machines(deregistered_seconds=5)
    ran = deployer.must("delete", "--yes")
    assert f"DELETE_COMPLETE: {deployer.stack_name} in us-east-1" in ran.stdout


def test_a_stack_that_cannot_be_deleted_ends_no_annex(deployer: CliUser, root: boto3.Session, image_id: str) -> None:
    deployer.must(*DEPLOY_WITHOUT_IMAGE)
    user = AnnexUser(root, outputs(deployer))
    annex = user.start(deployer.stack_name, count=1, seconds=HOUR, image_id=image_id)
    cloudformation, iam = root.client("cloudformation"), root.client("iam")
    cloudformation.update_termination_protection(StackName=deployer.stack_name, EnableTerminationProtection=True)
    refused = deployer.run("delete", "--yes", "--end-annexes")
    assert refused.returncode == 1
    assert "is protected from deletion: aws cloudformation update-termination-protection --no-" in refused.stderr
    assert user.running(annex) == 1

    cloudformation.update_termination_protection(StackName=deployer.stack_name, EnableTerminationProtection=False)
    group, policy = f"{deployer.stack_name}-people", outputs(deployer)[Output.ANNEX_USER_POLICY_ARN]
    iam.create_group(GroupName=group)
    iam.attach_group_policy(GroupName=group, PolicyArn=policy)
    refused = deployer.run("delete", "--yes", "--end-annexes")
    assert refused.returncode == 1
    assert f"are attached to the group {group}, so that AWS would not delete it" in refused.stderr
    line = f"aws iam detach-group-policy --group-name {group} --policy-arn {policy}"
    assert f"  {line}" in refused.stderr.splitlines()
    assert user.running(annex) == 1

    iam.detach_group_policy(GroupName=group, PolicyArn=policy)
    iam.delete_group(GroupName=group)
    deployer.must("delete", "--yes", "--end-annexes")
    assert user.running(annex) == 0


def test_the_user_that_credentials_made_is_named_and_removed_first(
    deployer: CliUser, new_user: Callable[[str], Credentials], root: boto3.Session
) -> None:
    deployer.must(*DEPLOY_WITHOUT_IMAGE)
    admin = replace(deployer, credentials=new_user(json.dumps(ADMINISTRATOR)))
    admin.must("credentials")
    refused = admin.run("delete", "--yes")
    assert refused.returncode == 1
    name = f"{deployer.stack_name}-us-east-1"
    line = (
        f"annex-bootstrap credentials --remove --user-name {name} --stack-name {deployer.stack_name} --region us-east-1"
    )
    assert f"  {line}" in refused.stderr.splitlines()
    assert "status" not in refused.stderr
    gone = admin.run("delete", text="y\ny\n")
    assert gone.returncode == 0, gone
    assert f"The IAM user {name} is deleted." in gone.stdout
    assert name not in [user["UserName"] for user in root.client("iam").list_users()["Users"]]
    assert "annex-access-key" not in gone.stdout


def test_what_is_left_on_the_machine_is_listed_with_its_command(deployer: CliUser) -> None:
    deployer.must(*DEPLOY_WITHOUT_IMAGE)
    fleet = deployer.home / ".condor" / "annex-fleet-us-east-1.json"
    fleet.write_text("{}")
    ran = deployer.must("delete", "--yes")
    assert f"  rm {fleet}  # the spot fleet file" in ran.stdout.splitlines()


def test_machines_without_an_annex_are_not_ended(deployer: CliUser, root: boto3.Session, image_id: str) -> None:
    deployer.must(*DEPLOY_WITHOUT_IMAGE)
    ec2 = root.client("ec2")
    (mine,) = ec2.run_instances(ImageId=image_id, MinCount=1, MaxCount=1)["Instances"]
    user = AnnexUser(root, outputs(deployer))
    user.start(deployer.stack_name, count=1, seconds=HOUR, image_id=image_id)
    deployer.must("delete", "--yes", "--end-annexes")
    (reservation,) = ec2.describe_instances(InstanceIds=[mine["InstanceId"]])["Reservations"]
    assert reservation["Instances"][0]["State"]["Name"] == "running"
    ec2.terminate_instances(InstanceIds=[mine["InstanceId"]])


def test_the_remains_of_a_failed_creation_are_deleted_too(deployer: CliUser) -> None:
    assert deployer.run(*DEPLOY_WITHOUT_IMAGE, "--param", "VpcId=vpc-00000000000000000").returncode == 1
    deployer.must("delete", "--yes")
    assert "There is no stack" in deployer.run("status").stdout


def test_a_damaged_configuration_is_reported_before_anything_is_deleted(deployer: CliUser) -> None:
    deployer.must(*DEPLOY_WITHOUT_IMAGE)
    deployer.config.write_text(deployer.config.read_text().replace("# END annex-bootstrap\n", ""))
    ran = deployer.run("delete", "--yes")
    assert ran.returncode == 1
    assert "its annex-bootstrap block is damaged (1 BEGIN and 0 END lines)" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert deployer.run("deploy", "--yes").returncode == 1


def test_a_failed_deletion_reports_which_resource_blocks_it(deployer: CliUser, root: boto3.Session) -> None:
    deployer.must(*DEPLOY_WITHOUT_IMAGE)
    role = outputs(deployer)[Output.INSTANCE_ROLE_ARN].rpartition("/")[2]
    iam = root.client("iam")
    profile = f"{deployer.stack_name}-mine"
    iam.create_instance_profile(InstanceProfileName=profile)
    iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=role)
    ran = deployer.run("delete", "--yes")
    iam.remove_role_from_instance_profile(InstanceProfileName=profile, RoleName=role)
    iam.delete_instance_profile(InstanceProfileName=profile)
    assert ran.returncode == 1, ran
    assert "the stack ended in DELETE_FAILED; InstanceRole failed first:" in ran.stderr
    assert deployer.config.exists()
    # CloudFormation keeps the function that the role needs to be deleted later; the local AWS does not.
    root.client("cloudformation").delete_stack(StackName=deployer.stack_name, RetainResources=["InstanceRole"])


def test_deleting_one_region_leaves_the_other(deployer: CliUser) -> None:
    deployer.must("deploy", "--yes", "--region", "us-east-1", "--region", "eu-west-1")
    deployer.must("delete", "--yes", "--region", "us-east-1")
    written = deployer.config.read_text()
    assert "ANNEX_DEFAULT_AWS_REGION = eu-west-1\n" in written
    assert "us-east-1" not in written
    # Its knobs need no prefix now; those of the image keep theirs, because HTCondor has prefixed ones of its own.
    prefixed = [line.split(" = ")[0] for line in written.splitlines() if line.startswith("eu_west_1.")]
    assert prefixed == ["eu_west_1.ANNEX_DEFAULT_ODI_IMAGE_ID", "eu_west_1.ANNEX_DEFAULT_ODI_INSTANCE_TYPE"]
    europe = boto3.Session(region_name="eu-west-1")
    assert stack.describe(europe, deployer.stack_name).outputs[Output.S3_BUCKET_NAME] in written
