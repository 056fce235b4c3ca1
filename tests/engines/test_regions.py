"""The template in every region that has a launch link, as cfn-lint knows it; `make lint` has one region only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from annex_bootstrap.launch.launch_links import REGIONS
from annex_contract.stack import TEMPLATE_NAME

BUILT = Path(__file__).parents[2] / "dist" / TEMPLATE_NAME


def objections(template: Path, region: str) -> str:
    """Return what cfn-lint has against a template in a region."""
    linter = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run(
        [str(linter), "--regions", region, "--template", str(template)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 or done.stdout, done.stderr
    return done.stdout


@pytest.mark.parametrize("region", [region.name for region in REGIONS])
def test_cfn_lint_has_no_objection_in_any_region(region: str) -> None:
    assert objections(BUILT, region) == ""


def test_cfn_lint_objects_to_a_property_that_no_schema_has(tmp_path: Path) -> None:
    broken = tmp_path / TEMPLATE_NAME
    broken.write_text(BUILT.read_text().replace('"RetentionInDays"', '"RetentionInHours"'))
    assert "RetentionInHours" in objections(broken, REGIONS[-1].name)
