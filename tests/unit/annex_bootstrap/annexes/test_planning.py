"""The image that machines may start from: the stack's own, and no other."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from annex_bootstrap.annexes import planning
from annex_bootstrap.annexes.planning import MachineImage, machine_image
from annex_bootstrap.errors import UserError
from annex_bootstrap.stack.read import Stack
from annex_contract.image import CONDOR_TAG, IMAGE_TAG
from annex_contract.stack import STACK_TAG, Output
from tests.unit.annex_bootstrap.answers import answering

STACK_ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/pool/1"
IMAGE_ID = "ami-0123456789abcdef0"
STACK = Stack(
    STACK_ID, "pool", "CREATE_COMPLETE", "", {}, {Output.IMAGE_ID: IMAGE_ID}, datetime(2026, 1, 1, tzinfo=UTC)
)
DISKS = {"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8}}, {"VirtualName": "ephemeral0"}]}
OWN = {STACK_TAG: STACK_ID, IMAGE_TAG: "1", CONDOR_TAG: "23.9.6"}


def call(*images: dict[str, Any]) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    arguments = {"Filters": [{"Name": "image-id", "Values": [IMAGE_ID]}]}
    return [("describe_images", arguments, {"Images": list(images)})]


def image(tags: dict[str, str], state: str = "available") -> dict[str, Any]:
    tag_list = [{"Key": key, "Value": value} for key, value in tags.items()]
    return {"ImageId": IMAGE_ID, "State": state, "Architecture": "arm64", "Tags": tag_list, **DISKS}


def test_machines_start_from_the_image_that_the_stack_made() -> None:
    with answering(ec2=call(image(OWN))) as account:
        assert machine_image(account, STACK) == MachineImage(IMAGE_ID, "arm64", "23.9.6", 8)


@pytest.mark.parametrize(
    "tags", [{}, OWN | {STACK_TAG: f"{STACK_ID}-other"}, {STACK_TAG: STACK_ID, CONDOR_TAG: "23.9.6"}]
)
def test_an_image_that_the_stack_did_not_make_is_refused(tags: dict[str, str]) -> None:
    with (
        answering(ec2=call(image(tags))) as account,
        pytest.raises(UserError, match=f"the image {IMAGE_ID} was not made by the stack pool"),
    ):
        machine_image(account, STACK)


@pytest.mark.parametrize("images", [[], [image(OWN, "pending")], [image(OWN, "deregistered")]])
def test_an_image_that_is_gone_is_named_with_the_way_to_another(images: list[dict[str, Any]]) -> None:
    with answering(ec2=call(*images)) as account, pytest.raises(UserError, match="run annex-bootstrap image rebuild"):
        machine_image(account, STACK)


@pytest.mark.parametrize(
    ("outputs", "problem"),
    [
        ({}, "the stack pool in us-east-1 makes no image of its own"),
        ({Output.LAUNCH_TEMPLATE_ID: "lt-1"}, "the stack pool in us-east-1 is of an earlier version"),
        ({Output.LAUNCH_TEMPLATE_ID: "lt-1", Output.START_ROLE_ID: "AROA1"}, ""),
    ],
)
def test_machines_start_only_from_a_stack_whose_machines_read_what_is_their_own(
    monkeypatch: pytest.MonkeyPatch, outputs: dict[str, str], problem: str
) -> None:
    stack = replace(STACK, outputs=outputs)
    with answering() as account:
        monkeypatch.setattr(planning, "find_deployed", lambda *asked: {(account, "pool"): stack}[asked])
        if problem:
            with pytest.raises(UserError, match=problem):
                planning.find_stack(account, "pool")
        else:
            assert planning.find_stack(account, "pool") == stack
