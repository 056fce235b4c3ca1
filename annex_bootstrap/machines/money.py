"""What may be spent: a sum a day or in all, and what machines use of it. Pure.

It errs on the side of more: a machine that runs counts until its lease ends, at the highest price that it may have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from annex_bootstrap.errors import CommandLineError
from annex_bootstrap.machines.prices import LATE

DAY = 86400
"""Seconds. Days begin at midnight UTC, as on AWS's bills."""

FOREVER = 1 << 62
"""Seconds since the epoch, after every time."""

SHORTEST = 60
"""Seconds that AWS charges for a machine at least: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instances-and-amis.html"""

_BUDGET = re.compile(r"\$?(\d{1,9}(?:\.\d{1,2})?)(/day)?", re.ASCII)


@dataclass(frozen=True)
class Charge:
    """What something costs over some time.

    Attributes:
        per_hour: dollars an hour, at most.
        begin: seconds since the epoch.
        end: the same; for what still runs, when it ends at the latest.
    """

    per_hour: Decimal
    begin: int
    end: int

    def within(self, begin: int, end: int) -> Decimal:
        """Return what that part of it costs that lies between two times: dollars times 3600, which is exact."""
        seconds = min(max(self.end, self.begin + SHORTEST), end) - max(self.begin, begin)
        return self.per_hour * max(seconds, 0)


@dataclass(frozen=True)
class Budget:
    """A sum that is never exceeded.

    Attributes:
        dollars: how much.
        daily: whether it is for each day, else for all days together.
    """

    dollars: Decimal
    daily: bool

    def __str__(self) -> str:
        """Return it as people write it."""
        return f"${self.dollars}{'/day' if self.daily else ''}"

    def affordable(self, charges: Iterable[Charge], new: Charge) -> int:
        """Return how many times one more charge can be afforded.

        Args:
            charges: what has been spent, and what runs.
            new: what is to be added; it must cost something.
        """
        known = list(charges)
        counts = []
        for begin, end in self._periods(new):
            each = new.within(begin, end)
            if each > 0:
                left = self.dollars * 3600 - sum((charge.within(begin, end) for charge in known), Decimal(0))
                counts.append(int(left // each) if left > 0 else 0)
        return min(counts, default=0)

    def spent(self, charges: Iterable[Charge], now: int) -> Decimal:
        """Return the dollars that charges use of it: of today, or of all time until they end."""
        begin, end = (now // DAY * DAY, (now // DAY + 1) * DAY) if self.daily else (0, FOREVER)
        return sum((charge.within(begin, end) for charge in charges), Decimal(0)) / 3600

    def _periods(self, charge: Charge) -> Iterator[tuple[int, int]]:
        if not self.daily:
            yield 0, FOREVER
            return
        for day in range(charge.begin // DAY, max(charge.end, charge.begin + SHORTEST) // DAY + 1):
            yield day * DAY, (day + 1) * DAY


def parse_budget(text: str) -> Budget:
    """Read a budget such as ``50/day``, or ``200`` for all days together.

    Raises:
        UserError: it is something else, or nothing.
    """
    found = _BUDGET.fullmatch(text)
    if not found or not Decimal(found[1]):
        raise CommandLineError(
            f"{text!r} is not a sum of money: give dollars such as 50/day, or 200 for all days together"
        )
    return Budget(Decimal(found[1]), bool(found[2]))


@dataclass(frozen=True)
class Allowance:
    """A sum for one annex, and what may have been spent of it; its lease keeps it.

    AWS forgets a machine about an hour after its end, so the lease has how many there were.

    Attributes:
        dollars: the sum.
        spent: dollars at most, until ``since``.
        since: seconds since the epoch.
        machines: how many ran then, or were about to start.
        most: dollars an hour of the dearest of them.
        extras: dollars an hour that each costs besides its type's price.
    """

    dollars: Decimal
    spent: Decimal
    since: int
    machines: int
    most: Decimal
    extras: Decimal

    @classmethod
    def parse(cls, content: Mapping[str, str]) -> Allowance:
        """Read what ``content`` returns.

        Raises:
            ValueError: it is something else.
        """
        try:
            dollars, spent, most, extras = (Decimal(content[key]) for key in ("Dollars", "Spent", "Most", "Extras"))
            allowance = cls(dollars, spent, int(content["Since"]), int(content["Machines"]), most, extras)
        except (ArithmeticError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(str(error)) from error
        numbers = (dollars, spent, most, extras, Decimal(allowance.since), Decimal(allowance.machines))
        if not all(number.is_finite() and number >= 0 for number in numbers):
            raise ValueError("a number is not finite, or below zero")
        return allowance

    def content(self) -> dict[str, str]:
        """Return it as the lease has it."""
        return {
            "Dollars": f"{self.dollars:f}",
            "Spent": f"{self.spent:f}",
            "Since": str(self.since),
            "Machines": str(self.machines),
            "Most": f"{self.most:f}",
            "Extras": f"{self.extras:f}",
        }

    def spent_by(self, now: int, running: Sequence[Decimal], ended: Sequence[tuple[Decimal, int]]) -> Decimal:
        """Return dollars that may have been spent by now.

        Args:
            now: seconds since the epoch.
            running: dollars an hour of each machine that runs; each counts from ``since``, for one that was stopped
                and started again has another launch time.
            ended: dollars an hour of each one that ended, and when.
        """
        lately = [(price, end) for price, end in ended if end > self.since]
        unseen = max(self.machines - len(running) - len(lately), 0)
        charges = [
            *(Charge(price, self.since, now) for price in running),
            *(Charge(price, self.since, end) for price, end in lately),
            *[Charge(self.most, self.since, now)] * unseen,
        ]
        return self.spent + sum((charge.within(self.since, FOREVER) for charge in charges), Decimal(0)) / 3600


def lasts_until(dollars: Decimal, per_hour: Decimal, now: int) -> int:
    """Return when a lease has to end, in seconds since the epoch, so that no more is spent until machines end.

    Args:
        dollars: what is left.
        per_hour: dollars at most, of all machines; more than nothing.
        now: seconds since the epoch.
    """
    return now + min(int(dollars * 3600 / per_hour), FOREVER) - int(LATE * 3600)
