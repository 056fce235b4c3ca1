"""The lease function's own rules."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from annex_contract.lease import Lease
from lambda_lease.lease import Expire, Wait, decide, is_tarball, tarball_prefix
from tests.unit.lambda_lease.fake_aws import SETTINGS


@given(st.integers(), st.integers(min_value=1, max_value=10**12))
def test_a_lease_is_over_only_past_its_end(end: int, seconds: int) -> None:
    lease = Lease("test", "", end)
    assert decide(lease, None, end) == Wait(lease, 0)
    assert decide(lease, None, end - seconds) == Wait(lease, seconds)
    assert decide(lease, None, end + seconds) == Expire(lease, seconds)


def test_a_fraction_of_a_second_past_its_end_a_lease_is_over() -> None:
    lease = Lease("test", "", 1000)
    assert decide(lease, None, 1000.5) == Expire(lease, 0)


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100))
def test_the_target_wins_over_the_event(event_end: int, target_end: int, now: int) -> None:
    target = Lease("test", "", target_end)
    assert decide(Lease("test", "b", event_end), target, now) == decide(target, None, now)


def test_a_short_annex_id_fits_exactly_one_key() -> None:
    assert tarball_prefix("test", SETTINGS) == "config-test.tar.gz"
    assert is_tarball("config-test.tar.gz", "test", SETTINGS)
    assert not is_tarball("config-test2.tar.gz", "test", SETTINGS)
    assert not is_tarball("config-test.tar.gz.tar.gz", "test", SETTINGS)


def test_an_annex_id_of_27_characters_fits_every_longer_name() -> None:
    annex_id = "a" * 27
    assert tarball_prefix(annex_id, SETTINGS) == f"config-{annex_id}"
    assert is_tarball(f"config-{annex_id}.tar.gz", annex_id, SETTINGS)
    assert is_tarball(f"config-{annex_id}-and-more.tar.gz", annex_id, SETTINGS)
    assert not is_tarball(f"config-{annex_id}-and-more.zip", annex_id, SETTINGS)
    assert not is_tarball(f"config-{annex_id[:-1]}.tar.gz", annex_id, SETTINGS)


@given(st.text(alphabet="ab_.", min_size=1, max_size=35), st.text(alphabet="ab_.", min_size=1, max_size=35))
def test_a_tarball_belongs_to_an_annex_exactly_when_its_name_cut_to_27_characters_is_the_id(
    mine: str, other: str
) -> None:
    key = f"config-{other}.tar.gz"
    assert is_tarball(key, mine[:27], SETTINGS) == (other[:27] == mine[:27])
    if is_tarball(key, mine[:27], SETTINGS):
        assert key.startswith(tarball_prefix(mine[:27], SETTINGS))
