"""What botocore's models are found to hold against an exchange."""

from __future__ import annotations

import json

import pytest

from tests.local_aws.second_opinions.exchanges import Exchange
from tests.local_aws.second_opinions.models import violations

EC2 = "http://ec2.amazonaws.com/doc/2016-11-15"
IAM = "https://iam.amazonaws.com/doc/2010-05-08/"


def exchange(
    service: str,
    body: str = "",
    answer: str = "",
    status: int = 200,
    method: str = "POST",
    path: str = "/",
    query: str = "",
    target: str = "",
) -> Exchange:
    """Return an exchange with a service, signed for it."""
    form = {"content-type": "application/x-www-form-urlencoded"} if "Action=" in body else {}
    credential = f"AWS4-HMAC-SHA256 Credential=AKIAMADEUP/20261101/us-east-1/{service}/aws4_request"
    headers = {"authorization": credential, "x-amz-target": target, **form}
    return Exchange(method, path, query, headers, body.encode(), status, {}, answer.encode())


def terminated(members: str) -> str:
    """Return an answer to TerminateInstances."""
    return (
        f'<TerminateInstancesResponse xmlns="{EC2}"><requestId>r</requestId>'
        f"<instancesSet><item>{members}</item></instancesSet></TerminateInstancesResponse>"
    )


TERMINATE = "Action=TerminateInstances&Version=2016-11-15"
GET_ROLE = "Action=GetRole&Version=2010-05-08"
ROLE = (
    "<Path>/</Path><RoleName>r</RoleName><RoleId>AROAMADEUPMADEUP1</RoleId><Arn>arn:aws:iam::123456789012:role/r</Arn>"
    "<CreateDate>2026-11-01T00:00:00Z</CreateDate>"
)
TARGETS = "AWSEvents.ListTargetsByRule"


def role(members: str) -> str:
    """Return an answer to GetRole."""
    return (
        f'<GetRoleResponse xmlns="{IAM}"><GetRoleResult><Role>{members}</Role></GetRoleResult>'
        "<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetRoleResponse>"
    )


@pytest.mark.parametrize(
    "right",
    [
        exchange("ec2", f"{TERMINATE}&InstanceId.1=i-1", terminated("<instanceId>i-1</instanceId>")),
        exchange("iam", f"{GET_ROLE}&RoleName=r", role(ROLE)),
        exchange("events", '{"Rule": "r"}', '{"Targets": [], "NextToken": null}', target=TARGETS),
        exchange("s3", method="GET", path="/a-bucket", query="list-type=2&prefix=config-", answer="<Result/>"),
        exchange("s3", method="HEAD", path="/a-bucket", status=403),
        exchange("lambda", method="POST", path="/2015-03-31/functions/f/invocations", answer="anything"),
        exchange("", method="GET", path="/_ministack/health", answer="{}"),
    ],
)
def test_nothing_is_held_against_what_the_models_allow(right: Exchange) -> None:
    assert list(violations(right)) == []


@pytest.mark.parametrize(
    ("wrong", "operation", "side", "text"),
    [
        (exchange("ec2", "Action=BorrowInstances"), "ec2.?", "request", "is no operation"),
        (exchange("s3", method="PATCH", path="/a-bucket"), "s3.?", "request", "is no operation"),
        (exchange("ec2", TERMINATE, terminated("")), "ec2.TerminateInstances", "request", "Missing required"),
        (
            exchange("ec2", f"{TERMINATE}&InstanceId.1=i-1&Colour=red", terminated("")),
            *("ec2.TerminateInstances", "request", '"?Colour"'),
        ),
        (
            exchange("ec2", f"{TERMINATE}&InstanceId.1=i-1", terminated("<colour>red</colour>")),
            *("ec2.TerminateInstances", "answer", '"?colour"'),
        ),
        (
            exchange(
                "ec2", f"{TERMINATE}&InstanceId.1=i-1", terminated("<currentState><code>red</code></currentState>")
            ),
            *("ec2.TerminateInstances", "answer", "Invalid type"),
        ),
        (
            exchange("iam", f"{GET_ROLE}&RoleName=r", role("<Path>/</Path>")),
            *("iam.GetRole", "answer", 'Missing required parameter in Role: "RoleName"'),
        ),
        (
            exchange(
                "events", '{"Rule": "r"}', '{"Targets": [{"Id": "i", "Arn": "a", "Colour": "red"}]}', target=TARGETS
            ),
            *("events.ListTargetsByRule", "answer", '"?Colour"'),
        ),
        (
            exchange("s3", method="GET", path="/a-bucket", query="list-type=2&colour=red", answer="<Result/>"),
            *("s3.ListObjectsV2", "request", '"?colour"'),
        ),
        (
            exchange("events", "{}", json.dumps({"__type": "ColourException"}), status=400, target=TARGETS),
            *("events.ListTargetsByRule", "error", "ColourException"),
        ),
        (exchange("s3", method="HEAD", path="/a-bucket", status=418), "s3.HeadBucket", "error", "418"),
    ],
)
def test_what_the_models_forbid_is_found(wrong: Exchange, operation: str, side: str, text: str) -> None:
    found = [(each.operation, each.side, text) for each in violations(wrong) if text in each.text]
    assert found == [(operation, side, text)]
