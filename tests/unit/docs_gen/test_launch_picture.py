"""The picture of the launch page."""

from __future__ import annotations

import pytest

from tests.browser import picture


@pytest.mark.parametrize("scheme", picture.PICTURES)
def test_the_picture_was_taken_of_the_page_as_it_is(scheme: str) -> None:
    taken = picture.read_text(picture.PICTURES[scheme].read_bytes())
    assert taken == picture.digest(picture.page()), "run python -m tests.browser.picture"


def test_the_digest_follows_what_is_seen_and_nothing_else() -> None:
    html = picture.page()
    assert picture.digest(html.replace("Launch Stack", "Launch")) != picture.digest(html)
    assert picture.digest(html.replace("Configure HTCondor", "Configure")) == picture.digest(html)
