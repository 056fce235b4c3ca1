"""The limits of a stack, as its parameters give them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_contract.limits import NO_LIMITS, Limits, UnreadableLimitsError


def test_limits_are_read_from_the_parameters_and_an_empty_one_is_none() -> None:
    values = {"MaxCores": "64", "InstanceTypes": "c7i.*,m?i.large", "MaxDollarsPerHour": "2.50", "VpcId": "vpc-1"}
    assert Limits.read(values) == Limits(64, ("c7i.*", "m?i.large"), Decimal("2.50"))
    assert Limits.read({}) == Limits.read(dict.fromkeys(values, "")) == NO_LIMITS


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(UnreadableLimitsError, match="'many'"):
        Limits.read({"MaxCores": "many"})
    with pytest.raises(UnreadableLimitsError, match="'a lot'"):
        Limits.read({"MaxDollarsPerHour": "a lot"})


@pytest.mark.parametrize(
    ("pattern", "allowed", "refused"),
    [
        ("c7i.*", ["c7i.large", "c7i.metal-24xl"], ["c7i", "c7id.large", "m7i.large", "C7i.large"]),
        ("m?i.large", ["m6i.large", "m7i.large"], ["m7i.xlarge", "m10i.large", "mi.large"]),
        ("c7*.large", ["c7i.large", "c7i-flex.large"], ["c7i.xlarge", "c6i.large"]),
    ],
)
def test_patterns_match_as_those_of_iam(pattern: str, allowed: list[str], refused: list[str]) -> None:
    limits = Limits(types=("t3.nano", pattern))
    assert all(map(limits.allows, [*allowed, "t3.nano"]))
    assert not any(map(limits.allows, refused))


@given(st.text())
def test_without_patterns_every_type_is_allowed(name: str) -> None:
    assert NO_LIMITS.allows(name)
