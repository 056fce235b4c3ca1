"""The documentation's site in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs_gen.site import build_site
from tests.browser.conftest import OpenPage


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the built site."""
    directory = tmp_path_factory.mktemp("site")
    build_site(directory)
    return directory


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1300])
@pytest.mark.parametrize("name", ["index", "guide", "cli", "from-condor-annex-setup"])
def test_a_page_of_the_site_is_whole_and_axe_finds_no_problem(
    built: Path, open_page: OpenPage, axe: str, name: str, width: int, scheme: str
) -> None:
    page = open_page()
    page.resize(width, 900)
    page.prefer(scheme)
    page.open((built / f"{name}.html").as_uri())
    assert page.take_problems() == []
    assert page.run("[...document.images].every((image) => image.naturalWidth > 0)")
    assert page.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.run(axe)
    done = page.run("axe.run().then(({ violations, passes }) => ({ passes: passes.length, violations }))")
    assert done["passes"] > 10
    assert [(violation["id"], [node["html"] for node in violation["nodes"]]) for violation in done["violations"]] == []
