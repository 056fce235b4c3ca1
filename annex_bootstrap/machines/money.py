"""What may be spent: a sum a day or in all, and what machines use of it. Pure.

It errs on the side of more: a machine that runs counts until its lease ends, at the highest price that it may have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from annex_bootstrap.errors import UserError

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
        raise UserError(f"{text!r} is not a sum of money: give dollars such as 50/day, or 200 for all days together")
    return Budget(Decimal(found[1]), bool(found[2]))
