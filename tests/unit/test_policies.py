"""Every statement of every policy that this project writes or prints, against AWS's service authorization reference."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest

from annex_bootstrap.commands import policy
from annex_bootstrap.policies.boundary import boundary, boundary_arn
from annex_bootstrap.policies.deployer import deployer_policy
from annex_bootstrap.policies.key import key_policy
from annex_bootstrap.policies.operator import operator_policy
from annex_bootstrap.policies.roles import RolesTemplate
from annex_contract.boundaries import Holder
from custom_resources.bucket import bucket_policy
from docs_gen.permissions import policies
from local_aws.launcher import ACCOUNT
from template_gen.template import build
from tests.live.options import helper_policy
from tests.service_reference import Finding, Statement, findings
from tests.stack_values import conditions_of, new_stack_id, values_of

ROLES, USERS = (boundary_arn("aws", ACCOUNT, holder, "lab") for holder in Holder)

KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/12345678-1234-1234-1234-123456789012"

TEMPLATE = json.loads(build().to_json())

LIVE = "the helper of make live"

PRINTED = {
    "deployer": deployer_policy("aws", ACCOUNT, "lab"),
    "deployer --boundary": deployer_policy("aws", ACCOUNT, "lab", ROLES),
    "operator": operator_policy("aws", ACCOUNT, "lab"),
    "operator --boundary": operator_policy("aws", ACCOUNT, "lab", USERS),
    "boundary --for roles": boundary("aws", ACCOUNT, Holder.ROLES, "lab"),
    "boundary --for roles --condor-annex": boundary("aws", ACCOUNT, Holder.ROLES, "lab", condor_annex=True),
    "boundary --for users": boundary("aws", ACCOUNT, Holder.USERS, "lab"),
    LIVE: helper_policy("aws", ACCOUNT),
    "operator --key": operator_policy("aws", ACCOUNT, "lab", key=KEY),
    "boundary --for roles --key": boundary("aws", ACCOUNT, Holder.ROLES, "lab", KEY),
    "boundary --for users --key": boundary("aws", ACCOUNT, Holder.USERS, "lab", KEY),
    "key": key_policy("aws", ACCOUNT, "us-east-1", "lab"),
}
"""What `annex-bootstrap policy` prints, by subcommand, and the live test."""

PARAMETERS: tuple[dict[str, str], ...] = (
    {},
    {"PermissionsBoundaryArn": f"arn:aws:iam::{ACCOUNT}:policy/boundary"},
    {"KmsKeyArn": KEY},
    {"ConnectivityVpc": "yes", "SubnetIds": "subnet-0123456789abcdef0"},
    {"BucketName": "a-bucket", "FleetRoleName": "a-role", "VpcId": "vpc-0123456789abcdef0"},
)
"""Parameters that change what the template's policies say."""

EXCEPTIONS: dict[tuple[str, Finding], str] = {
    (
        "ImageBuilderExecRole",
        Finding("dependent action not granted", "ec2:RunInstances", "iam:PassRole"),
    ): "a builder has no role, and so nobody must be able to give it one",
    **{
        ("key", Finding("required resource type not granted", f"kms:{verb}Alias", "alias")): "an alias is none of a key"
        for verb in ("Create", "Delete", "Update")
    },
}
"""What the reference holds against a policy and why it is right all the same, by policy and finding."""


@cache
def every_policy() -> dict[str, Sequence[Statement]]:
    """The statements of every policy, by name."""
    found: dict[str, Sequence[Statement]] = {name: document["Statement"] for name, document in PRINTED.items()}
    # The resource of a key's policy is the key.
    found["key"] = [{**statement, "Resource": KEY} for statement in found["key"]]
    found["the bucket's policy"] = bucket_policy("aws", "a-bucket", new_stack_id())["Statement"]
    for parameters in PARAMETERS:
        ours = policies(values_of(new_stack_id(), parameters), conditions_of(parameters))
        found |= {" with ".join([name, *parameters]): statements for name, statements in ours.items()}
        given = RolesTemplate(TEMPLATE, "aws", ACCOUNT, "us-east-1", "lab", parameters).build()["Resources"]
        for name, made in given.items():
            documents = [each["PolicyDocument"] for each in made["Properties"].get("Policies", [])]
            documents += [made["Properties"]["PolicyDocument"]] if "PolicyDocument" in made["Properties"] else []
            held = [statement for document in documents for statement in document["Statement"]]
            found |= {" with ".join([name, "roles", *parameters]): held} if held else {}
    return found


@pytest.mark.parametrize("name", list(every_policy()))
def test_the_service_authorization_reference_knows_all_that_a_policy_says(name: str) -> None:
    excepted = {finding for policy_name, finding in EXCEPTIONS if policy_name == name.split(" with ")[0]}
    assert set(findings(every_policy()[name])) == excepted


def test_no_printed_policy_is_left_out() -> None:
    # Those two print the stack's own policies, which the template's are; roles prints a template.
    printed = {name.split()[0] for name in PRINTED if name != LIVE}
    assert set(policy.command.commands) == printed | {"roles", "start", "user"}


def statement(action: str, resource: str | list[str], **more: Any) -> Statement:
    return {"Sid": "One", "Effect": "Allow", "Action": [action], "Resource": resource, **more}


ROLE = "arn:aws:iam::123456789012:role/a-role"


@pytest.mark.parametrize(
    ("wrong", "finding"),
    [
        (statement("iam:CreateRoll", ROLE), ("no such action", "iam:CreateRoll", "")),
        (statement("imperium:*", "*"), ("no such action", "imperium:*", "")),
        (statement("iam:createrole", ROLE), ("no such action", "iam:createrole", "")),
        (statement("logs:DescribeLogGroups", "arn:aws:logs:*:*:log-group:a"), ("takes no resource but *",)),
        (statement("iam:CreateRole", "arn:aws:iam::*:user/a"), ("takes no resource of the statement",)),
        (statement("s3:GetObject", "arn:aws:s3:::a-bucket"), ("takes no resource of the statement",)),
        (statement("iam:CreateRole", "*"), ("could be limited to a resource",)),
        (
            statement("iam:GetRole", [ROLE, "arn:aws:iam::*:user/a"]),
            ("resource that no action of the statement takes", "One", "arn:aws:iam::*:user/a"),
        ),
        (
            statement("iam:CreateRole", ROLE, Condition={"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}),
            ("condition key unknown", "iam:CreateRole", "iam:PassedToService"),
        ),
        (
            statement(
                "ec2:RunInstances", "arn:aws:ec2:*:*:instance/*", Condition={"Null": {"aws:ResourceTag/a": "true"}}
            ),
            ("condition key unknown", "ec2:RunInstances", "aws:ResourceTag/a"),
        ),
        (statement("ec2:RunInstances", "arn:aws:ec2:*:*:instance/*"), ("required resource type not granted",)),
        (
            statement("iam:AddRoleToInstanceProfile", "arn:aws:iam::*:instance-profile/*"),
            ("dependent action not granted",),
        ),
    ],
)
def test_a_wrong_statement_is_found(wrong: Statement, finding: tuple[str, ...]) -> None:
    assert finding in {found[: len(finding)] for found in findings([wrong])}
