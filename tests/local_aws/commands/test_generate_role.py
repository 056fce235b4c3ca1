"""The template that ``annex-bootstrap generate-role`` prints, deployed."""

from __future__ import annotations

import json
from collections.abc import Callable

import boto3
import pytest

from annex_bootstrap.policies.generate_role import role_template
from tests.local_aws import stack

pytestmark = pytest.mark.slow


def test_the_template_deploys_and_its_output_is_a_profile_with_the_role(
    root: boto3.Session, put_template: Callable[[str], str]
) -> None:
    url = put_template(json.dumps(role_template("my-bucket", "config.tar.gz")))
    iam = root.client("iam")
    with stack.deployed(root, "guide-role", url) as made:
        arn = made.outputs["InstanceConfigurationProfile"]
        profile = iam.get_instance_profile(InstanceProfileName=arn.rpartition("/")[2])["InstanceProfile"]
        (role,) = profile["Roles"]
        policy = iam.get_role_policy(RoleName=role["RoleName"], PolicyName="annex-configuration")["PolicyDocument"]
        document = policy if isinstance(policy, dict) else json.loads(policy)
        assert document["Statement"][0]["Resource"] == "arn:aws:s3:::my-bucket/config.tar.gz"
        assert profile["Arn"] == arn
