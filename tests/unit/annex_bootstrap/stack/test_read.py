"""What is read of stacks, of their events, and of those who hold their policies."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from annex_bootstrap.errors import AwsError, DeniedError, UserError
from annex_bootstrap.stack.read import (
    EARLIER_SETUP,
    Event,
    Holder,
    Stack,
    check_deployed,
    check_ours,
    events,
    find,
    find_earlier_setup,
    find_holders,
    find_people,
    list_holders,
)
from annex_contract.limits import Limits
from tests.unit.annex_bootstrap.stack.sample_stack import a_stack
from tests.unit.recorded import Answer, Recorded, RefusedError

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/lab/1"
DENIED = RefusedError("AccessDenied", status=403)


def missing(name: str) -> RefusedError:
    return RefusedError("ValidationError", f"Stack with id {name} does not exist")


def test_a_stack_is_what_cloudformation_says_of_it() -> None:
    described: dict[str, Any] = {
        "StackId": ID,
        "StackName": "lab",
        "StackStatus": "UPDATE_COMPLETE",
        "StackStatusReason": "because",
        "Parameters": [{"ParameterKey": "Image", "ParameterValue": "yes"}],
        "Outputs": [{"OutputKey": "Version", "OutputValue": "1.2.3"}],
        "CreationTime": AT - timedelta(days=1),
        "LastUpdatedTime": AT,
        "EnableTerminationProtection": True,
        "Tags": [{"Key": "cost-center", "Value": "42"}],
    }
    aws = Recorded(DescribeStacks={"Stacks": [described]})
    stack = Stack(
        ID, "lab", "UPDATE_COMPLETE", "because", {"Image": "yes"}, {"Version": "1.2.3"}, AT, True, {"cost-center": "42"}
    )
    assert find(aws.account().cloudformation, "lab") == stack
    assert aws.calls == [("DescribeStacks", {"StackName": "lab"})]
    assert (stack.version, stack.is_deployed, stack.in_progress) == ("1.2.3", True, False)
    bare = {name: described[name] for name in ("StackId", "StackName", "StackStatus", "CreationTime")}
    found = find(Recorded(DescribeStacks={"Stacks": [bare]}).account().cloudformation, "lab")
    assert found == Stack(ID, "lab", "UPDATE_COMPLETE", "", {}, {}, AT - timedelta(days=1))
    assert found is not None
    assert (found.version, found.is_deployed) == ("", False)


def test_a_stack_that_does_not_exist_is_none_and_a_refusal_is_none_of_that() -> None:
    assert find(Recorded(DescribeStacks=missing("lab")).account().cloudformation, "lab") is None
    with pytest.raises(AwsError):
        find(Recorded(DescribeStacks=DENIED).account().cloudformation, "lab")


def test_parameters_limit_the_machines() -> None:
    stack = a_stack("CREATE_COMPLETE", {"MaxLeaseHours": "2", "MaxCores": "64"})
    assert (stack.max_seconds, stack.limits) == (7200, Limits(cores=64))
    assert a_stack("CREATE_COMPLETE", {"MaxLeaseHours": ""}).max_seconds is None
    assert a_stack("CREATE_COMPLETE", {}).max_seconds is None
    with pytest.raises(UserError, match="a limit of the stack annex-bootstrap cannot be read: 'many'"):
        _ = a_stack("CREATE_COMPLETE", {"MaxCores": "many"}).limits


@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "ROLLBACK_COMPLETE", "DELETE_IN_PROGRESS"])
def test_a_stack_without_our_parameters_is_not_touched(status: str) -> None:
    check_ours(a_stack(status), "lab")
    check_ours(None, "lab")
    check_ours(a_stack("DELETE_COMPLETE", {}), "lab")
    with pytest.raises(UserError, match="the stack lab was not made by annex-bootstrap"):
        check_ours(a_stack(status, {"CondorCidrs": ""}), "lab")


def test_a_stack_that_cannot_be_used_says_why() -> None:
    with pytest.raises(UserError, match="there is no stack lab in us-east-1: run annex-bootstrap deploy first"):
        check_deployed(None, "lab", "us-east-1")
    with pytest.raises(UserError, match="the stack lab is in CREATE_FAILED and has no outputs"):
        check_deployed(a_stack("CREATE_FAILED"), "lab", "us-east-1")
    wrong = replace(a_stack("CREATE_COMPLETE"), outputs={"LeaseFunctionARN": "arn:of:another"})
    with pytest.raises(UserError, match="the output LeaseFunctionARN of the stack lab is not what"):
        check_deployed(wrong, "lab", "us-east-1")


def event(number: int, **more: str) -> dict[str, Any]:
    return {"StackId": ID, "EventId": str(number), "StackName": "lab", "Timestamp": AT, **more}


def test_events_are_read_from_the_oldest_on_after_the_last_one_that_is_known() -> None:
    pages: list[Answer] = [
        {
            "StackEvents": [
                event(4, LogicalResourceId="Bucket", ResourceType="Custom::AnnexBucket", ResourceStatus="CREATE_FAILED")
                | {"ResourceStatusReason": "Bucket:  no\n room"},
                event(3),
            ],
            "NextToken": "more",
        },
        {"StackEvents": [event(2), event(1)]},
    ]
    failed = Event("4", AT, "Bucket", "Custom::AnnexBucket", "CREATE_FAILED", "Bucket: no room")
    plain = [Event(number, AT, "", "", "", "") for number in "123"]
    aws = Recorded(DescribeStackEvents=pages)
    assert events(aws.account().cloudformation, ID) == [*plain, failed]
    assert aws.of("DescribeStackEvents") == [{"StackName": ID}, {"StackName": ID, "NextToken": "more"}]
    aws = Recorded(DescribeStackEvents=pages)
    assert events(aws.account().cloudformation, ID, "3") == [failed]
    assert aws.of("DescribeStackEvents") == [{"StackName": ID}]


FAILED = Event("1", AT, "Bucket", "Custom::AnnexBucket", "CREATE_FAILED", "no")


@pytest.mark.parametrize(
    ("more", "fails"),
    [
        ({}, True),
        ({"status": "DELETE_FAILED"}, True),
        ({"status": "CREATE_COMPLETE"}, False),
        ({"resource_type": "AWS::CloudFormation::Stack"}, False),
        ({"reason": "Resource creation cancelled"}, False),
        ({"reason": "Resource creation Canceled"}, False),
    ],
)
def test_a_resource_fails_by_itself_where_no_other_one_made_it(more: dict[str, str], fails: bool) -> None:
    assert replace(FAILED, **more).is_failure is fails  # type: ignore[arg-type]  # fields of an event


def test_a_step_is_of_the_stack_or_of_a_function_or_of_neither() -> None:
    kinds = ("AWS::CloudFormation::Stack", "Custom::AnnexBucket", "AWS::IAM::Role")
    found = [replace(FAILED, resource_type=kind) for kind in kinds]
    assert [(each.is_stack, each.is_custom) for each in found] == [(True, False), (False, True), (False, False)]


def test_stacks_of_the_earlier_setup_are_found_by_their_names() -> None:
    found = {"StackId": ID, "StackName": "HTCondorAnnex-LambdaFunctions", "CreationTime": AT}
    gone = found | {"StackName": "HTCondorAnnex-SecurityGroup", "StackStatus": "DELETE_COMPLETE"}

    def describe(arguments: dict[str, Any]) -> dict[str, Any]:
        name = arguments["StackName"]
        if name not in (found["StackName"], gone["StackName"]):
            raise missing(name)
        return {"Stacks": [gone if name == gone["StackName"] else found | {"StackStatus": "CREATE_COMPLETE"}]}

    aws = Recorded(DescribeStacks=describe)
    assert find_earlier_setup(aws.account()) == ["HTCondorAnnex-LambdaFunctions"]
    assert (
        [asked["StackName"] for asked in aws.of("DescribeStacks")]
        == list(EARLIER_SETUP)
        == [
            "HTCondorAnnex-ConfigurationBucket",
            "HTCondorAnnex-LambdaFunctions",
            "HTCondorAnnex-InstanceProfile",
            "HTCondorAnnex-SecurityGroup",
        ]
    )
    assert find_earlier_setup(Recorded(DescribeStacks=DENIED).account()) == []


USER, START = (f"arn:aws:iam::123456789012:policy/annex-bootstrap/{name}" for name in ("user", "start"))
WITH_POLICIES = replace(a_stack("CREATE_COMPLETE"), outputs={"AnnexUserPolicyARN": USER, "StartPolicyARN": START})


def entities(users: str = "", groups: str = "", roles: str = "", **more: Any) -> dict[str, Any]:
    return {
        "PolicyUsers": [{"UserName": name} for name in users],
        "PolicyGroups": [{"GroupName": name} for name in groups],
        "PolicyRoles": [{"RoleName": name} for name in roles],
        **more,
    }


def test_those_who_hold_a_policy_are_users_groups_and_roles() -> None:
    first = entities("a", "b", IsTruncated=True, Marker="more")
    aws = Recorded(ListEntitiesForPolicy=[first, entities(roles="c"), RefusedError("NoSuchEntity", status=404)])
    assert list_holders(aws.account(), WITH_POLICIES) == [
        Holder("user", "a", USER),
        Holder("group", "b", USER),
        Holder("role", "c", USER),
    ]
    assert aws.of("ListEntitiesForPolicy") == [
        {"PolicyArn": USER},
        {"PolicyArn": USER, "Marker": "more"},
        {"PolicyArn": START},
    ]
    assert list_holders(Recorded().account(), a_stack("CREATE_COMPLETE")) == []


def test_who_may_not_look_finds_nobody_and_who_has_to_know_is_refused() -> None:
    assert find_holders(Recorded(ListEntitiesForPolicy=DENIED).account(), WITH_POLICIES) == []
    with pytest.raises(DeniedError):
        list_holders(Recorded(ListEntitiesForPolicy=DENIED).account(), WITH_POLICIES)
    with pytest.raises(AwsError):
        find_holders(Recorded(ListEntitiesForPolicy=RefusedError("Throttling")).account(), WITH_POLICIES)


def test_boundaries_are_those_of_users_roles_and_members_of_groups() -> None:
    def person(kind: str, name: str, boundary: str) -> dict[str, Any]:
        bound = {"PermissionsBoundary": {"PermissionsBoundaryArn": boundary}} if boundary else {}
        made = {f"{kind}Name": name, f"{kind}Id": "AIDAMADEUPMADEUP", "Arn": f"arn:aws:iam::123456789012:x/{name}"}
        return {"Path": "/", "CreateDate": AT, **made, **bound}

    group = {"Path": "/", "GroupName": "g", "GroupId": "AGPAMADEUPMADEUP", "Arn": USER, "CreateDate": AT}
    aws = Recorded(
        GetUser=lambda asked: {"User": person("User", asked["UserName"], USER if asked["UserName"] == "a" else "")},
        GetRole={"Role": person("Role", "r", START) | {"AssumeRolePolicyDocument": "{}"}},
        GetGroup=[
            {"Group": group, "Users": [person("User", "m", "")], "IsTruncated": True, "Marker": "more"},
            {"Group": group, "Users": [person("User", "n", "")]},
        ],
    )
    holders = [Holder("user", "a", USER), Holder("group", "g", USER), Holder("role", "r", START)]
    assert find_people(aws.account(), holders) == {"role r": START, "user a": USER, "user m": "", "user n": ""}
    assert aws.of("GetGroup") == [{"GroupName": "g"}, {"GroupName": "g", "Marker": "more"}]
    assert aws.of("GetRole") == [{"RoleName": "r"}]
