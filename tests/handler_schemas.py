"""What CloudFormation's handlers call, by the registry's schemas, which come with cfn-lint.

A schema lists what any property may trigger. `NOT_TRIGGERED` is what ours never do.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

NOT_TRIGGERED = {
    "keys that are brought along instead of made": {"ec2:ImportKeyPair"},
    "tags of resources that get none, from us or from CloudFormation": {"firehose:TagDeliveryStream"},
    "policies attached to somebody by the template": {
        "iam:AttachGroupPolicy",
        "iam:AttachUserPolicy",
    },
    "functions with a file system": {
        "elasticfilesystem:DescribeMountTargets",
        "s3files:ListMountTargets",
    },
    "keys of the customer's own for functions": {
        "kms:CreateGrant",
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:Encrypt",
        "kms:GenerateDataKey",
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
        "lambda:PassCapacityProvider",
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
        "s3:REST.PUT.OBJECT",
        "sns:PutDataProtectionPolicy",
    },
}
"""What handlers call for features that the template does not use, by feature."""

HANDLERS = ("create", "read", "update", "delete")


@cache
def schemas() -> dict[str, dict[str, Any]]:
    """Return the schema of every resource type that has handlers."""
    found: dict[str, dict[str, Any]] = {}
    for entry in (files("cfnlint") / "data" / "schemas" / "resources").iterdir():
        if entry.name.endswith(".json"):
            schema = json.loads(entry.read_text())
            if "handlers" in schema:
                found[schema["typeName"]] = schema
    return found


def listed(resource_type: str, *handlers: str) -> set[str]:
    """Return the actions that the handlers of a resource type list, and those for CloudFormation's own tags."""
    schema = schemas()[resource_type]
    actions = {action for each in handlers for action in schema["handlers"].get(each, {}).get("permissions", [])}
    tagging = schema.get("tagging", {})
    if tagging.get("cloudFormationSystemTags", True):
        actions |= set(tagging.get("permissions", []))
    return actions


def needed(resource_type: str, *handlers: str) -> set[str]:
    """Return the actions that a caller of CloudFormation needs for one of our resources."""
    return listed(resource_type, *handlers).difference(*NOT_TRIGGERED.values())
