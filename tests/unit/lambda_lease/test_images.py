"""What a sweep deletes of images: what the stack made and no longer owns, and builders that nobody waits for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from lambda_lease.clients import Clients
from lambda_lease.images import Leftovers, delete_leftovers
from tests.unit.recorded import Recorded, RefusedError

STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/pool/1"
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp()
DENIED = RefusedError("UnauthorizedOperation", status=403)
OURS = [
    {"Name": "tag:annex-bootstrap:stack", "Values": [STACK]},
    {"Name": "tag-key", "Values": ["annex-bootstrap:image"]},
]


def tags(name: str | None, stack: str = STACK) -> list[dict[str, str]]:
    marks = {"annex-bootstrap:stack": stack} | ({} if name is None else {"annex-bootstrap:image": name})
    return [{"Key": key, "Value": value} for key, value in marks.items()]


def builder(machine_id: str, hour: int, second: int = 0, state: str = "running", **tagged: Any) -> dict[str, Any]:
    return {
        "InstanceId": machine_id,
        "LaunchTime": datetime(2026, 1, 1, hour, 0, second, tzinfo=UTC),
        "State": {"Name": state},
        "Tags": tags(tagged.get("name", "pool-image-a"), tagged.get("stack", STACK)),
    }


def account(**changed: Any) -> Recorded:
    """Return an account whose stack owns the image pool-image-a; another one and foreign ones are listed too."""
    answers: dict[str, Any] = {
        "DescribeInstances": {"Reservations": []},
        "DescribeImages": {
            "Images": [
                {"ImageId": "ami-owned", "Tags": tags("pool-image-a")},
                {"ImageId": "ami-old", "Tags": tags("pool-image-b")},
                {"ImageId": "ami-other", "Tags": tags("pool-image-b", f"{STACK}0")},
                {"ImageId": "ami-untold", "Tags": tags(None)},
            ]
        },
        "DescribeSnapshots": {
            "Snapshots": [
                {"SnapshotId": "snap-owned", "Tags": tags("pool-image-a")},
                {"SnapshotId": "snap-old", "Tags": tags("pool-image-b")},
                {"SnapshotId": "snap-other", "Tags": tags("pool-image-b", f"{STACK}0")},
            ]
        },
        "DescribeStacks": stack("UPDATE_COMPLETE"),
        "DescribeStackResource": resource("pool-image-a"),
        "TerminateInstances": {},
        "DeregisterImage": {},
        "DeleteSnapshot": {},
    }
    return Recorded(**answers | changed)


def stack(status: str) -> dict[str, Any]:
    made = datetime(2026, 1, 1, tzinfo=UTC)
    return {"Stacks": [{"StackName": "pool", "StackStatus": status, "CreationTime": made}]}


def resource(physical_id: str, status: str = "CREATE_COMPLETE") -> dict[str, Any]:
    return {
        "StackResourceDetail": {
            "LogicalResourceId": "MachineImage",
            "PhysicalResourceId": physical_id,
            "ResourceType": "Custom::AnnexImage",
            "ResourceStatus": status,
            "LastUpdatedTimestamp": datetime(2026, 1, 1, tzinfo=UTC),
        }
    }


def sweep(aws: Recorded) -> Leftovers:
    clients = Clients()
    clients.ec2, clients.cloudformation = aws.client("ec2"), aws.client("cloudformation")
    return delete_leftovers(clients, STACK, NOW)


def test_the_image_that_the_stack_owns_stays_with_its_snapshots_and_what_is_not_the_stacks_own() -> None:
    aws = account()
    assert sweep(aws) == Leftovers([], ["ami-old"], ["snap-old"], [])
    assert aws.calls == [
        (
            "DescribeInstances",
            {
                "Filters": [
                    *OURS,
                    {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
                ]
            },
        ),
        ("DescribeImages", {"Owners": ["self"], "Filters": OURS}),
        ("DescribeSnapshots", {"OwnerIds": ["self"], "Filters": OURS}),
        ("DescribeStacks", {"StackName": STACK}),
        ("DescribeStackResource", {"StackName": STACK, "LogicalResourceId": "MachineImage"}),
        ("DeregisterImage", {"ImageId": "ami-old"}),
        ("DeleteSnapshot", {"SnapshotId": "snap-old"}),
    ]


@pytest.mark.parametrize(
    "answer", [resource("pool-image-a", "DELETE_COMPLETE"), RefusedError("ValidationError", "does not exist")]
)
def test_a_stack_without_an_image_owns_none(answer: Any) -> None:
    found = sweep(account(DescribeStackResource=answer))
    assert (found.images, found.snapshots) == (["ami-owned", "ami-old"], ["snap-owned", "snap-old"])


@pytest.mark.parametrize("status", ["UPDATE_IN_PROGRESS", "CREATE_IN_PROGRESS", "DELETE_FAILED"])
def test_while_cloudformation_is_not_done_with_the_stack_no_image_is_deleted(status: str) -> None:
    aws = account(DescribeStacks=stack(status))
    assert sweep(aws) == Leftovers()
    assert aws.names[-1] == "DescribeStacks"


def test_where_nothing_is_found_nobody_asks_who_owns_it() -> None:
    aws = account(DescribeImages={"Images": []}, DescribeSnapshots={"Snapshots": []})
    assert sweep(aws) == Leftovers()
    assert aws.names[-1] == "DescribeSnapshots"


def test_only_builders_of_more_than_an_hour_are_ended() -> None:
    held = [
        builder("i-old", 10),
        builder("i-hour", 11),
        builder("i-second", 10, 59),
        builder("i-gone", 10, state="terminated"),
        builder("i-other", 10, stack=f"{STACK}0"),
        builder("i-machine", 10, name=None),
    ]
    aws = account(DescribeInstances={"Reservations": [{"Instances": held}]})
    assert sweep(aws).builders == ["i-old", "i-second"]
    assert aws.of("TerminateInstances") == [{"InstanceIds": ["i-old"]}, {"InstanceIds": ["i-second"]}]


@pytest.mark.parametrize(
    "code", ["InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "InvalidSnapshot.InUse", "InvalidSnapshot.NotFound"]
)
def test_what_is_on_its_way_is_neither_deleted_nor_a_failure(code: str) -> None:
    refused = RefusedError(code)
    assert sweep(account(DeregisterImage=refused, DeleteSnapshot=refused)) == Leftovers()


def test_what_somebody_else_deleted_since_it_was_listed_is_no_failure() -> None:
    """It has no tags any more, by which the function may delete it."""
    listed = account().answers
    held = {"Reservations": [{"Instances": [builder("i-old", 10)]}]}
    aws = account(
        DescribeInstances=[held, {"Reservations": []}],
        DescribeImages=[listed["DescribeImages"], {"Images": []}],
        DescribeSnapshots=[listed["DescribeSnapshots"], {"Snapshots": []}],
        **dict.fromkeys(("TerminateInstances", "DeregisterImage", "DeleteSnapshot"), DENIED),
    )
    assert sweep(aws) == Leftovers()
    assert aws.names[-4:] == ["DeregisterImage", "DescribeImages", "DeleteSnapshot", "DescribeSnapshots"]


def test_what_is_denied_and_still_there_is_a_failure_of_its_own() -> None:
    held = {"Reservations": [{"Instances": [builder("i-old", 10)]}]}
    refused = dict.fromkeys(("TerminateInstances", "DeregisterImage", "DeleteSnapshot"), DENIED)
    found = sweep(account(DescribeInstances=held, **refused))
    assert [str(failure).partition(":")[0] for failure in found.failures] == [
        "delete i-old",
        "delete ami-old",
        "delete snap-old",
    ]


def test_what_cannot_be_deleted_is_named_and_the_rest_goes_on() -> None:
    found = sweep(account(DeregisterImage=RefusedError("UnauthorizedOperation")))
    assert found.snapshots == ["snap-old"]
    assert list(map(str, found.failures)) == ["delete ami-old: UnauthorizedOperation: because"]


@pytest.mark.parametrize("call", ["DescribeImages", "DescribeStacks", "DescribeStackResource"])
def test_a_listing_that_is_refused_is_a_failure_and_deletes_nothing(call: str) -> None:
    aws = account(**{call: RefusedError("AccessDenied")})
    found = sweep(aws)
    assert [failure.step for failure in found.failures] == ["look for leftovers of images"]
    assert "DeregisterImage" not in aws.names
