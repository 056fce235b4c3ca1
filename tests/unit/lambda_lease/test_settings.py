"""The function's environment."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest

from annex_contract.limits import NO_LIMITS, Limits
from lambda_lease.settings import Settings, SettingsError

ENVIRON = {
    "BUCKET_NAME": "b",
    "INSTANCE_PROFILE_ARN": "arn:aws:iam::123456789012:instance-profile/p",
    "STACK_ID": "arn:aws:cloudformation:us-east-1:123456789012:stack/s/1",
    # Set by Lambda itself.
    "AWS_LAMBDA_FUNCTION_NAME": "lease",
}


def test_the_template_needs_to_set_no_more_than_the_bucket_the_profile_and_its_id() -> None:
    profiles = frozenset({ENVIRON["INSTANCE_PROFILE_ARN"]})
    assert Settings.from_environ(ENVIRON) == Settings(
        "b", "config-", ".tar.gz", profiles, ENVIRON["STACK_ID"], "lease", end_orphans=False
    )


@pytest.mark.parametrize(("start", "more"), [("", set()), ("arn:start", {"arn:start"})])
def test_a_stack_with_an_image_has_a_second_profile(start: str, more: set[str]) -> None:
    settings = Settings.from_environ(ENVIRON | {"START_PROFILE_ARN": start})
    assert settings.profile_arns == {ENVIRON["INSTANCE_PROFILE_ARN"], *more}


def test_the_function_knows_its_own_arn() -> None:
    gov = ENVIRON | {"STACK_ID": "arn:aws-us-gov:cloudformation:us-gov-west-1:123456789012:stack/s/1"}
    assert Settings.from_environ(gov).function_arn == "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:lease"


def test_a_key_pattern_is_cut_at_its_star() -> None:
    settings = Settings.from_environ(ENVIRON | {"CONFIG_KEY_PATTERN": "pool/x-*.tgz"})
    assert (settings.key_prefix, settings.key_suffix) == ("pool/x-", ".tgz")


@pytest.mark.parametrize("pattern", ["config.tar.gz", "config-*-*.tar.gz", "**"])
def test_a_key_pattern_without_exactly_one_star_is_refused(pattern: str) -> None:
    with pytest.raises(SettingsError, match="exactly one"):
        Settings.from_environ(ENVIRON | {"CONFIG_KEY_PATTERN": pattern})


@pytest.mark.parametrize("name", sorted(ENVIRON))
def test_a_missing_variable_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_environ(ENVIRON | {name: ""})


@pytest.mark.parametrize(("value", "ends"), [("yes", True), ("no", False), ("", False), ("Yes", False)])
def test_orphans_are_ended_only_after_a_plain_yes(value: str, ends: bool) -> None:
    assert Settings.from_environ(ENVIRON | {"END_ORPHANS": value}).end_orphans is ends


@pytest.mark.parametrize(("value", "seconds"), [("", math.inf), ("1", 3600), ("9999", 9999 * 3600)])
def test_machines_run_as_many_hours_as_the_template_says(value: str, seconds: float) -> None:
    assert Settings.from_environ(ENVIRON | {"MAX_LEASE_HOURS": value}).max_seconds == seconds


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "\u0663"])
def test_what_is_no_number_of_hours_ends_nothing(value: str) -> None:
    with pytest.raises(SettingsError, match="MAX_LEASE_HOURS must be hours, but is"):
        Settings.from_environ(ENVIRON | {"MAX_LEASE_HOURS": value})


def test_limits_are_those_of_the_template_and_none_where_it_has_none() -> None:
    given = {"MaxCores": "64", "InstanceTypes": "c7i.*,m7i.*", "MaxDollarsPerHour": "2.50"}
    assert Settings.from_environ(ENVIRON | given).limits == Limits(64, ("c7i.*", "m7i.*"), Decimal("2.50"))
    assert Settings.from_environ(ENVIRON | dict.fromkeys(given, "")).limits == NO_LIMITS


@pytest.mark.parametrize("name", ["MaxCores", "MaxDollarsPerHour"])
def test_a_limit_that_cannot_be_read_ends_nothing(name: str) -> None:
    with pytest.raises(SettingsError, match="a limit cannot be read"):
        Settings.from_environ(ENVIRON | {name: "many"})
