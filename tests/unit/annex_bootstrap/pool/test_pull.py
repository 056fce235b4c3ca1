from __future__ import annotations

from pathlib import Path

from annex_bootstrap.pool.blocks import BEGIN, END
from annex_bootstrap.pool.pull import image_warnings


def test_an_image_is_reported_for_the_regions_in_which_it_does_not_start(tmp_path: Path) -> None:
    config = tmp_path / "user_config"
    config.write_text("ANNEX_DEFAULT_ODI_IMAGE_ID = ami-1\nus_west_2.ANNEX_DEFAULT_ODI_IMAGE_ID = ami-2\n")
    (warning,) = image_warnings(config, ["us-east-1", "us-west-2", "eu-south-1"])
    assert "names the image ami-1, which does not start in us-east-1" in warning
    assert "us_east_1.ANNEX_DEFAULT_ODI_IMAGE_ID = ami-1" in warning


def test_an_image_that_the_stacks_own_goes_before_is_reported_too(tmp_path: Path) -> None:
    block = f"{BEGIN}\nus_east_1.ANNEX_DEFAULT_ODI_IMAGE_ID = ami-stack\n{END}\n"
    config = tmp_path / "user_config"
    config.write_text(f"us_east_1.ANNEX_DEFAULT_ODI_IMAGE_ID = ami-1\n{block}")
    (warning,) = image_warnings(config, ["us-east-1"])
    assert "names the image ami-1, which does not start in us-east-1" in warning
    config.write_text(f"{block}us_east_1.ANNEX_DEFAULT_ODI_IMAGE_ID = ami-1\n")
    assert image_warnings(config, ["us-east-1"]) == []
