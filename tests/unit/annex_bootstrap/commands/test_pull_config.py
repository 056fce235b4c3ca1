from __future__ import annotations

from pathlib import Path

from annex_bootstrap.commands.pull_config import beaten_images


def test_an_image_that_starts_in_one_region_only_is_named_for_the_others(tmp_path: Path) -> None:
    config = tmp_path / "user_config"
    config.write_text("ANNEX_DEFAULT_ODI_IMAGE_ID = ami-1\nus_west_2.ANNEX_DEFAULT_ODI_IMAGE_ID = ami-2\n")
    assert beaten_images(config, ["us-east-1", "us-west-2", "eu-south-1"]) == {"us-east-1": "ami-1"}
