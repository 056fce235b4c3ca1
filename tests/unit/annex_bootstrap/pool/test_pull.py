from __future__ import annotations

from pathlib import Path

from annex_bootstrap.pool.blocks import BEGIN, END, render
from annex_bootstrap.pool.pull import image_warnings, knob_warnings
from annex_contract.stack import Output


def test_an_image_is_reported_for_the_regions_in_which_it_does_not_start(tmp_path: Path) -> None:
    config = tmp_path / "user_config"
    config.write_text("ANNEX_DEFAULT_ODI_IMAGE_ID = ami-1\nus_west_2.ANNEX_DEFAULT_ODI_IMAGE_ID = ami-2\n")
    (warning,) = image_warnings(config, ["us-east-1", "us-west-2", "eu-south-1"])
    assert "names the image ami-1, which does not start in us-east-1" in warning
    assert "us_east_1.ANNEX_DEFAULT_ODI_IMAGE_ID = ami-1" in warning


def test_an_image_that_the_stacks_own_overrides_is_reported_too(tmp_path: Path) -> None:
    block = f"{BEGIN}\nus_east_1.ANNEX_DEFAULT_ODI_IMAGE_ID = ami-stack\n{END}\n"
    config = tmp_path / "user_config"
    config.write_text(f"us_east_1.ANNEX_DEFAULT_ODI_IMAGE_ID = ami-1\n{block}")
    (warning,) = image_warnings(config, ["us-east-1"])
    assert "names the image ami-1, which does not start in us-east-1" in warning
    config.write_text(f"{block}us_east_1.ANNEX_DEFAULT_ODI_IMAGE_ID = ami-1\n")
    assert image_warnings(config, ["us-east-1"]) == []


def test_lines_of_condor_annex_setup_that_override_the_stacks_block_are_named(tmp_path: Path) -> None:
    block = render("annex-bootstrap", "us-east-1", {str(output): f"made-up-{output}" for output in Output})
    theirs = "us_east_1.ANNEX_DEFAULT_S3_BUCKET = htcondorannex-old\nus_east_1.ANNEX_DEFAULT_ODI_KEY_NAME = mine\n"
    config = tmp_path / "user_config"
    config.write_text(f"{theirs}{block}ANNEX_DEFAULT_ODI_SECURITY_GROUP_IDS = sg-old\n")
    (warning,) = knob_warnings(config, ["us-east-1", "eu-west-1"])
    assert warning.endswith(
        "delete us_east_1.ANNEX_DEFAULT_S3_BUCKET, ANNEX_DEFAULT_ODI_SECURITY_GROUP_IDS, "
        "us_east_1.ANNEX_DEFAULT_ODI_KEY_NAME"
    )


def test_lines_that_do_not_matter_are_not_named(tmp_path: Path) -> None:
    config = tmp_path / "user_config"
    outputs = {str(output): f"made-up-{output}" for output in Output if output is not Output.KEY_PAIR_NAME}
    theirs = "us_east_1.ANNEX_DEFAULT_ODI_KEY_NAME = mine\nANNEX_DEFAULT_S3_BUCKET = old\n"
    config.write_text(theirs + render("annex-bootstrap", "us-east-1", outputs))
    assert knob_warnings(config, ["us-east-1"]) == []
    config.write_text(f"{config.read_text()}us_east_1.ANNEX_DEFAULT_ODI_INSTANCE_TYPE = c7i.large\n")
    assert knob_warnings(config, ["us-east-1"]) == []
