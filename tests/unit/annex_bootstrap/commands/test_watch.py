"""The sum that ``watch`` shows below several annexes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from annex_bootstrap.annexes.leases import NOTHING, Machines
from annex_bootstrap.commands.watch import COLUMNS, sum_row

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def annex(kind: str, count: int, pending: int = 0) -> Machines:
    since = [(kind, NOW - timedelta(hours=2))] * count
    return Machines({kind: count}, 0, 0, pending, frozenset(), since)


def test_machines_and_dollars_of_all_annexes_are_added() -> None:
    known = {"m7i.large": Decimal("0.10"), "c7i.large": Decimal("0.05")}
    row = sum_row([annex("m7i.large", 3, pending=1), annex("c7i.large", 2), NOTHING], known, NOW)
    shown = dict(zip([column.name for column in COLUMNS], row, strict=True))
    assert (shown["ANNEX"], shown["PENDING"], shown["RUNNING"]) == ("all annexes", "1", "4")
    assert (shown["$/HOUR"], shown["$ SO FAR"]) == ("0.40", "0.80")


def test_a_sum_with_an_unknown_price_is_unknown() -> None:
    row = sum_row([annex("m7i.large", 1), annex("rare.large", 1)], {"m7i.large": Decimal("0.10")}, NOW)
    assert row[6:8] == ["unknown", "unknown"]
