"""What may be spent: sums a day and in all."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_bootstrap.errors import UserError
from annex_bootstrap.machines.money import DAY, Allowance, Budget, Charge, lasts_until, parse_budget

HOUR = 3600


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("50/day", Budget(Decimal(50), daily=True)),
        ("200", Budget(Decimal(200), daily=False)),
        ("$0.50/day", Budget(Decimal("0.50"), daily=True)),
    ],
)
def test_a_budget_is_a_sum_a_day_or_in_all(text: str, budget: Budget) -> None:
    assert parse_budget(text) == budget


@pytest.mark.parametrize("text", ["", "0", "0.00/day", "-5", "5/week", "1e9", "5 / day", "50/day/day", "0.123", "٣"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UserError, match="give dollars such as 50/day"):
        parse_budget(text)


def test_a_sum_in_all_counts_whatever_was_spent() -> None:
    budget, spent = Budget(Decimal(10), daily=False), [Charge(Decimal(1), 0, 4 * HOUR)]
    assert budget.spent(spent, 0) == 4
    assert budget.affordable(spent, Charge(Decimal(1), DAY, DAY + 2 * HOUR)) == 3
    # Not a float, which no Decimal can be added to.
    assert repr(budget.spent([], 0)) == "Decimal('0')"


def test_a_sum_a_day_counts_every_day_that_a_lease_reaches_into() -> None:
    budget = Budget(Decimal(10), daily=True)
    evening = DAY - 2 * HOUR
    # Two hours of today and four of tomorrow: tomorrow has room for two.
    assert budget.affordable([], Charge(Decimal(1), evening, DAY + 4 * HOUR)) == 2
    # Yesterday's money is yesterday's.
    assert budget.affordable([Charge(Decimal(10), 0, HOUR)], Charge(Decimal(1), DAY, DAY + HOUR)) == 10
    assert budget.spent([Charge(Decimal(1), evening, DAY + 4 * HOUR)], evening) == 2


def test_a_machine_costs_a_minute_at_least() -> None:
    assert Budget(Decimal(1), daily=False).spent([Charge(Decimal(60), 0, 1)], 0) == 1


charges = st.builds(
    lambda price, begin, hours: Charge(Decimal(price) / 100, begin, begin + hours * HOUR),
    st.integers(1, 2000),
    st.integers(0, 5 * DAY),
    st.integers(0, 72),
)


@given(st.integers(1, 500), st.booleans(), st.lists(charges, max_size=5), charges)
def test_what_can_be_afforded_exceeds_no_day_and_one_more_would(
    dollars: int, daily: bool, known: list[Charge], new: Charge
) -> None:
    budget = Budget(Decimal(dollars), daily)
    count = budget.affordable(known, new)

    def spent(times: int) -> Decimal:
        every = [*known, Charge(new.per_hour * times, new.begin, new.end)]
        return max(
            budget.spent(every, second)
            for second in range(new.begin // DAY * DAY, max(new.end, new.begin + 60) + 1, DAY)
        )

    # The last digit of a division is rounded.
    if count:
        assert spent(count) <= dollars + Decimal("1e-20")
    assert spent(count + 1) >= dollars - Decimal("1e-20")


HELD = Allowance(Decimal(200), Decimal("1.50"), 1000, 3, Decimal("0.20"), Decimal("0.01"))


def test_an_allowance_is_read_as_it_was_written() -> None:
    assert HELD.content() == {
        "Dollars": "200",
        "Spent": "1.50",
        "Since": "1000",
        "Machines": "3",
        "Most": "0.20",
        "Extras": "0.01",
    }
    assert Allowance.parse(HELD.content()) == HELD


@pytest.mark.parametrize(
    "changed",
    [{"Spent": "nan"}, {"Dollars": "inf"}, {"Most": "-1"}, {"Since": "soon"}, {"Machines": None}, {"Extras": "1$"}],
)
def test_an_allowance_that_is_no_sum_is_not_read(changed: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"Conversion|finite|invalid literal|int\(\)"):
        Allowance.parse(HELD.content() | changed)
    with pytest.raises(ValueError, match="Dollars"):
        Allowance.parse({})


def test_machines_that_run_ended_or_are_forgotten_count() -> None:
    now = 1000 + 2 * HOUR
    # Two hours each of one that runs and of one that nobody sees, one hour of one that ended.
    assert HELD.spent_by(now, [Decimal("0.10")], [(Decimal("0.10"), 1000 + HOUR)]) == Decimal("1.50") + Decimal("0.70")
    # One that ended before was counted then.
    assert HELD.spent_by(now, [Decimal("0.10")] * 3, [(Decimal("9"), 1000)]) == Decimal("1.50") + Decimal("0.60")
    # One more than was known costs more.
    assert HELD.spent_by(now, [Decimal("0.10")] * 4, []) == Decimal("1.50") + Decimal("0.80")


def test_what_is_left_lasts_until_the_lease_that_ends_late_has_ended() -> None:
    assert lasts_until(Decimal(10), Decimal("2.5"), 1000) == 1000 + 4 * HOUR - 360
    assert lasts_until(Decimal(-1), Decimal(1), 1000) == 1000 - HOUR - 360
    # A part of a second is not there.
    assert lasts_until(Decimal("0.0005"), Decimal(1), 1000) == 1000 + 1 - 360


@given(
    st.lists(st.tuples(st.integers(0, 2 * HOUR), st.integers(0, 3 * HOUR), st.booleans()), max_size=6),
    st.integers(0, 4 * HOUR),
)
def test_no_history_of_machines_costs_more_than_is_counted(lives: list[tuple[int, int, bool]], now: int) -> None:
    price = Decimal("0.36")
    held = Allowance(Decimal(200), Decimal(0), 0, len(lives), price, Decimal(0))
    ends = [begin + length for begin, length, _ in lives]
    true = sum(
        (Charge(price, begin, min(end, now)).within(0, now) for (begin, _, _), end in zip(lives, ends, strict=True)),
        Decimal(0),
    )
    shown = [(price, end) for (_, _, seen), end in zip(lives, ends, strict=True) if seen and 0 < end <= now]
    running = [price] * sum(end > now for end in ends)
    assert held.spent_by(now, running, shown) * 3600 >= true
