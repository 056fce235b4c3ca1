"""The deployer's policy is narrow. ``test_deployer_rights`` shows that it is enough."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase

import pytest

from annex_bootstrap.policies.deployer import deployer_policy

POLICY = deployer_policy("aws", "123456789012", "annex-bootstrap")


def test_no_action_is_a_pattern_and_no_two_statements_have_one_name() -> None:
    statements = POLICY["Statement"]
    assert not any("*" in action for statement in statements for action in statement["Action"])
    assert len({statement["Sid"] for statement in statements}) == len(statements)


def test_only_reading_is_allowed_on_everything() -> None:
    for statement in POLICY["Statement"]:
        if statement["Resource"] == "*":
            assert all(action.split(":")[1].startswith(("Describe", "List", "Get")) for action in statement["Action"])


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("iam:PassRole", "arn:aws:iam::123456789012:role/Admin"),
        ("iam:PutRolePolicy", "arn:aws:iam::123456789012:role/annex-bootstrap/another-stack-Role"),
        ("lambda:InvokeFunction", "arn:aws:lambda:us-east-1:123456789012:function:payroll"),
        ("s3:GetObject", "arn:aws:s3:::payroll/salaries"),
        *(
            (f"s3:{verb}", f"arn:aws:s3:::annex-bootstrap-staging-123456789012-us-east-1/{key}")
            for verb in ("GetObject", "PutObject", "DeleteObject", "DeleteObjectVersion")
            for key in ("annex-bootstrap", "annex-bootstrap-b/template.json", "0.1.0/template.json")
        ),
        ("cloudformation:DeleteStack", "arn:aws:cloudformation:us-east-1:123456789012:stack/payroll/1"),
        ("logs:FilterLogEvents", "arn:aws:logs:us-east-1:123456789012:log-group:payroll:*"),
        ("ec2:TerminateInstances", "arn:aws:ec2:us-east-1:123456789012:instance/i-0123456789abcdef0"),
    ],
)
def test_what_is_not_ours_stays_out_of_reach(action: str, resource: str) -> None:
    for statement in POLICY["Statement"]:
        if action in statement["Action"]:
            patterns = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
            assert not any(fnmatchcase(resource, pattern) for pattern in patterns)


def test_a_rule_of_somebody_else_can_only_be_pointed_at_our_functions() -> None:
    (statement,) = [statement for statement in POLICY["Statement"] if statement["Sid"] == "ExpireLeases"]
    lease_function = "arn:aws:lambda:*:123456789012:function:annex-bootstrap-LeaseFunction-*"
    assert statement["Condition"] == {
        "ForAllValues:ArnLike": {"events:TargetArn": lease_function},
        "Null": {"events:TargetArn": "false"},
    }


def test_a_role_gets_rights_only_where_it_has_the_boundary() -> None:
    boundary = "arn:aws:iam::123456789012:policy/limit"
    granting = {"iam:CreateRole", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy"}
    statements = deployer_policy("aws", "123456789012", "annex-bootstrap", boundary)["Statement"]
    conditions = {
        action: statement.get("Condition")
        for statement in statements
        if statement["Effect"] == "Allow"
        for action in statement["Action"]
        if action in granting and statement["Sid"] != "MakeUserRole"
    }
    assert conditions == {key: {"StringEquals": {"iam:PermissionsBoundary": boundary}} for key in granting}


def test_the_role_of_people_is_made_with_their_boundary_and_gets_their_policies_alone() -> None:
    policy = deployer_policy("aws", "123456789012", "lab", "arn:aws:iam::123456789012:policy/limit")
    of = {statement["Sid"]: statement for statement in policy["Statement"]}
    bounded = {"iam:PermissionsBoundary": "arn:aws:iam::123456789012:policy/annex-bootstrap-users-boundary-lab"}
    assert of["MakeUserRole"]["Action"] == ["iam:CreateRole"]
    assert of["MakeUserRole"]["Condition"] == {"StringEquals": bounded}
    assert of["AttachPoliciesOfUsers"]["Condition"] == {
        "StringEquals": bounded,
        "ArnLike": {
            "iam:PolicyARN": [
                f"arn:aws:iam::123456789012:policy/annex-bootstrap/lab-{policy}-*"
                for policy in ("AnnexUserPolicy", "StartPolicy")
            ]
        },
    }
    role = "arn:aws:iam::123456789012:role/annex-bootstrap/lab/lab-AnnexUserRole-*"
    assert {of[sid]["Resource"] for sid in ("MakeUserRole", "AttachPoliciesOfUsers", "ManageUserRole")} == {role}


def test_a_template_is_staged_only_where_there_is_nothing() -> None:
    (statement,) = [statement for statement in POLICY["Statement"] if "s3:PutObject" in statement["Action"]]
    assert statement["Action"] == ["s3:PutObject"]
    assert statement["Resource"] == "arn:aws:s3:::annex-bootstrap-staging-123456789012-*/annex-bootstrap/*"
    assert statement["Condition"] == {"Null": {"s3:if-none-match": "false"}}


def test_partition_account_and_name_are_in_every_arn() -> None:
    text = json.dumps(deployer_policy("aws-us-gov", "210987654321", "mine"))
    assert "arn:aws:" not in text
    assert "123456789012" not in text
    assert "annex-bootstrap-Lease" not in text
