"""The roles that an administrator makes for a guest: the same as the stack's own, for every stack of the name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from annex_bootstrap.errors import UserError
from annex_bootstrap.policies.limits import MANAGED_POLICY_LIMIT, size
from annex_bootstrap.policies.roles import DEPLOY_POLICY, RolesTemplate
from annex_bootstrap.stack.resolve import resolve
from annex_contract.outputs import find_foreign_output
from annex_contract.resources import FLEET_ROLE, INSTANCE_ROLE, START_ROLE, CustomResource
from annex_contract.stack import ROLE_PATH, STACK_TAG, Output, Part, function_of, given_roles_id
from docs_gen.permissions import policies
from template_gen.parameters import holding
from template_gen.template import build
from tests.stack_values import new_stack_id, values_of

TEMPLATE: dict[str, Any] = json.loads(build().to_json())

ACCOUNT, REGION, NAME = "123456789012", "us-east-1", "lab"

ROLES = given_roles_id(ACCOUNT, REGION, NAME)

KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/12345678-1234-1234-1234-123456789012"

INLINE_LIMIT = 10_240
"""Characters of all inline policies of a role: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""

TEMPLATE_LIMIT = 51_200
"""Bytes: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"""


def roles(name: str = NAME, **parameters: str) -> RolesTemplate:
    return RolesTemplate(TEMPLATE, "aws", ACCOUNT, REGION, name, parameters)


def made(**parameters: str) -> dict[str, Any]:
    resources: dict[str, Any] = roles(**parameters).build()["Resources"]
    return resources


def statements(resource: dict[str, Any]) -> list[dict[str, Any]]:
    properties = resource["Properties"]
    documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
    documents += [properties["PolicyDocument"]] if "PolicyDocument" in properties else []
    return [statement for document in documents for statement in document["Statement"]]


def actions(listed: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {
        (statement["Effect"], action)
        for statement in listed
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }


@pytest.mark.parametrize(
    "parameters",
    [
        *({}, {"KmsKeyArn": KEY}, {"Image": "no"}, {"BucketName": "a-bucket"}),
        {"ConnectivityVpc": "yes", "SubnetIds": "subnet-0123456789abcdef0"},
    ],
)
def test_they_may_do_what_the_stacks_own_may_and_those_that_make_roles_only_look(parameters: dict[str, str]) -> None:
    given = values_of(new_stack_id(NAME), parameters)
    own = policies(given, holding(parameters))
    found = {title: actions(statements(resource)) for title, resource in made(**parameters).items()}
    makers = {Part.ROLE.of(function_of(custom.logical_id)) for custom in (INSTANCE_ROLE, START_ROLE, FLEET_ROLE)}
    without_image = parameters.get("Image") == "no"
    for title, listed in own.items():
        if without_image and title not in found:
            assert "Image" in title or "Start" in title
        elif title not in makers:
            assert found[title] == actions(listed), title
    reading = ("iam:CreateServiceLinkedRole", "iam:Get", "logs:")
    for title in makers & found.keys():
        assert not [action for _, action in found[title] if not action.startswith(reading)], title


LOGS = ("WriteOwnLogs", "logs:CreateLogStream", "logs:PutLogEvents")
OF_MACHINES = [
    LOGS,
    ("FindRole", "iam:GetRole"),
    ("FindProfile", "iam:GetInstanceProfile"),
    ("ReadRolePolicies", "iam:GetRolePolicy"),
]
OF_FLEETS = [
    LOGS,
    ("FindRole", "iam:GetRole"),
    ("FindServiceLinkedRoles", "iam:GetRole"),
    ("CreateServiceLinkedRoles", "iam:CreateServiceLinkedRole"),
]


@pytest.mark.parametrize(
    ("custom", "rights"), [(INSTANCE_ROLE, OF_MACHINES), (START_ROLE, OF_MACHINES), (FLEET_ROLE, OF_FLEETS)]
)
def test_what_makes_a_role_elsewhere_can_look_at_the_given_one(
    custom: CustomResource, rights: list[tuple[str, ...]]
) -> None:
    listed = statements(made()[Part.ROLE.of(function_of(custom.logical_id))])
    assert [(each["Sid"], *each["Action"]) for each in listed] == rights


def test_a_stack_with_them_has_no_resource_of_iam_and_names_them() -> None:
    parameters = {"GivenRoles": ROLES}
    conditions = holding(parameters)
    values = values_of(new_stack_id(NAME), parameters) | {"AWS::AccountId": ACCOUNT}
    there = {
        title: resource
        for title, resource in TEMPLATE["Resources"].items()
        if conditions.get(resource.get("Condition"), True)
    }
    assert not [title for title, resource in there.items() if resource["Type"].startswith("AWS::IAM::")]
    arns = {
        f"arn:aws:iam::{ACCOUNT}:role{resource['Properties']['Path']}{resource['Properties']['RoleName']}"
        for resource in made().values()
        if resource["Type"] == "AWS::IAM::Role"
    }
    functions = [resource for resource in there.values() if resource["Type"] == "AWS::Lambda::Function"]
    assert len(functions) == 9
    assert {resolve(function["Properties"]["Role"], values, conditions) for function in functions} < arns
    for custom in (INSTANCE_ROLE, START_ROLE, FLEET_ROLE):
        name = resolve(there[custom.logical_id]["Properties"]["RoleName"], values, conditions)
        assert f"arn:aws:iam::{ACCOUNT}:role{ROLE_PATH}{name}" in arns
    listed = made()
    for title, output in (("AnnexUserPolicy", "AnnexUserPolicyARN"), ("StartPolicy", "StartPolicyARN")):
        arn = resolve(TEMPLATE["Outputs"][output]["Value"], values, conditions)
        assert arn == f"arn:aws:iam::{ACCOUNT}:policy{ROLE_PATH}{listed[title]['Properties']['ManagedPolicyName']}"


def test_what_the_stack_makes_is_known_by_its_tag_where_its_id_cannot_be() -> None:
    text = roles().text()
    assert "<made>" not in text
    assert "-0-0-0-" not in text
    asking = [each for role in made().values() for each in statements(role) if each["Sid"] == "AskWhichImageIsOwned"]
    assert {each["Resource"] for each in asking} == {f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{NAME}/*"}
    tag = {f"aws:ResourceTag/{STACK_TAG}": f"*:stack/{NAME}/*"}
    for title, resource in made().items():
        for statement in statements(resource):
            listed = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
            condition = statement.get("Condition", {})
            starts = {"ec2:CreateFleet", "ec2:RunInstances", "ec2:RequestSpotFleet"} & set(statement["Action"])
            if title in ("StartPolicy", "AnnexUserPolicy") and starts:
                for arn in listed:
                    if arn.endswith((":launch-template/*", ":security-group/*")):
                        by_template = condition.get("Bool") == {"ec2:IsLaunchTemplateResource": "true"}
                        assert by_template or tag.items() <= condition["StringLike"].items(), statement
            equal = [part for name, part in condition.items() if "Equals" in name and "Arn" not in name]
            assert not [value for part in equal for value in part.values() if "*" in json.dumps(value)], statement


def test_they_fit_into_the_limits_also_with_the_longest_names() -> None:
    long = RolesTemplate(TEMPLATE, "aws-us-gov", ACCOUNT, "us-gov-west-1", "a" * 28, {"KmsKeyArn": KEY})
    assert len(long.text().encode()) < TEMPLATE_LIMIT
    assert json.loads(long.text()) == long.build()
    for resource in long.build()["Resources"].values():
        properties = resource["Properties"]
        assert len(properties.get("RoleName", "")) <= 64
        assert sum(size(policy["PolicyDocument"]) for policy in properties.get("Policies", [])) <= INLINE_LIMIT
        assert size(properties.get("PolicyDocument", {})) <= MANAGED_POLICY_LIMIT
    assert "StartPolicy2" not in made()


def test_the_statements_of_a_policy_have_different_names() -> None:
    for title, resource in made().items():
        names = [statement["Sid"] for statement in statements(resource) if "Sid" in statement]
        assert [name for name in set(names) if names.count(name) > 1] == [], title


def test_the_guest_may_pass_the_functions_roles_and_nothing_else_of_iam() -> None:
    (only,) = statements(made()[DEPLOY_POLICY])
    assert only["Action"] == ["iam:PassRole"]
    assert only["Resource"] == f"arn:aws:iam::{ACCOUNT}:role{ROLE_PATH}{NAME}/annex-bootstrap-*ExecRole-{ROLES}"
    assert only["Condition"] == {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}


def test_a_boundary_of_the_stack_is_that_of_every_role() -> None:
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/limit"
    found = [each for each in made(PermissionsBoundaryArn=boundary).values() if each["Type"] == "AWS::IAM::Role"]
    assert {each["Properties"]["PermissionsBoundary"] for each in found} == {boundary}


def test_the_role_of_people_is_made_where_a_parameter_names_them() -> None:
    assert "AnnexUserRole" not in made()
    named = "arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/*/AWSReservedSSO_Research_*"
    role = made(UserPrincipals=f"{named},arn:aws:iam::123456789012:user/alice", UserMfa="yes")["AnnexUserRole"]
    properties = role["Properties"]
    assert properties["RoleName"] == f"annex-bootstrap-AnnexUserRole-{ROLES}"
    assert properties["ManagedPolicyArns"] == [{"Ref": "StartPolicy"}]
    assert properties["MaxSessionDuration"] == 12 * 3600
    (statement,) = properties["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}
    assert statement["Condition"] == {
        "ArnLike": {"aws:PrincipalArn": [named, "arn:aws:iam::123456789012:user/alice"]},
        "Bool": {"aws:MultiFactorAuthPresent": "true"},
    }


@pytest.mark.parametrize("given", ["arn:aws:iam::123456789012:role/*", "*", "arn:aws:iam::123456789012:root", "alice"])
def test_nobody_means_everybody_of_the_account(given: str) -> None:
    with pytest.raises(UserError, match=r"UserPrincipals=.* is not allowed: type ARNs of users or roles"):
        roles(UserPrincipals=given)


def test_an_existing_fleet_role_is_not_made_again() -> None:
    assert FLEET_ROLE.logical_id not in made(FleetRoleName="theirs")


def test_the_guest_gets_the_command_with_the_same_parameters() -> None:
    command = roles(ImageCommands="a b").build()["Outputs"]["Deploy"]["Value"]
    given = f"--param 'ImageCommands=a b' --param GivenRoles={ROLES}"
    assert command == f"annex-bootstrap deploy --stack-name lab --region us-east-1 {given}"


def test_a_wrong_name_or_parameter_is_refused() -> None:
    with pytest.raises(UserError, match="cannot be the name of a stack"):
        roles("a--b")
    with pytest.raises(UserError, match="there is no parameter Imag: did you mean"):
        roles(Imag="no")


def test_outputs_that_name_the_roles_of_another_stack_are_foreign() -> None:
    stack_id = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{NAME}/0a1b2c3d-1111-2222-3333-0123456789ab"
    other = given_roles_id(ACCOUNT, REGION, "other")
    for output, value in (
        (Output.START_POLICY_ARN, "policy/annex-bootstrap/lab-StartPolicy-{}"),
        (Output.INSTANCE_ROLE_ARN, "role/annex-bootstrap/annex-bootstrap-instance-{}"),
    ):
        arn = f"arn:aws:iam::{ACCOUNT}:{value}"
        assert find_foreign_output({output: arn.format(ROLES)}, stack_id, "", ROLES) == ""
        assert find_foreign_output({output: arn.format(other)}, stack_id, "", other) == output
    bucket = f"annex-bootstrap-{ACCOUNT}-{ROLES}"
    assert find_foreign_output({Output.S3_BUCKET_NAME: bucket}, stack_id, "", ROLES) == ""
    assert find_foreign_output({Output.S3_BUCKET_NAME: bucket}, stack_id, "") == Output.S3_BUCKET_NAME


@pytest.mark.parametrize(
    ("given", "operator", "vpc"), [({}, "ArnLike", "*"), ({"VpcId": "vpc-0a1b2c3d"}, "ArnEquals", "vpc-0a1b2c3d")]
)
def test_people_start_machines_in_the_vpc_of_the_security_group(given: dict[str, str], operator: str, vpc: str) -> None:
    (only,) = [each for each in statements(made(**given)["AnnexUserPolicy"]) if each["Sid"] == "StartInOwnVpc"]
    assert only["Condition"] == {operator: {"ec2:Vpc": f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc/{vpc}"}}
