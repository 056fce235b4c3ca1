"""Every document fits where it goes: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import pytest

from annex_bootstrap.commands import policy as cli_policy
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.policies.boundary import boundary, boundary_arn
from annex_bootstrap.policies.deployer import deployer_policy
from annex_bootstrap.policies.limits import MANAGED_POLICY_LIMIT, size, split
from annex_bootstrap.policies.operator import operator_policy
from annex_contract.boundaries import Holder, boundary_name
from annex_contract.stack import DEFAULT_STACK_NAME, LONGEST_STACK_NAME, STACK_TAG
from docs_gen.permissions import policies
from local_aws.launcher import REGION
from tests.stack_values import conditions_of, new_stack_id, values_of

ACCOUNT, PARTITION = "123456789012", "aws-us-gov"
LONGEST_NAME = "s" * LONGEST_STACK_NAME

ROLE_INLINE_LIMIT = 10_240
"""Characters of all inline policies of a role without white space."""

ROOMY = 5700
"""Characters of a boundary: a managed policy has 6,144, and an administrator makes it once for all later versions."""

ROOM = 10
"""Characters that stay free in a boundary with the longest names: later versions need more of the roles."""

LONGEST_BUCKET, LONGEST_POLICY_NAME = 63, 128
"""Characters of names: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html, and IAM's page."""

MOST_PARTS = 10
"""Managed policies that a user or a role can have."""

FOR_PEOPLE = ("AnnexUserPolicy", "StartPolicy")
"""The managed policies of a stack, which its users get."""

BOUNDED: Mapping[str, str] = {"PermissionsBoundaryArn": boundary_arn(PARTITION, ACCOUNT, Holder.ROLES, LONGEST_NAME)}


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-eusc", PARTITION])
@pytest.mark.parametrize(
    ("holder", "condor_annex"), [(Holder.ROLES, False), (Holder.ROLES, True), (Holder.USERS, False)]
)
def test_a_boundary_fits_into_a_managed_policy_with_room_for_more(
    holder: Holder, condor_annex: bool, partition: str
) -> None:
    printed = partial(boundary, partition, ACCOUNT, holder, LONGEST_NAME, condor_annex=condor_annex)
    assert size(printed()) <= ROOMY
    longest = printed(KEYED["KmsKeyArn"], "b" * LONGEST_BUCKET)
    assert size(longest) <= MANAGED_POLICY_LIMIT - ROOM
    assert len(boundary_name(holder, LONGEST_NAME)) <= LONGEST_POLICY_NAME


@pytest.mark.parametrize("holder", Holder)
def test_a_boundary_knows_the_tag_of_its_own_stack_and_of_no_other(holder: Holder) -> None:
    tags = {
        pattern
        for statement in boundary("aws", ACCOUNT, holder, "lab", condor_annex=holder is Holder.ROLES)["Statement"]
        for operator in ("StringLike", "StringNotLike")
        for key, pattern in statement.get("Condition", {}).get(operator, {}).items()
        if key.endswith(f"Tag/{STACK_TAG}")
    }
    assert len(tags) == 1
    own = [new_stack_id("lab"), new_stack_id("lab").replace(REGION, LONGEST_REGION)]
    others = [new_stack_id(name) for name in ("lab-2", "my-lab", "LAB", "la", "stack-lab")]
    for pattern in tags:
        assert all(fnmatchcase(stack_id, pattern) for stack_id in own)
        assert not any(fnmatchcase(stack_id, pattern) for stack_id in others)


@pytest.mark.parametrize("holder", Holder)
def test_a_boundary_denies_what_has_another_stacks_tag_and_not_what_has_none(holder: Holder) -> None:
    denied = {
        statement["Sid"]: statement["Condition"]
        for statement in boundary("aws", ACCOUNT, holder, "lab")["Statement"]
        if statement["Effect"] == "Deny" and "Condition" in statement
    }
    for kind in ("Resource", "Request"):
        tag = f"aws:{kind}Tag/{STACK_TAG}"
        assert denied[f"No{kind}Tag"] == {"StringNotLike": {tag: "*:stack/lab/*"}, "Null": {tag: "false"}}


@pytest.mark.parametrize("bounded", [True, False])
def test_the_printed_policies_fit_into_a_few_managed_ones(bounded: bool) -> None:
    roles, users = (boundary_arn(PARTITION, ACCOUNT, holder, LONGEST_NAME) if bounded else "" for holder in Holder)
    deployer = deployer_policy(PARTITION, ACCOUNT, LONGEST_NAME, roles)
    operator = operator_policy(PARTITION, ACCOUNT, LONGEST_NAME, users)
    for policy, most in ((deployer, MOST_PARTS - 2), (operator, 2)):
        parts = split(policy)
        assert len(parts) <= most
        assert all(size(part) <= MANAGED_POLICY_LIMIT for part in parts)
        assert [statement for part in parts for statement in part["Statement"]] == policy["Statement"]
    # With a name of usual length, an operator needs one.
    assert size(operator_policy(PARTITION, ACCOUNT, DEFAULT_STACK_NAME, users)) <= MANAGED_POLICY_LIMIT


KEYED = {"KmsKeyArn": f"arn:{PARTITION}:kms:us-gov-west-1:{ACCOUNT}:key/mrk-{'0' * 32}"}


LIMITED = {"MaxCores": "1", "MaxDollarsPerHour": "1", "InstanceTypes": ",".join(["a.*"] * 16)}
"""Limits with as many patterns as there may be, so with as many quotation marks."""


LONGEST_REGION = "ap-southeast-1"
OWN = "12345678-123456789012"
"""The part of a stack's ID that the names of its roles end in."""


@pytest.mark.parametrize("partition", ["aws", PARTITION])
@pytest.mark.parametrize("parameters", [{}, BOUNDED, KEYED, {**BOUNDED, **KEYED}, {**BOUNDED, **KEYED, **LIMITED}])
def test_the_policies_of_the_stack_fit(parameters: Mapping[str, str], partition: str) -> None:
    values = values_of(new_stack_id(LONGEST_NAME, partition), parameters, partition)
    for function in ("LeaseFunction", "ConnectivityFunction"):
        # As CloudFormation names it.
        values[f"{function}.Arn"] += f"{LONGEST_NAME}--0123456789AB"
    for role, name in (("InstanceRole", "instance"), ("StartRole", "instance-start")):
        values[f"{role}.ProfileArn"] = (
            f"arn:{partition}:iam::{ACCOUNT}:instance-profile/annex-bootstrap/annex-bootstrap-{name}-{OWN}"
        )
    found: Mapping[str, list[dict[str, Any]]] = policies(values, conditions_of(parameters))
    for name, statements in found.items():
        limit = MANAGED_POLICY_LIMIT if name in FOR_PEOPLE else ROLE_INLINE_LIMIT
        text = json.dumps({"Version": "2012-10-17", "Statement": statements}).replace(REGION, LONGEST_REGION)
        assert size(json.loads(text)) <= limit, name


def _covers(statement: dict[str, Any], action: str, resource: str) -> bool:
    actions, resources = (
        each if isinstance(each, list) else [each] for each in (statement["Action"], statement["Resource"])
    )
    return any(fnmatchcase(action, one) for one in actions) and any(fnmatchcase(resource, one) for one in resources)


def test_the_boundaries_leave_every_role_and_user_what_it_needs() -> None:
    limit = boundary_arn("aws", ACCOUNT, Holder.ROLES, "lab")
    parameters = {"PermissionsBoundaryArn": limit, "Image": "yes", "ConnectivityVpc": "yes", **LIMITED}
    values = values_of(new_stack_id("lab"), parameters)
    values["Bucket.BucketName"] = f"annex-bootstrap-{ACCOUNT}-{OWN}"
    found = policies(values, conditions_of(parameters))
    for name, statements in found.items():
        holder = Holder.USERS if name in FOR_PEOPLE else Holder.ROLES
        bounds = [each for each in boundary("aws", ACCOUNT, holder, "lab")["Statement"] if each["Effect"] == "Allow"]
        for statement in statements:
            resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            for action in actions if statement["Effect"] == "Allow" else []:
                for named in resources:
                    # CloudFormation's names of functions and their logs begin with the stack's and end at random.
                    resource = re.sub(r"(:function:)(\w+)$", r"\1lab-\2-a1B2c3", named)
                    resource = re.sub(r"(:log-group:)(\w+)", r"\1lab-\2Logs-a1B2c3", resource)
                    resource = resource.replace(":*:*:", f":{REGION}:{ACCOUNT}:")
                    # A statement may name several services.
                    if resource == "*" or resource.split(":")[2] == action.split(":")[0]:
                        assert any(_covers(bound, action, resource) for bound in bounds) or _excused(name, action), (
                            f"{name}: {action} on {resource}"
                        )


def _excused(name: str, action: str) -> bool:
    # A boundary lets functions take no boundary off, and users pass no role but what the stacks make.
    return action == "iam:DeleteRolePermissionsBoundary" or (name in FOR_PEOPLE and action == "iam:PassRole")


@pytest.mark.parametrize(("characters", "fits"), [(2048, True), (2049, False)])
def test_only_what_does_not_fit_a_users_inline_policy_is_called_too_long(
    characters: int, fits: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": ""}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    statement["Resource"] = "x" * (characters - size(policy))
    cli_policy._print(Screen(), policy, "arn:made-up", None)
    assert ("too long for a user's inline policy" not in capsys.readouterr().err) == fits
