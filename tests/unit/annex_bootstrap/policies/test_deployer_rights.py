"""The deployer's policy against CloudFormation's own registry, which says what each resource type's handlers call.

The local AWS does not check a deployer's rights on a stack's native resources, so this stands in for it. The registry's
schemas come with cfn-lint.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

import pytest

from annex_bootstrap.policies.deployer import deployer_policy
from template_gen.template import build

HANDLERS = ("create", "read", "update", "delete")

NOT_USED = {
    "tags of our own, which no native resource of the template has, on types that CloudFormation itself does not tag": {
        "ec2:CreateTags",
    },
    "keys that are brought along instead of made": {"ec2:ImportKeyPair"},
    "policies attached to somebody by the template": {
        "iam:AttachGroupPolicy",
        "iam:AttachRolePolicy",
        "iam:AttachUserPolicy",
    },
    "functions in a VPC or with a file system": {
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
        "elasticfilesystem:DescribeMountTargets",
        "s3files:ListMountTargets",
    },
    "keys of the customer's own": {
        "kms:CreateGrant",
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:Encrypt",
        "kms:GenerateDataKey",
        "logs:AssociateKmsKey",
        "logs:DisassociateKmsKey",
    },
    "code that is not inline, signed, layered, published or bound to a runtime's version": {
        "lambda:AssociateRuntimeAlias",
        "lambda:DeleteFunctionCodeSigningConfig",
        "lambda:GetCodeSigningConfig",
        "lambda:GetLayerVersion",
        "lambda:PublishVersion",
        "lambda:PutFunctionCodeSigningConfig",
        "lambda:PutRuntimeManagementConfig",
        "s3:GetObjectVersion",
    },
    "scaling and recursion settings": {
        "lambda:DeleteFunctionConcurrency",
        "lambda:PassCapacityProvider",
        "lambda:PutFunctionConcurrency",
        "lambda:PutFunctionRecursionConfig",
        "lambda:PutFunctionScalingConfig",
    },
    "delivery, indexing and protection of logs and messages": {
        "logs:CreateLogDelivery",
        "logs:DeleteDataProtectionPolicy",
        "logs:DeleteIndexPolicy",
        "logs:DeleteResourcePolicy",
        "logs:PutBearerTokenAuthentication",
        "logs:PutDataProtectionPolicy",
        "logs:PutIndexPolicy",
        "logs:PutLogGroupDeletionProtection",
        "logs:PutResourcePolicy",
        "firehose:TagDeliveryStream",
        "s3:REST.PUT.OBJECT",
        "sns:PutDataProtectionPolicy",
    },
}
"""What handlers call for features that the template does not use, by feature."""


@cache
def registry() -> dict[str, set[str]]:
    """Return what the handlers of each resource type may call, and CloudFormation for the tags that it adds itself."""
    found: dict[str, set[str]] = {}
    for schema in schemas():
        if "handlers" in schema:
            permissions = (schema["handlers"].get(handler, {}).get("permissions", []) for handler in HANDLERS)
            found[schema["typeName"]] = {one for many in permissions for one in many} | tagging(schema)
    return found


@cache
def schemas() -> list[dict[str, Any]]:
    """Return the schema of every type in the registry."""
    entries = (files("cfnlint") / "data" / "schemas" / "resources").iterdir()
    return [json.loads(entry.read_text()) for entry in entries if entry.name.endswith(".json")]


def tagging(schema: dict[str, Any]) -> set[str]:
    """Return what CloudFormation calls with its caller's rights to put its own tags on a resource.

    Without them it fails the resource: https://github.com/aws/aws-parallelcluster/issues/7331 and
    https://github.com/awslabs/aws-eda-slurm-cluster/issues/340
    """
    described = schema.get("tagging", {})
    return set(described.get("permissions", [])) if described.get("cloudFormationSystemTags") else set()


def granted() -> set[str]:
    policy = deployer_policy("aws", "123456789012", "annex-bootstrap")
    return {action for statement in policy["Statement"] for action in statement["Action"]}


def native_types() -> list[str]:
    types = {resource["Type"] for resource in build().to_dict()["Resources"].values()}
    return sorted(name for name in types if not name.startswith("Custom::"))


@pytest.mark.parametrize("resource_type", native_types())
def test_the_deployer_may_make_what_the_template_has(resource_type: str) -> None:
    not_used = {action for actions in NOT_USED.values() for action in actions}
    assert sorted(registry()[resource_type] - granted() - not_used) == []


def test_most_of_the_native_types_get_tags_from_cloudformation() -> None:
    tagged = {schema["typeName"] for schema in schemas() if tagging(schema)}
    assert {"AWS::CloudWatch::Alarm", "AWS::Events::Rule", "AWS::Lambda::Function", "AWS::SNS::Topic"} <= tagged


def test_nothing_counts_as_not_used_that_no_handler_calls_or_that_is_granted() -> None:
    called = {action for name in native_types() for action in registry()[name]}
    for feature, actions in NOT_USED.items():
        assert sorted(actions - called) == [], feature
        assert sorted(actions & granted()) == [], feature
