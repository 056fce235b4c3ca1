"""Which image of the operating system a stack's own is made from, which images are refused, and what is read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from annex_bootstrap.errors import UserError
from annex_bootstrap.stack.image import Base, StackImage, check_images, choose_base, read_image
from annex_contract.operating_system import SYSTEM
from tests.unit.annex_bootstrap.commands.conftest import a_stack
from tests.unit.recorded import Recorded, RefusedError

OWN = {"Image": "yes", "BaseImage": "", "ImageArchitecture": "amd64"}


def image(image_id: str, **more: Any) -> dict[str, Any]:
    made = {"ImageId": image_id, "OwnerId": SYSTEM.owner, "State": "available", "Architecture": "x86_64"}
    return made | {"CreationDate": "2026-01-01T00:00:00.000Z"} | more


def aws(*images: dict[str, Any], newest: Any = "ami-newest") -> Recorded:
    """Return an account that sees these images, and in which the system names its newest."""

    def describe(arguments: dict[str, Any]) -> dict[str, Any]:
        ((wanted,),) = (each["Values"] for each in arguments["Filters"])
        return {"Images": [each for each in images if each["ImageId"] == wanted]}

    parameter = newest if isinstance(newest, Exception) else {"Parameter": {"Value": newest}}
    return Recorded(DescribeImages=describe, GetParameter=parameter)


NEWEST = image("ami-newest")


def test_the_newest_base_is_taken_where_there_was_none_or_an_older_one_of_the_systems() -> None:
    account = aws(NEWEST, image("ami-older"))
    assert choose_base(account.account(), OWN) == Base("ami-newest", "")
    assert choose_base(account.account(), OWN | {"BaseImage": "ami-older"}) == Base("ami-newest", "")
    assert choose_base(account.account(), OWN | {"BaseImage": "ami-newest"}) == Base("ami-newest", "")
    assert account.of("GetParameter")[0] == {"Name": f"{SYSTEM.base_parameters}amd64"}
    arm = OWN | {"ImageArchitecture": "arm64"}
    choose_base(account.account(), arm)
    assert account.of("GetParameter")[-1] == {"Name": f"{SYSTEM.base_parameters}arm64"}


def test_a_base_of_somebody_else_was_chosen_and_stays_and_without_an_image_there_is_none() -> None:
    account = aws(NEWEST, image("ami-mine", OwnerId="123456789012"))
    assert choose_base(account.account(), OWN | {"BaseImage": "ami-mine"}) == Base()
    for other in ("no", "ami-own"):
        assert choose_base(account.account(), OWN | {"Image": other}) == Base()
    assert account.of("GetParameter") == []


def test_a_base_that_is_gone_is_replaced_and_that_is_said() -> None:
    note = f"its base image ami-gone cannot be seen any more: uses {SYSTEM.name}'s newest, ami-newest"
    assert choose_base(aws(NEWEST).account(), OWN | {"BaseImage": "ami-gone"}) == Base("ami-newest", note)


def test_a_base_that_the_account_may_not_see_is_refused_before_anything_is_made() -> None:
    with pytest.raises(UserError, match=rf"image ami-newest cannot be seen in us-east-1, .*account {SYSTEM.owner}"):
        choose_base(aws().account(), OWN)


def test_where_none_is_published_what_to_do_is_said() -> None:
    missing = RefusedError("ParameterNotFound")
    with pytest.raises(UserError, match=r"publishes no image in us-east-1: add --param BaseImage=ami-"):
        choose_base(aws(newest=missing).account(), OWN | {"BaseImage": "ami-x"})
    with pytest.raises(UserError, match="AccessDenied"):
        choose_base(aws(newest=RefusedError("AccessDeniedException")).account(), OWN | {"BaseImage": "ami-x"})


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ([], "there is no image ami-1 in us-east-1"),
        ([image("ami-1", State="pending")], "the image ami-1 is pending: wait"),
        ([image("ami-1", Architecture="arm64")], "is for arm64, and ImageArchitecture is amd64"),
    ],
)
@pytest.mark.parametrize("name", ["Image", "BaseImage"])
def test_an_image_that_cannot_be_used_is_refused(name: str, found: list[dict[str, Any]], text: str) -> None:
    with pytest.raises(UserError, match=f"^{name}: .*{text}"):
        check_images(aws(*found).account(), {name: "ami-1"}, "amd64")


def test_an_image_that_a_stack_made_may_be_used_and_nothing_is_built_on_it() -> None:
    made = image("ami-1", Tags=[{"Key": "annex-bootstrap:image", "Value": "pool"}])
    check_images(aws(made).account(), {"Image": "ami-1"}, "amd64")
    with pytest.raises(UserError, match=r"^BaseImage: a stack made the image ami-1.*give --param Image=ami-1"):
        check_images(aws(made).account(), {"BaseImage": "ami-1"}, "amd64")


def test_words_and_nothing_are_no_images_to_check() -> None:
    for given in ({}, {"Image": "yes"}, {"Image": "no", "BaseImage": ""}):
        account = aws()
        check_images(account.account(), given, "amd64")
        assert account.calls == []


def test_the_image_of_a_stack_is_read_with_what_it_was_made_of() -> None:
    tags = [
        {"Key": "annex-bootstrap:base", "Value": "ami-base"},
        {"Key": "annex-bootstrap:htcondor", "Value": "23.9.6"},
    ]
    found = read_image(aws(image("ami-0a1b", Tags=tags)).account(), a_stack())
    made = datetime(2026, 1, 1, tzinfo=UTC)
    assert found == StackImage("ami-0a1b", True, "available", made, "ami-base", "23.9.6", "ami-newest")
    assert (found.newer_base, found.days(datetime(2026, 1, 11, tzinfo=UTC))) == ("ami-newest", 10)


def test_an_image_that_is_gone_or_the_users_own_has_no_base() -> None:
    gone = read_image(aws().account(), a_stack())
    assert gone == StackImage("ami-0a1b", True, "", None, "", "", "ami-newest")
    assert (gone.newer_base, gone.days(datetime.now(UTC))) == ("", 0)
    account = aws(image("ami-0a1b"))
    mine = read_image(account.account(), a_stack(parameters={"Image": "ami-0a1b"}))
    assert mine == StackImage("ami-0a1b", False, "available", datetime(2026, 1, 1, tzinfo=UTC), "", "", "")
    assert account.of("GetParameter") == []


def test_a_base_is_newer_only_where_it_is_another_one_and_the_stack_made_the_image() -> None:
    made = datetime(2026, 1, 1, tzinfo=UTC)
    for own, base, newest, newer in (
        (True, "ami-a", "ami-b", "ami-b"),
        (True, "ami-a", "ami-a", ""),
        (True, "", "ami-b", ""),
        (False, "ami-a", "ami-b", ""),
    ):
        assert StackImage("ami-1", own, "available", made, base, "", newest).newer_base == newer
