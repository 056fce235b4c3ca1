"""Which statement of which document denies a call, and when something else denies it too."""

from __future__ import annotations

from typing import Any

import pytest
from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document

from local_aws.server.iam.rehearsal import blamed
from local_aws.server.iam.tag_policies import denying

ALLOW = {"Effect": "Allow", "Action": "*", "Resource": "*"}
DENY = {"Effect": "Deny", "Action": "iam:CreateRole", "Resource": "*"}
NAMED = DENY | {"Sid": "NoRoles"}
OTHER = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}

SCP, IDENTITY, BOUNDARY = "service control policy", "identity-based policy", "permissions boundary"


def parsed(*statements: dict[str, Any]) -> Any:
    return parse_policy_document({"Version": "2012-10-17", "Statement": list(statements)})


def context(**more: Any) -> EvalContext:
    return EvalContext(
        principal_arn="arn:aws:iam::123456789012:user/deployer",
        principal_type="User",
        principal_account="123456789012",
        action="iam:CreateRole",
        resource_arn="arn:aws:iam::123456789012:role/any",
        region="us-east-1",
        **more,
    )


def by(file: str, kind: str, statement: str | int | None) -> dict[str, Any]:
    return {"file": file, "kind": kind, "statement": statement}


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        pytest.param([(SCP, [parsed(ALLOW), parsed(OTHER, DENY)])], [by("a", SCP, 2)], id="by its number"),
        pytest.param([(SCP, [parsed(ALLOW), parsed(NAMED)])], [by("b", SCP, "NoRoles")], id="by its Sid"),
        pytest.param([(IDENTITY, [parsed(OTHER)])], [by("c", IDENTITY, None)], id="nothing allows it"),
        pytest.param(
            [(SCP, [parsed(ALLOW), parsed(NAMED)]), (IDENTITY, [parsed(OTHER)]), (BOUNDARY, [parsed(OTHER)])],
            [by("b", SCP, "NoRoles"), by("c", IDENTITY, None), by("c", BOUNDARY, None)],
            id="every layer",
        ),
        pytest.param(
            [(SCP, [parsed(ALLOW), parsed(NAMED)]), (IDENTITY, [parsed(ALLOW, DENY)])], [], id="one of ours denies too"
        ),
        pytest.param(
            [(SCP, [parsed(ALLOW), parsed(NAMED)]), (IDENTITY, [parsed(ALLOW | {"Action": "s3:GetObject"})])],
            [],
            id="none of ours allows it",
        ),
        pytest.param([(SCP, [parsed(ALLOW)])], [], id="nobody denies it"),
    ],
)
def test_a_denial_names_file_and_statement(layers: Any, expected: list[dict[str, Any]]) -> None:
    documents = [("a", parsed(OTHER, DENY)), ("b", parsed(NAMED)), ("c", parsed(OTHER))]
    assert blamed(context(), layers, documents) == expected


TAGS = {
    "tags": {
        "center": {
            "tag_key": {"@@assign": "CostCenter"},
            "tag_value": {"@@assign": ["100", "2*"]},
            "enforced_for": {"@@assign": ["iam:role"]},
        },
        "free": {"tag_key": {"@@assign": "Free"}},
    }
}


@pytest.mark.parametrize(
    ("tags", "decision"),
    [
        ({}, "Allow"),
        ({"CostCenter": "100"}, "Allow"),
        ({"CostCenter": "203"}, "Allow"),
        ({"CostCenter": "300"}, "Deny"),
        ({"costcenter": "100"}, "Deny"),
        ({"Free": "any", "free": "any"}, "Allow"),
    ],
)
def test_a_tag_policy_denies_values_and_spellings_and_not_a_missing_tag(tags: dict[str, str], decision: str) -> None:
    statements = parse_policy_document(denying(TAGS))
    assert evaluate(context(request_tags=tags, tag_keys=list(tags)), [statements]).decision == decision


def test_a_tag_policy_holds_for_the_types_that_it_names() -> None:
    tags = {
        "tags": {
            "k": {"tag_value": {"@@assign": "v"}, "enforced_for": {"@@assign": ["ec2:ALL_SUPPORTED", "s3:bucket"]}}
        }
    }
    denied = {"arn:aws:ec2:us-east-1:123456789012:volume/v": "Deny", "arn:aws:s3:::b": "Deny", "arn:aws:sns:x": "Allow"}
    for arn, decision in denied.items():
        asked = context(request_tags={"k": "w"}, tag_keys=["k"])
        asked.resource_arn = arn
        assert evaluate(asked, [parse_policy_document(denying(tags))]).decision == decision
