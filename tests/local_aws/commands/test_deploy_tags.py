"""``deploy --tag``: tags on all that a stack and its functions make, kept by updates."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from annex_bootstrap.stack.read import find
from annex_contract.outputs import profiles_of
from annex_contract.stack import Output
from tests.local_aws.cli_user import CliUser

pytestmark = pytest.mark.slow

TAGS = {"cost-center": "42", "project": "annexes/a b"}


def given(tags: Any) -> dict[str, str]:
    """Return those of our tags that are among a thing's."""
    return {tag["Key"]: tag["Value"] for tag in tags if tag["Key"] in TAGS}


def test_tags_are_on_all_that_the_stack_makes_and_stay_there(deployer: CliUser, root: boto3.Session) -> None:
    deployer.must("deploy", "--yes", *(f"--tag={key}={value}" for key, value in TAGS.items()))
    stack = find(root.client("cloudformation"), deployer.stack_name)
    assert stack is not None
    # By these, CloudFormation tags what it makes itself.
    assert dict(stack.tags) == TAGS
    iam, ec2, outputs = root.client("iam"), root.client("ec2"), stack.outputs
    for name in (arn.rpartition("/")[2] for arn in profiles_of(outputs)):
        assert given(iam.list_role_tags(RoleName=name)["Tags"]) == TAGS
        assert given(iam.list_instance_profile_tags(InstanceProfileName=name)["Tags"]) == TAGS
    fleet_role = outputs[Output.IAM_FLEET_ROLE_ARN].rpartition("/")[2]
    assert given(iam.list_role_tags(RoleName=fleet_role)["Tags"]) == TAGS
    bucket = root.client("s3").get_bucket_tagging(Bucket=outputs[Output.S3_BUCKET_NAME])
    assert given(bucket["TagSet"]) == TAGS
    (image,) = ec2.describe_images(ImageIds=[outputs[Output.IMAGE_ID]])["Images"]
    assert given(image["Tags"]) == TAGS
    mine: Any = [{"Name": "tag:annex-bootstrap:stack", "Values": [stack.stack_id]}]
    groups = ec2.describe_security_groups(Filters=mine)["SecurityGroups"]
    snapshots = ec2.describe_snapshots(Filters=mine)["Snapshots"]
    templates = ec2.describe_launch_templates(LaunchTemplateIds=[outputs[Output.LAUNCH_TEMPLATE_ID]])["LaunchTemplates"]
    lists: tuple[Any, ...] = (groups, snapshots, templates)
    for made in lists:
        assert made
        assert all(given(each["Tags"]) == TAGS for each in made)
    deployer.must("deploy", "--yes", "--param", "MaxCores=100")
    kept = find(root.client("cloudformation"), deployer.stack_name)
    assert kept is not None
    assert (dict(kept.tags), kept.parameters["MaxCores"]) == (TAGS, "100")
    assert [kept.parameters[f"Tag{number}"] for number in (1, 2, 3)] == ["cost-center=42", "project=annexes/a b", ""]


def test_a_tag_that_is_none_is_refused_before_anything_is_made(deployer: CliUser, root: boto3.Session) -> None:
    for wrong, said in (("cost-center", "is not a tag"), ("Name=a", "is not free"), ("a=b=c", "a second =")):
        refused = deployer.run("deploy", "--yes", "--tag", wrong)
        assert refused.returncode == 2
        assert said in " ".join(refused.stderr.split())
    assert find(root.client("cloudformation"), deployer.stack_name) is None
