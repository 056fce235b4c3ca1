"""IAM policies on the calls of EventBridge, by the tags of rules, as users with nothing else."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.server.principals import Server

OWN, OTHER = ({"Key": "team", "Value": value} for value in ("own", "other"))


def _events(server: Server, *statements: dict[str, Any]) -> Any:
    return server.client("events", "us-east-1", server.key(*statements))


def test_a_rule_is_deleted_by_whom_its_tag_names(server: Server) -> None:
    name, root = f"rule-{uuid.uuid4().hex[:8]}", server.client("events")
    actions = ["events:DeleteRule", "events:RemoveTargets"]
    user = _events(
        server,
        {"Action": actions, "Resource": "*", "Condition": {"StringEquals": {"aws:ResourceTag/team": "own"}}},
    )
    for tags, allowed in (([], False), ([OTHER], False), ([OWN], True)):
        root.put_rule(Name=name, ScheduleExpression="rate(5 minutes)", Tags=tags)
        root.put_targets(Rule=name, Targets=[{"Id": "a", "Arn": "arn:aws:lambda:us-east-1:000000000000:function:f"}])
        if not allowed:
            with pytest.raises(ClientError, match="AccessDenied"):
                user.remove_targets(Rule=name, Ids=["a"])
            with pytest.raises(ClientError, match="AccessDenied"):
                user.delete_rule(Name=name)
            root.remove_targets(Rule=name, Ids=["a"])
            root.delete_rule(Name=name)
        else:
            user.remove_targets(Rule=name, Ids=["a"])
            user.delete_rule(Name=name)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        root.describe_rule(Name=name)


def test_who_makes_a_rule_with_tags_needs_the_right_to_tag_it_too(server: Server) -> None:
    put: dict[str, Any] = {"Action": "events:PutRule", "Resource": "*"}
    condition = {"StringEquals": {"aws:RequestTag/team": "own"}, "Null": {"aws:ResourceTag/team": "true"}}
    both: list[dict[str, Any]] = [put, {"Action": "events:TagResource", "Resource": "*", "Condition": condition}]
    name, root = f"rule-{uuid.uuid4().hex[:8]}", server.client("events")
    for statements, tag, allowed in (([put], OWN, False), (both, OTHER, False), (both, OWN, True)):
        call = {"Name": name, "ScheduleExpression": "rate(5 minutes)", "Tags": [tag]}
        if allowed:
            arn = _events(server, *statements).put_rule(**call)["RuleArn"]
        else:
            with pytest.raises(ClientError, match="events:TagResource"):
                _events(server, *statements).put_rule(**call)
    # Not what has a tag, and PutRule changes none.
    with pytest.raises(ClientError, match="events:TagResource"):
        _events(server, *both).tag_resource(ResourceARN=arn, Tags=[OWN])
    root.put_rule(Name=name, ScheduleExpression="rate(5 minutes)", Tags=[OTHER])
    assert root.list_tags_for_resource(ResourceARN=arn)["Tags"] == [OWN]
    root.delete_rule(Name=name)
