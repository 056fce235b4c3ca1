"""HTCondor's macros are called as HTCondor calls them."""

from __future__ import annotations

from annex_contract.knobs import IMAGE_KNOB, REGIONS_WITH_IMAGE, Macro, methods_of


def test_every_macro_has_its_name_in_htcondor() -> None:
    assert {macro.name: macro.value for macro in Macro if macro.name != macro.value} == {
        "SCHEDD_COLLECTOR_HOST": "SCHEDD.COLLECTOR_HOST"
    }
    assert methods_of("DAEMON") == "SEC_DAEMON_AUTHENTICATION_METHODS"


def test_the_regions_are_those_that_htcondors_own_defaults_have_an_image_for() -> None:
    assert IMAGE_KNOB == "ANNEX_DEFAULT_ODI_IMAGE_ID"
    # As condor_config_val of 23.9.6 and 25.14.1 has them, with the region as its local name.
    assert sorted(REGIONS_WITH_IMAGE) == [
        *("ap-northeast-1", "ap-northeast-2", "ap-south-1", "ca-central-1", "eu-central-1", "eu-north-1", "eu-west-1"),
        *("eu-west-2", "eu-west-3", "sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2"),
    ]
