"""What the template lets its roles do."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from annex_bootstrap.stack.resolve import resolve
from annex_contract.stack import LogicalId
from docs_gen.permissions import policies, table
from tests.stack_values import TEMPLATE, conditions_of, new_stack_id, values_of

ROOT = Path(__file__).parent.parent.parent.parent

BOUND = {"PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/boundary"}

KEY = "arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012"

WITH_KEY = {"KmsKeyArn": KEY}

NAMED = {"BucketName": "a-bucket", "FleetRoleName": "a-role", "VpcId": "vpc-0123456789abcdef0"}

EXCEPTIONS = {
    # It writes the policy that lets TLS in alone, and the rule by which configurations expire, on one bucket.
    ("BucketExecRole", "RESOURCE_POLICY_PRIVILEGE_ESCALATION"),
    # CreateSecurityGroup is authorized on two resources: the tag is asked of the group, and a VPC gets none.
    ("SecurityGroupExecRole", "RESOURCE_MISMATCH"),
    # So does the builder's, which has a group of its own; and RunInstances is authorized on many resources.
    ("ImageBuilderExecRole", "RESOURCE_MISMATCH"),
    # RunInstances is authorized on many resources, each with its own condition.
    (LogicalId.ANNEX_USER_POLICY, "RESOURCE_MISMATCH"),
    # CreateImage is authorized on the instance, by its tag, and on what is made of it, by the tags that it gets.
    ("MachineImageExecRole", "RESOURCE_MISMATCH"),
    # So are CreateFleet and RunInstances, on which some resources know other conditions.
    ("StartPolicy", "RESOURCE_MISMATCH"),
    # The condition is that of one of two actions, and holds where the key is missing; apart they are too long.
    ("StartPolicy", "UNKNOWN_CONDITION_FOR_ACTION"),
}
"""What the policy linter may find, by role and kind."""

WITHOUT_RESOURCE = re.compile(
    r"ec2:Describe(\w+)|ec2:GetInstanceTypesFromInstanceRequirements|events:List(Rules|RuleNamesByTarget)"
    r"|pricing:GetProducts"
)
"""Actions that can be allowed on ``*`` alone."""


def statements_of(parameters: dict[str, str], partition: str = "aws") -> dict[str, list[dict[str, Any]]]:
    """Return the statements of every role."""
    stack_id = new_stack_id().replace("arn:aws:", f"arn:{partition}:")
    return policies(values_of(stack_id, parameters, partition), conditions_of(parameters))


@pytest.mark.parametrize(
    "parameters", [{}, BOUND, NAMED, BOUND | NAMED, WITH_KEY], ids=["plain", "bound", "named", "both", "key"]
)
def test_the_policy_linter_finds_nothing_but_the_named_exceptions(parameters: dict[str, str]) -> None:
    # Loaded only where this test runs.
    from parliament import analyze_policy_string  # type: ignore[import-untyped]  # it has no types

    found = {
        (role, finding.issue)
        for role, statements in statements_of(parameters).items()
        for finding in analyze_policy_string(
            json.dumps({"Version": "2012-10-17", "Statement": [_lintable(statement) for statement in statements]})
        ).findings
    }
    # Of the actions on the key, CreateGrant alone has one of the conditions, which may be missing.
    with_key = {(LogicalId.ANNEX_USER_POLICY, "UNKNOWN_CONDITION_FOR_ACTION")} if "KmsKeyArn" in parameters else set()
    assert found == EXCEPTIONS | with_key


def _lintable(statement: dict[str, Any]) -> dict[str, Any]:
    """Return a statement without the one condition whose type the linter does not know: lists of ARNs."""
    condition = {test: keys for test, keys in statement.get("Condition", {}).items() if "events:TargetArn" not in keys}
    return {name: part for name, part in statement.items() if name != "Condition"} | {"Condition": condition}


def test_only_who_starts_machines_or_passes_configurations_may_use_the_key_and_only_through_a_service() -> None:
    ec2, s3 = "ec2.us-east-1.amazonaws.com", "s3.us-east-1.amazonaws.com"
    grant = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
    volumes = {"kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext"}
    volumes |= {"kms:ReEncryptFrom", "kms:ReEncryptTo"}
    starting = [
        (volumes, {"StringEquals": {"kms:ViaService": ec2}}),
        ({"kms:CreateGrant"}, {"StringEquals": {"kms:ViaService": ec2}} | grant),
    ]
    people = [
        (
            {"kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*", "kms:ReEncrypt*"},
            {"StringEquals": {"kms:ViaService": [ec2, s3]}, "BoolIfExists": grant["Bool"]},
        )
    ]
    found = {
        role: [(set(each["Action"]), each["Condition"]) for each in statements if each["Resource"] == KEY]
        for role, statements in statements_of(WITH_KEY).items()
    }
    assert {role: rights for role, rights in found.items() if rights} == {
        "AnnexUserPolicy": people,
        "FleetRole": starting,
        "ImageBuilderExecRole": starting,
        "InstanceRole": [({"kms:Decrypt"}, {"StringEquals": {"kms:ViaService": s3}})],
        "StartPolicy": people,
        "StartRole": [({"kms:Decrypt"}, {"StringEquals": {"kms:ViaService": s3}})],
    }
    assert "kms:" not in json.dumps(statements_of({}))


@pytest.mark.parametrize(
    ("given", "types"),
    [
        (
            {},
            {
                *("t3.medium", "t3.small", "t3.micro", "c7i-flex.large", "m7i-flex.large"),
                *("t4g.medium", "t4g.small", "t4g.micro"),
            },
        ),
        ({"BuilderType": "c7i.xlarge"}, {"c7i.xlarge"}),
    ],
)
def test_a_builder_can_have_the_chosen_type_or_those_of_the_default(given: dict[str, str], types: set[str]) -> None:
    (start,) = (each for each in statements_of(given)["ImageBuilderExecRole"] if each["Sid"] == "StartBuilder")
    assert set(start["Condition"]["StringEquals"]["ec2:InstanceType"]) == types


def test_machines_may_be_of_the_allowed_types_alone_and_of_all_where_none_is_named() -> None:
    def types(given: dict[str, str]) -> dict[str, Any]:
        return {
            role: each["Condition"].get("StringLike")
            for role in (LogicalId.ANNEX_USER_POLICY, LogicalId.START_POLICY)
            for each in statements_of(given)[role]
            if "ec2:RunInstances" in each["Action"] and str(each["Resource"]).endswith(":instance/*")
        }

    assert types({}) == {"AnnexUserPolicy": None, "StartPolicy": None}
    allowed = {"ec2:InstanceType": ["c7*.large", "m6i.*"]}
    assert types({"InstanceTypes": "c7*.large,m6i.*"}) == {"AnnexUserPolicy": allowed, "StartPolicy": allowed}


def test_the_lease_function_reads_sizes_and_prices_only_where_a_limit_needs_them() -> None:
    def reading(given: dict[str, str]) -> set[str]:
        granted = {action for each in statements_of(given)["LeaseExecRole"] for action in each["Action"]}
        return granted & {"ec2:DescribeInstanceTypes", "pricing:GetProducts"}

    assert reading({"InstanceTypes": "c7i.*", "MaxLeaseHours": "1"}) == set()
    assert reading({"MaxCores": "1"}) == {"ec2:DescribeInstanceTypes"}
    assert reading({"MaxDollarsPerHour": "0.50"}) == {"pricing:GetProducts"}


def test_everything_is_allowed_only_where_an_action_knows_no_resource() -> None:
    for role, statements in statements_of({}).items():
        for statement in statements:
            if statement["Resource"] == "*":
                for action in statement["Action"]:
                    assert WITHOUT_RESOURCE.fullmatch(action), (role, statement["Sid"])


def test_every_role_is_under_our_path_and_takes_the_boundary() -> None:
    roles = {title: role["Properties"] for title, role in TEMPLATE.items() if role["Type"] == "AWS::IAM::Role"}
    of_people = resolve(roles.pop("AnnexUserRole"), values_of(new_stack_id(), BOUND), conditions_of(BOUND))
    assert of_people["PermissionsBoundary"] == "arn:aws:iam::123456789012:policy/annex-bootstrap-users-boundary-swept"
    assert len(roles) == 9
    for title, properties in roles.items():
        values = values_of(new_stack_id(), BOUND)
        assert (
            resolve(properties, values, conditions_of(BOUND))["PermissionsBoundary"] == BOUND["PermissionsBoundaryArn"]
        ), title
        assert "PermissionsBoundary" not in resolve(properties, values, conditions_of({}))
        assert properties["Path"] == {"Fn::Sub": "/annex-bootstrap/${AWS::StackName}/"}
    for title in ("InstanceRole", "StartRole", "FleetRole"):
        assert TEMPLATE[title]["Properties"]["PermissionsBoundaryArn"] == {"Ref": "PermissionsBoundaryArn"}


def test_a_role_can_only_be_made_bound_or_granted_anything_with_the_boundary() -> None:
    granting = {"iam:CreateRole", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy", "iam:AttachRolePolicy"}
    for statements in statements_of(BOUND).values():
        for statement in statements:
            if granting & set(statement["Action"]):
                assert statement["Condition"]["ArnEquals"]["iam:PermissionsBoundary"] == BOUND["PermissionsBoundaryArn"]
                assert ":role/annex-bootstrap/" in statement["Resource"]


def test_a_role_is_passed_only_by_who_starts_machines_and_the_function_that_puts_it_into_a_profile() -> None:
    passing = {
        role
        for role, statements in statements_of({}).items()
        if any("iam:PassRole" in statement["Action"] for statement in statements)
    }
    assert passing == {"AnnexUserPolicy", "FleetRole", "InstanceRoleExecRole", "StartPolicy", "StartRoleExecRole"}


@pytest.mark.parametrize(
    ("given", "named"),
    [({}, [""]), ({"ImageIds": "ami-01234567,ami-89abcdef"}, ["ami-01234567", "ami-89abcdef"])],
)
def test_machines_start_from_images_that_are_public_amazons_the_stacks_or_named(
    given: dict[str, str], named: list[str]
) -> None:
    found = [each for each in statements_of(given)["AnnexUserPolicy"] if each["Sid"].startswith("StartFrom")]
    image = "arn:aws:ec2:us-east-1::image"
    assert [(each["Sid"], each["Resource"], each.get("Condition")) for each in found] == [
        ("StartFromPublicImages", f"{image}/*", {"Bool": {"ec2:Public": "true"}}),
        ("StartFromImagesOfAmazon", f"{image}/*", {"StringEquals": {"ec2:Owner": "amazon"}}),
        ("StartFromOwnImage", f"{image}/ami-0123456789abcdef0", None),
        ("StartFromNamedImages", f"{image}/*", {"StringEquals": {"ec2:ImageID": named}}),
    ]


@pytest.mark.parametrize("partition", ["aws-us-gov", "aws-cn"])
def test_no_arn_and_no_service_of_another_partition_is_named(partition: str) -> None:
    text = json.dumps(statements_of({}, partition))
    assert set(re.findall(r"arn:([\w-]+):", text)) == {partition}
    services = set(re.findall(r"[\w-]+\.amazonaws\.com[.\w]*", text))
    # Services have one name in every partition; a condition may also name what exists only in another.
    ec2 = {"ec2.amazonaws.com", "ec2.amazonaws.com.cn"}
    assert services == {*ec2, "spot.amazonaws.com", "spotfleet.amazonaws.com"}


def test_the_fleet_role_may_be_passed_under_every_name_that_ec2_may_give() -> None:
    (statement,) = [found for found in statements_of({})["AnnexUserPolicy"] if found["Sid"] == "PassFleetRole"]
    assert set(statement["Condition"]["StringEquals"]["iam:PassedToService"]) == {
        "ec2.amazonaws.com",
        "ec2.amazonaws.com.cn",
        "spotfleet.amazonaws.com",
    }
    assert statement["Resource"].endswith("role/annex-bootstrap/fleet")


def test_the_table_of_permissions_is_that_of_the_template() -> None:
    assert (ROOT / "docs" / "permissions.md").read_text() == table()
