"""The operator's policy reaches the stack's own users, leases and machines, and nobody else's."""

from __future__ import annotations

from typing import Any

import pytest

from annex_bootstrap.policies.operator import operator_policy

BOUNDARY = "arn:aws-cn:iam::123456789012:policy/boundary"

POLICY = {
    statement["Sid"]: statement for statement in operator_policy("aws-cn", "123456789012", "lab", BOUNDARY)["Statement"]
}


def iam(resource: str) -> str:
    return f"arn:aws-cn:iam::123456789012:{resource}"


STACK = "arn:aws-cn:cloudformation:*:123456789012:stack/lab/*"
LEASE_FUNCTION = "arn:aws-cn:lambda:*:123456789012:function:lab-LeaseFunction-*"
BOUNDED = {"iam:PermissionsBoundary": BOUNDARY}


@pytest.mark.parametrize(
    ("name", "resource", "condition"),
    [
        ("FindStack", STACK, None),
        ("FindNoUser", iam("user/lab-*"), None),
        ("ManageUsers", iam("user/annex-bootstrap/lab/*"), None),
        (
            "MoveEarlierUsers",
            iam("user/annex-bootstrap/lab-*"),
            {"StringLike": {"aws:ResourceTag/annex-bootstrap:stack": STACK}},
        ),
        ("CreateUsers", iam("user/annex-bootstrap/lab/*"), {"StringEquals": BOUNDED}),
        (
            "AttachPolicy",
            iam("user/annex-bootstrap/lab/*"),
            {
                "StringEquals": BOUNDED,
                "ArnLike": {"iam:PolicyARN": iam("policy/annex-bootstrap/lab-AnnexUserPolicy-*")},
            },
        ),
        ("ReadLeases", "arn:aws-cn:events:*:123456789012:rule/*", None),
        (
            "UpdateLeases",
            "arn:aws-cn:events:*:123456789012:rule/*",
            {
                "ForAllValues:ArnLike": {"events:TargetArn": LEASE_FUNCTION},
                "Null": {"events:TargetArn": "false"},
            },
        ),
        (
            "UnprotectAndEndMachines",
            "arn:aws-cn:ec2:*:123456789012:instance/*",
            {
                "StringLike": {"aws:ResourceTag/annex-bootstrap:stack": STACK},
                "StringEqualsIgnoreCaseIfExists": {
                    "ec2:Attribute": "DisableApiTermination",
                    "ec2:Attribute/DisableApiTermination": "false",
                },
            },
        ),
        (
            "ReadConsoles",
            "arn:aws-cn:ec2:*:123456789012:instance/*",
            {"ArnLike": {"ec2:InstanceProfile": iam("instance-profile/annex-bootstrap/*")}},
        ),
        (
            "CheckAndInvokeFunctions",
            [LEASE_FUNCTION, "arn:aws-cn:lambda:*:123456789012:function:lab-ConnectivityFunction-*"],
            None,
        ),
        (
            "ReadLogs",
            [
                "arn:aws-cn:logs:*:123456789012:log-group:lab-LeaseFunctionLogs-*",
                "arn:aws-cn:logs:*:123456789012:log-group:lab-ConnectivityFunctionLogs-*",
            ],
            None,
        ),
    ],
)
def test_each_right_is_for_what_is_the_stacks_own(name: str, resource: Any, condition: Any) -> None:
    assert POLICY[name]["Resource"] == resource
    assert POLICY[name].get("Condition") == condition


def test_other_rules_and_the_boundary_stay_as_they_are() -> None:
    denied = {name: statement["Resource"] for name, statement in POLICY.items() if statement["Effect"] == "Deny"}
    rules = "arn:aws-cn:events:*:123456789012:rule"
    assert denied == {
        "KeepOtherRules": [f"{rules}/*/*", f"{rules}/*-SweepRule"],
        "KeepBoundary": iam("user/*"),
        "KeepBoundaryAsItIs": BOUNDARY,
    }
