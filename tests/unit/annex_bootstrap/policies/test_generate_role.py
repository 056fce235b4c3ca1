from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from annex_bootstrap.commands.generate_role import command
from annex_bootstrap.errors import UserError
from annex_bootstrap.policies.generate_role import role_template


def test_the_role_may_read_that_object_and_do_nothing_else() -> None:
    printed = CliRunner().invoke(command, ["my-bucket", "config.tar.gz"]).stdout
    (policy,) = json.loads(printed)["Resources"]["InstanceRole"]["Properties"]["Policies"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Allow"
    assert statement["Action"] == "s3:GetObject"
    assert statement["Resource"] == {"Fn::Sub": "arn:${AWS::Partition}:s3:::my-bucket/config.tar.gz"}


def test_it_has_the_one_output_of_the_guide() -> None:
    assert list(role_template("my-bucket", "k")["Outputs"]) == ["InstanceConfigurationProfile"]


@pytest.mark.parametrize(
    ("bucket", "key"),
    [("My-Bucket", "k"), ("b", "k"), ("my-bucket", ""), ("my-bucket", "k" * 1025), ("my-bucket", "${AWS::Region}")],
)
def test_what_cannot_be_a_bucket_or_a_key_is_refused(bucket: str, key: str) -> None:
    with pytest.raises(UserError, match="is not the"):
        role_template(bucket, key)
