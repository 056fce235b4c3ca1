"""The image that a name finds: the newest of those that may match."""

from __future__ import annotations

from typing import Any

from annex_bootstrap.aws import newest_image
from tests.unit.annex_bootstrap.answers import answering

ARGUMENTS = {
    "Owners": ["self", "amazon"],
    "Filters": [
        {"Name": "name", "Values": ["my-*"]},
        {"Name": "architecture", "Values": ["arm64"]},
        {"Name": "state", "Values": ["available"]},
    ],
}


def test_the_newest_image_is_taken() -> None:
    images: list[dict[str, Any]] = [
        {"ImageId": "ami-0", "CreationDate": "2025-01-01"},
        {"ImageId": "ami-1", "CreationDate": "2026-01-01"},
        {"ImageId": "ami-2"},
    ]
    with answering(ec2=[("describe_images", ARGUMENTS, {"Images": images})]) as account:
        image = newest_image(account, "my-*", ("self", "amazon"), "arm64")
    assert image is not None
    assert image["ImageId"] == "ami-1"


def test_a_name_that_matches_nothing_finds_none() -> None:
    with answering(ec2=[("describe_images", ARGUMENTS, {"Images": []})]) as account:
        assert newest_image(account, "my-*", ("self", "amazon"), "arm64") is None
