from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from annex_bootstrap.errors import UserError
from annex_bootstrap.times import clock, left, parse_duration


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock is two hours ahead."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "EET-2")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("zone")
def test_a_time_is_that_of_the_machines_own_zone() -> None:
    assert clock(1_800_000_000) == "2027-01-15 10:00 EET"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "ending"),
        (0, "0h 00m"),
        (59, "0h 00m"),
        (60, "0h 01m"),
        (3_600, "1h 00m"),
        (48 * 3600 - 1, "47h 59m"),
        (48 * 3600, "2d 0h"),
        (49 * 3600 + 60, "2d 1h"),
    ],
)
def test_what_is_left_has_minutes_for_two_days_and_then_days(seconds: int, text: str) -> None:
    assert left(seconds) == text


@pytest.mark.parametrize(("text", "seconds"), [("2h", 7200), ("90m", 5400), ("1d12h", 129_600), ("1d1h1m", 90_060)])
def test_durations_are_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "2", "h", "-2h", "2h ", "1.5h", "0m", "2h1d", "two hours", "9" * 5000 + "h", "²h"]
)
def test_an_invalid_duration_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["87601h", "3651d", "999999999d"])
def test_a_duration_of_more_than_ten_years_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="longer than ten years"):
        parse_duration(text)


def test_a_duration_may_last_ten_years_and_no_minute_longer() -> None:
    assert parse_duration("3650d") == 315_360_000
    with pytest.raises(UserError, match="'3650d1m' is longer than ten years: give a duration such as 2h, 90m or 1d12h"):
        parse_duration("3650d1m")
    assert parse_duration("1m") == 60
