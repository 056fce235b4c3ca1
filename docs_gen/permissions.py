"""The table of every IAM action that each role is allowed, with resource and API call: ``docs/permissions.md``.

Run as ``python -m docs_gen.permissions > docs/permissions.md``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from annex_bootstrap.stack.resolve import resolve
from annex_contract.keys import FOR_VOLUMES
from annex_contract.machine_policies import boot_policy, configuration_policy, fleet_policy, key_policy, start_policy
from annex_contract.resources import BUCKET, FLEET_ROLE, IMAGE, IMAGE_BUILDER, INSTANCE_ROLE, START_ROLE, Attribute
from annex_contract.stack import ROLE_PATH, LogicalId, Parameter, Part, function_of
from template_gen.parameters import ALL_OF, CONDITIONS, INPUTS
from template_gen.template import build

CALLS = {
    "ec2:CreateTags": "CreateSecurityGroup",
    "iam:PassRole": "AddRoleToInstanceProfile",
    "iam:TagInstanceProfile": "CreateInstanceProfile",
    "iam:TagRole": "CreateRole",
    "s3:DeleteObjectVersion": "DeleteObjects",
    "s3:GetBucketPublicAccessBlock": "GetPublicAccessBlock",
    "s3:ListBucket": "HeadBucket",
    "s3:ListBucketMultipartUploads": "ListMultipartUploads",
    "s3:ListBucketVersions": "ListObjectVersions",
    "s3:PutBucketPublicAccessBlock": "PutPublicAccessBlock",
    "s3:PutEncryptionConfiguration": "PutBucketEncryption",
    "s3:PutLifecycleConfiguration": "PutBucketLifecycleConfiguration",
    "events:TagResource": "PutRule",
    "s3:TagResource": "CreateBucket",
}
"""API calls whose names differ from the actions that they need:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html and, for the rest, the
service authorization reference."""

_FOR_VOLUMES = (*FOR_VOLUMES.removeprefix("kms: ").split(), "CreateGrant")

OTHER_CALLS: dict[tuple[str, str], str] = {
    **{
        (role, f"kms:{verb}"): call
        for role, call in (
            (LogicalId.ANNEX_USER_POLICY, "RunInstances, RequestSpotFleet"),
            (LogicalId.START_POLICY, "CreateFleet"),
            (Part.ROLE.of(function_of(IMAGE_BUILDER.logical_id)), "RunInstances"),
            (FLEET_ROLE.logical_id, "RunInstances"),
        )
        for verb in _FOR_VOLUMES
    },
    **{
        (policy, "kms:GenerateDataKey"): "PutObject" for policy in (LogicalId.ANNEX_USER_POLICY, LogicalId.START_POLICY)
    },
    (INSTANCE_ROLE.logical_id, "kms:Decrypt"): "GetObject",
    (LogicalId.ANNEX_USER_POLICY, "ec2:CreateTags"): "RunInstances, RequestSpotFleet",
    (LogicalId.ANNEX_USER_POLICY, "iam:PassRole"): "RunInstances, RequestSpotFleet",
    (LogicalId.ANNEX_USER_POLICY, "lambda:InvokeFunction"): "Invoke",
    (LogicalId.START_POLICY, "ec2:CreateTags"): "CreateFleet",
    (LogicalId.START_POLICY, "ec2:RunInstances"): "CreateFleet",
    (LogicalId.START_POLICY, "iam:CreateServiceLinkedRole"): "CreateFleet",
    (LogicalId.START_POLICY, "iam:PassRole"): "CreateFleet",
    (LogicalId.START_POLICY, "lambda:InvokeFunction"): "Invoke",
    (Part.ROLE.of(function_of(BUCKET.logical_id)), "s3:DeleteObject"): "DeleteObjects",
    (Part.ROLE.of(function_of(IMAGE.logical_id)), "ec2:CreateTags"): "CreateImage",
    (Part.ROLE.of(function_of(IMAGE_BUILDER.logical_id)), "ec2:CreateTags"): "CreateSecurityGroup, RunInstances",
    (Part.ROLE.of(LogicalId.LEASE_FUNCTION), "s3:ListBucket"): "ListObjectsV2",
}
"""API calls of other roles for the same actions, by role and action."""

INTRODUCTION = """\
# Permissions

Every IAM action that each role of a stack is allowed, on which resource, and for which API call. This page is
generated from the template by `python -m docs_gen.permissions`, and a test keeps it up to date. `<Name>` stands for a
parameter or an attribute of the stack, `<unique>` for the part of its ID that all its names contain. The conditions
with `iam:PermissionsBoundary` apply if the parameter PermissionsBoundaryArn is set; it is also the boundary of every
role. The actions of KMS are allowed if the parameter KmsKeyArn is set, those of the connectivity
function on network interfaces if ConnectivityVpc is yes.

Roles that an administrator makes of `annex-bootstrap policy roles` allow the same, with patterns for what is not known
before there is a stack; those of the functions that make roles may only read them.
"""


class _Placeholders(dict[str, Any]):
    def __missing__(self, name: str) -> Any:
        placeholder = f"<{name.removeprefix('AWS::')}>"
        given = INPUTS.get(name)
        return [placeholder] if given and given.rest["Type"] == "CommaDelimitedList" else placeholder


def call_of(role: str, action: str) -> str:
    """Return the API call that needs an action.

    Args:
        role: the logical ID of the role or policy that allows it.
        action: such as ``s3:ListBucket``.
    """
    return OTHER_CALLS.get((role, action), CALLS.get(action, action.split(":")[1]))


def statements_of(resources: Mapping[str, Any], function: str) -> list[dict[str, Any]]:
    """Return the statements of a function's role, unresolved: those of its policies, and those that it comes with.

    Args:
        resources: the template's.
        function: its logical ID.
    """
    role = Part.ROLE.of(function)
    held = [resources[Part.POLICY.of(function)]["Properties"], *resources[role]["Properties"].get("Policies", [])]
    always = [statement for policy in held for statement in policy["PolicyDocument"]["Statement"]]
    return always + [
        {"Fn::If": [resource["Condition"], statement, {"Ref": "AWS::NoValue"}]}
        for title, resource in resources.items()
        if title != Part.POLICY.of(function)
        and resource["Type"] == "AWS::IAM::RolePolicy"
        and resource["Properties"]["RoleName"] == {"Ref": role}
        for statement in resource["Properties"]["PolicyDocument"]["Statement"]
    ]


def chosen(statement: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a statement, also one that a policy has under a condition only."""
    found: Mapping[str, Any] = statement["Fn::If"][1] if "Fn::If" in statement else statement
    return found


@cache
def _resources() -> dict[str, Any]:
    resources: dict[str, Any] = build().to_dict()["Resources"]
    return resources


def policies(values: Any, conditions: dict[str, bool]) -> dict[str, list[dict[str, Any]]]:
    """Return the statements of every role and policy of a stack, by logical ID.

    Args:
        values: as for ``resolve``.
        conditions: whether each condition is true.
    """
    resources = _resources()
    functions = [title for title, resource in resources.items() if resource["Type"] == "AWS::Lambda::Function"]
    found = {
        Part.ROLE.of(function): resolve(statements_of(resources, function), values, conditions)
        for function in functions
    }
    for title, resource in resources.items():
        if resource["Type"] == "AWS::IAM::ManagedPolicy":
            found[title] = resolve(resource["Properties"]["PolicyDocument"]["Statement"], values, conditions)
    role = resolve({"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:"}, values, conditions)
    name = resolve(resources[INSTANCE_ROLE.logical_id]["Properties"][INSTANCE_ROLE.name_property], values, conditions)
    bucket = values[f"{BUCKET.logical_id}.{Attribute.BUCKET_NAME}"]
    documents = (
        configuration_policy(f"arn:{values['AWS::Partition']}:s3:::{bucket}/{values['ConfigKeyPattern']}"),
        boot_policy(f"{role}role{ROLE_PATH}{name}", f"{role}instance-profile{ROLE_PATH}{name}"),
    )
    account, partition = values["AWS::AccountId"], values["AWS::Partition"]
    key = values[Parameter.KMS_KEY_ARN] if conditions["HasKmsKey"] else ""
    found[FLEET_ROLE.logical_id] = fleet_policy(partition, account, f"{role}role{ROLE_PATH}{name}", key)["Statement"]
    with_key = [key_policy(key)] if key else []
    found[INSTANCE_ROLE.logical_id] = [
        statement for document in (*documents, *with_key) for statement in document["Statement"]
    ]
    found[START_ROLE.logical_id] = [
        statement for document in (start_policy(partition, bucket), *with_key) for statement in document["Statement"]
    ]
    return found


def table() -> str:
    """Return the document as Markdown."""
    placed = {"AWS::StackId": "-/-/<first>-1-2-3-<last>", Parameter.KMS_KEY_ARN: "::<KmsKeyArn>:<Region>"}
    values = _Placeholders(placed)
    holding = ("MakesConnectivityNetwork", "HasBoundary", "HasKmsKey", "MakesImage", "MakesImageAndRoles", "MakesRoles")
    conditions = {name: name in holding for name in (*CONDITIONS, *ALL_OF)}
    lines = [INTRODUCTION]
    for role, statements in sorted(policies(values, conditions).items()):
        lines += [
            f"## {role}",
            "",
            "| Action | Resource | Condition | API call | Sid |",
            "| --- | --- | --- | --- | --- |",
        ]
        for statement in statements:
            lines += _rows(role, statement)
        lines.append("")
    text = "\n".join(lines).replace(placed[Parameter.KMS_KEY_ARN], "<KmsKeyArn>")
    return text.replace("-/-/<first>-1-2-3-<last>", "<StackId>").replace("<first>-<last>", "<unique>")


def _rows(role: str, statement: dict[str, Any]) -> Iterator[str]:
    on = "<br>".join(f"`{arn}`" for arn in _listed(statement["Resource"]))
    where = "<br>".join(
        f"{operator}: `{key}` = `{'`, `'.join(_listed(value))}`"
        for operator, keys in statement.get("Condition", {}).items()
        for key, value in keys.items()
    )
    for action in _listed(statement["Action"]):
        yield f"| `{action}` | {on} | {where} | {call_of(role, action)} | {statement['Sid']} |"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


if __name__ == "__main__":
    sys.stdout.write(table())
