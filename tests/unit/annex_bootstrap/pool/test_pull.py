from __future__ import annotations

from pathlib import Path

from annex_bootstrap.pool.pull import image_warnings


def test_an_image_is_reported_for_the_regions_in_which_it_does_not_start(tmp_path: Path) -> None:
    config = tmp_path / "user_config"
    config.write_text("ANNEX_DEFAULT_ODI_IMAGE_ID = ami-1\nus_west_2.ANNEX_DEFAULT_ODI_IMAGE_ID = ami-2\n")
    (warning,) = image_warnings(config, ["us-east-1", "us-west-2", "eu-south-1"])
    assert "names the image ami-1, which does not start in us-east-1" in warning
    assert "us_east_1.ANNEX_DEFAULT_ODI_IMAGE_ID = ami-1" in warning
