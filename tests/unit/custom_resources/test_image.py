"""The image: what it is made of and called, how long it is waited for, and what is left of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from custom_resources import image, image_parts
from custom_resources.image_parts import name_of
from custom_resources.lifecycle import NotYetError, Request, ResourceError
from tests.unit.custom_resources.conftest import OWN, STACK, request
from tests.unit.recorded import Recorded, RefusedError

NAME = "pool-image-0123456789ab"
PROPERTIES = {"BaseImage": "ami-base", "CondorVersion": "23.9.6"}
MADE = {"ImageId": "ami-made", "State": "available", "RootDeviceName": "/dev/xvda", "ImdsSupport": "v2.0"}
TAGS = [
    OWN,
    {"Key": "annex-bootstrap:image", "Value": NAME},
    {"Key": "Name", "Value": NAME},
    {"Key": "annex-bootstrap:base", "Value": "ami-base"},
    {"Key": "annex-bootstrap:htcondor", "Value": "23.9.6"},
]
MADE_FOR = [
    {"Name": "tag:annex-bootstrap:stack", "Values": [STACK]},
    {"Name": "tag:annex-bootstrap:image", "Values": [NAME]},
]
MACHINE: dict[str, Any] = {
    "InstanceId": "i-builder",
    "ImageId": "ami-base",
    "SecurityGroups": [{"GroupName": NAME, "GroupId": "sg-closed"}],
}
BUILDER = {"Reservations": [{"Instances": [MACHINE]}]}


def images(*described: dict[str, Any]) -> dict[str, Any]:
    return {"Images": list(described)}


def answers(**changed: Any) -> dict[str, Any]:
    """Return the answers of an account in which the image of a stopped builder is ready after a while."""
    return {
        "DescribeImages": [
            images(),
            images(MADE | {"State": "pending", "ImdsSupport": ""}),
            images({key: value for key, value in MADE.items() if key != "ImdsSupport"}),
            images(MADE),
        ],
        "DescribeInstances": BUILDER,
        "CreateImage": {"ImageId": "ami-made"},
        "ModifyImageAttribute": {},
        "TerminateInstances": {},
    } | changed


def test_an_image_is_made_of_the_stopped_builder_tagged_and_takes_imdsv2_only(aws: Callable[..., Recorded]) -> None:
    made = aws(**answers())
    assert image.put(request(NAME, PROPERTIES)) == {"ImageId": "ami-made", "RootDeviceName": "/dev/xvda"}
    assert made.calls == [
        ("DescribeImages", {"Owners": ["self"], "Filters": MADE_FOR}),
        (
            "DescribeInstances",
            {"Filters": [*MADE_FOR, {"Name": "instance-state-name", "Values": ["stopped"]}]},
        ),
        (
            "CreateImage",
            {
                "InstanceId": "i-builder",
                "Name": NAME,
                "Description": "annex-bootstrap: HTCondor for the machines of annexes",
                "TagSpecifications": [
                    {"ResourceType": "image", "Tags": TAGS},
                    {"ResourceType": "snapshot", "Tags": TAGS},
                ],
            },
        ),
        ("DescribeImages", {"ImageIds": ["ami-made"]}),
        ("DescribeImages", {"ImageIds": ["ami-made"]}),
        ("ModifyImageAttribute", {"ImageId": "ami-made", "ImdsSupport": {"Value": "v2.0"}}),
        ("DescribeImages", {"ImageIds": ["ami-made"]}),
        (
            "DescribeInstances",
            {
                "Filters": [
                    *MADE_FOR,
                    {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
                ]
            },
        ),
        ("TerminateInstances", {"InstanceIds": ["i-builder"]}),
    ]


OF_BUILDER = MADE | {"SourceInstanceId": "i-builder"}


def put_out(*image_ids: str) -> dict[str, Any]:
    """Return the stack, as CloudFormation describes it, with an image among its outputs, or none."""
    outputs = [{"OutputKey": "ImageId", "OutputValue": image_id} for image_id in image_ids]
    stack = {"StackName": "s", "CreationTime": datetime.now(UTC), "StackStatus": "UPDATE_IN_PROGRESS"}
    return {"Stacks": [stack | ({"Outputs": outputs} if outputs else {})]}


def test_an_image_that_an_interrupted_creation_left_is_not_made_twice(aws: Callable[..., Recorded]) -> None:
    made = aws(DescribeImages=images(OF_BUILDER), DescribeInstances=BUILDER, TerminateInstances={})
    image.put(request(NAME, PROPERTIES))
    assert made.names == [
        *("DescribeImages", "DescribeInstances", "DescribeImages", "DescribeInstances", "TerminateInstances")
    ]


def test_an_image_that_the_stack_puts_out_is_its_own_after_its_builder_is_forgotten(
    aws: Callable[..., Recorded],
) -> None:
    made = aws(DescribeImages=images(MADE), DescribeInstances={"Reservations": []}, DescribeStacks=put_out("ami-made"))
    assert image.put(request(NAME, PROPERTIES))["ImageId"] == "ami-made"
    assert made.of("DescribeStacks") == [{"StackName": STACK}]
    assert "CreateImage" not in made.names


@pytest.mark.parametrize("source", [{}, {"SourceInstanceId": "i-elsewhere"}])
@pytest.mark.parametrize("stack", [put_out("ami-before"), put_out()])
def test_an_image_that_was_made_elsewhere_is_not_adopted(
    aws: Callable[..., Recorded], source: dict[str, str], stack: dict[str, Any]
) -> None:
    planted = MADE | {"ImageId": "ami-planted"} | source
    later = [images(OF_BUILDER), images(OF_BUILDER)]
    made = aws(**answers(DescribeImages=[images(planted), *later], DescribeStacks=stack))
    assert image.put(request(NAME, PROPERTIES))["ImageId"] == "ami-made"
    assert made.of("CreateImage")[0]["InstanceId"] == "i-builder"


def test_of_two_images_the_builders_counts(aws: Callable[..., Recorded]) -> None:
    planted = MADE | {"ImageId": "ami-planted", "SourceInstanceId": "i-elsewhere"}
    made = aws(**answers(DescribeImages=[images(planted, OF_BUILDER), images(MADE), images(MADE)]))
    assert image.put(request(NAME, PROPERTIES))["ImageId"] == "ami-made"
    assert "CreateImage" not in made.names


@pytest.mark.parametrize(
    ("state", "reason", "text"),
    [
        ("failed", {"StateReason": {"Message": "no snapshot"}}, "the image ami-made is failed: no snapshot"),
        ("error", {}, "the image ami-made is error: AWS gives no reason"),
    ],
)
def test_an_image_that_fails_says_so_at_once(
    aws: Callable[..., Recorded], state: str, reason: dict[str, Any], text: str
) -> None:
    made = aws(**answers(DescribeImages=[images(), images(MADE | {"State": state} | reason)]))
    with pytest.raises(ResourceError, match=f"^{text}$"):
        image.put(request(NAME, PROPERTIES))
    assert "TerminateInstances" not in made.names


def test_an_image_that_takes_too_long_is_given_up_in_time_to_clean_up(aws: Callable[..., Recorded]) -> None:
    made = aws(**answers(DescribeImages=images(OF_BUILDER | {"State": "pending"})))
    with pytest.raises(ResourceError, match="the image ami-made is still pending"):
        image.put(Request(STACK, "MachineImage", "r", NAME, PROPERTIES, 130.0))
    # Of the stack's images first; then at second 0, 1, 3, 7, 15, and every 15 until 30 before the deadline.
    assert len(made.of("DescribeImages")) == 1 + 10


def test_an_image_that_does_not_keep_imdsv2_is_not_used(aws: Callable[..., Recorded]) -> None:
    made = aws(**answers(DescribeImages=images(OF_BUILDER | {"ImdsSupport": ""})))
    with pytest.raises(ResourceError, match=r"does not keep the setting imdsSupport=v2\.0"):
        image.put(request(NAME, PROPERTIES))
    assert "TerminateInstances" not in made.names


def test_without_a_builder_there_is_no_image(aws: Callable[..., Recorded]) -> None:
    made = aws(**answers(DescribeInstances={"Reservations": []}))
    with pytest.raises(ResourceError, match="the builder is gone"):
        image.put(request(NAME, PROPERTIES))
    assert "CreateImage" not in made.names


@pytest.mark.parametrize(
    ("machine", "why"),
    [
        ({"IamInstanceProfile": {"Arn": "arn:aws:iam::123456789012:instance-profile/b"}}, "the builder is gone"),
        ({"SecurityGroups": [{"GroupName": "b", "GroupId": "sg-b"}]}, "the builder is gone"),
        ({"ImageId": "ami-b"}, "the builder is gone"),
    ],
)
def test_a_machine_that_only_has_the_tags_becomes_no_image(
    aws: Callable[..., Recorded], machine: dict[str, Any], why: str
) -> None:
    made = aws(**answers(DescribeInstances={"Reservations": [{"Instances": [MACHINE | machine]}]}))
    with pytest.raises(ResourceError, match=why):
        image.put(request(NAME, PROPERTIES))
    assert {"CreateImage", "TerminateInstances"}.isdisjoint(made.names)


def test_of_two_builders_none_becomes_an_image(aws: Callable[..., Recorded]) -> None:
    two = {"Reservations": [{"Instances": [MACHINE, MACHINE | {"InstanceId": "i-twin"}]}]}
    made = aws(**answers(DescribeInstances=two))
    with pytest.raises(ResourceError, match="these look like it: i-builder, i-twin"):
        image.put(request(NAME, PROPERTIES))
    assert "CreateImage" not in made.names


def test_an_image_is_deleted_with_all_its_snapshots(aws: Callable[..., Recorded]) -> None:
    made = aws(
        DescribeImages=images(MADE),
        DeregisterImage={},
        DescribeSnapshots=[
            {"Snapshots": [{"SnapshotId": "snap-1"}], "NextToken": "more"},
            {"Snapshots": [{"SnapshotId": "snap-2"}]},
        ],
        DeleteSnapshot={},
    )
    assert image.delete(request(NAME, PROPERTIES)) == ""
    assert made.calls == [
        ("DescribeImages", {"Owners": ["self"], "Filters": MADE_FOR}),
        ("DeregisterImage", {"ImageId": "ami-made"}),
        ("DescribeSnapshots", {"OwnerIds": ["self"], "Filters": MADE_FOR}),
        ("DescribeSnapshots", {"OwnerIds": ["self"], "Filters": MADE_FOR, "NextToken": "more"}),
        ("DeleteSnapshot", {"SnapshotId": "snap-1"}),
        ("DeleteSnapshot", {"SnapshotId": "snap-2"}),
    ]


def test_snapshots_whose_image_is_gone_are_deleted(aws: Callable[..., Recorded]) -> None:
    made = aws(DescribeImages=images(), DescribeSnapshots={"Snapshots": [{"SnapshotId": "snap-1"}]}, DeleteSnapshot={})
    image.delete(request(NAME, PROPERTIES))
    assert made.of("DeleteSnapshot") == [{"SnapshotId": "snap-1"}]


def test_an_image_that_is_listed_but_deregistered_is_gone(aws: Callable[..., Recorded]) -> None:
    refused = RefusedError("InvalidAMIID.Unavailable")
    aws(DescribeImages=images(MADE), DeregisterImage=refused, DescribeSnapshots={"Snapshots": []})
    assert image.delete(request(NAME, PROPERTIES)) == ""


def test_an_image_that_is_still_being_made_is_waited_for(aws: Callable[..., Recorded]) -> None:
    aws(DescribeImages=images(MADE | {"State": "pending"}), DeregisterImage=RefusedError("InvalidAMIID.Unavailable"))
    with pytest.raises(NotYetError, match="the image ami-made is still being made"):
        image.delete(request(NAME, PROPERTIES))


def test_any_other_refusal_of_the_deletion_is_final(aws: Callable[..., Recorded]) -> None:
    aws(DescribeImages=images(MADE), DeregisterImage=RefusedError("UnauthorizedOperation"))
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        image.delete(request(NAME, PROPERTIES))


def test_everything_that_an_image_holds_is_in_its_name() -> None:
    properties = {"ImageName": "pool"} | dict.fromkeys(image_parts.CONTENT, "a")
    names = {name_of(properties | {name: "b"}) for name in image_parts.CONTENT} | {name_of(properties)}
    assert len(names) == 10
    assert name_of(properties) == "pool-16f63b4cf7af"
    # Without a proxy it is the name that it had before there were proxies.
    assert name_of(properties | {"HttpProxy": "", "NoProxy": ""}) == "pool-16f63b4cf7af"
    proxied = {
        name_of(properties | {"HttpProxy": proxy, "NoProxy": hosts}) for proxy in ("", "b") for hosts in ("", "c")
    }
    assert len(proxied) == 4
