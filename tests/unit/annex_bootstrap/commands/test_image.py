"""``image``: what it says of the image, and the update that rebuilds it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from annex_bootstrap.commands import image as module
from annex_bootstrap.commands.image import ImageStatus, rebuild_image, show_image
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError
from annex_bootstrap.stack.image import StackImage
from annex_bootstrap.stack.read import Stack
from annex_bootstrap.target import Target
from tests.unit.annex_bootstrap.commands.conftest import a_stack, described
from tests.unit.recorded import Recorded

MADE = datetime.now(UTC) - timedelta(days=31, hours=1)
OWN = StackImage("ami-0a1b", True, "available", MADE, "ami-base", "23.9.6", "ami-newer")


@pytest.fixture
def show(
    screen: Screen, targeted: Callable[..., Target], monkeypatch: pytest.MonkeyPatch
) -> Callable[[StackImage | None], ImageStatus]:
    def show(image: StackImage | None) -> ImageStatus:
        def read_image(account: Any, stack: Stack) -> StackImage | None:
            assert (account.region, stack) == ("eu-west-1", a_stack())
            return image

        monkeypatch.setattr(module, "read_image", read_image)
        return show_image(screen, targeted(Recorded(DescribeStacks=described(a_stack())), "eu-west-1"))

    return show


def test_the_stacks_image_is_shown_with_its_age_and_a_newer_base(
    show: Callable[[StackImage | None], ImageStatus], capsys: pytest.CaptureFixture[str]
) -> None:
    found = show(OWN)
    assert found == ImageStatus("eu-west-1", OWN)
    assert found.ok
    assert capsys.readouterr().out.splitlines() == [
        "Image     ami-0a1b, available",
        "Made      by the stack, 31 days ago",
        "HTCondor  23.9.6",
        "Base      ami-base",
        "Debian has a newer image, ami-newer.",
        "Next:",
        "  annex-bootstrap image rebuild --region eu-west-1  # rebuild it; takes about ten minutes",
    ]


def test_a_users_image_and_one_that_is_gone_are_said_to_be_that(
    show: Callable[[StackImage | None], ImageStatus], capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = StackImage("ami-mine", False, "pending", MADE, "", "", "")
    found = show(theirs)
    assert found == ImageStatus("eu-west-1", theirs)
    assert not found.ok
    assert capsys.readouterr().out.splitlines() == [
        "Image     ami-mine, pending",
        "Made      by you; the stack never touches it",
    ]
    gone = StackImage("ami-0a1b", True, "", None, "", "", "")
    found = show(gone)
    assert (found, found.ok) == (ImageStatus("eu-west-1", gone), False)
    lines = capsys.readouterr().out.splitlines()
    assert (lines[0], lines[2:]) == (
        "Image     ami-0a1b, which is gone",
        ["HTCondor  unknown", "Base      unknown"],
    )


def test_a_stack_without_an_image_is_told_how_to_make_one(
    show: Callable[[StackImage | None], ImageStatus], capsys: pytest.CaptureFixture[str]
) -> None:
    assert show(None) == ImageStatus("eu-west-1", None)
    assert (
        "  annex-bootstrap deploy --param Image=yes --region eu-west-1  # let the stack make one"
        in capsys.readouterr().out
    )


def test_a_rebuild_is_an_update_with_a_new_revision(
    screen: Screen, targeted: Callable[..., Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []

    def deploy(_screen: Screen, target: Target, parameters: dict[str, str], *, yes: bool) -> str:
        asked.append((target.regions, parameters, yes))
        return "deployed"

    images = {"us-east-1": "yes", "eu-west-1": "yes"}
    monkeypatch.setattr(module, "deploy", deploy)

    def find_deployed(account: Any, name: str) -> Stack:
        assert name == "annex-bootstrap"
        return a_stack(parameters={"Image": images[account.region]})

    monkeypatch.setattr(module, "find_deployed", find_deployed)
    target = targeted(Recorded(), "us-east-1", "eu-west-1")
    assert rebuild_image(screen, target, yes=True) == "deployed"  # type: ignore[comparison-overlap]  # as made up
    ((regions, parameters, yes),) = asked
    revision = datetime.strptime(parameters.pop("ImageRevision"), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - revision) < timedelta(minutes=1)
    assert (regions, parameters, yes) == (("us-east-1", "eu-west-1"), {}, True)
    images["eu-west-1"] = "ami-mine"
    with pytest.raises(UserError, match="the stack annex-bootstrap in eu-west-1 does not make its image"):
        rebuild_image(screen, target)
    assert len(asked) == 1, "nothing is updated"
