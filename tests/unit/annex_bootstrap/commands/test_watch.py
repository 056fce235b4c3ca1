"""``watch``: a row for each annex, the sum below several, and what it does until Ctrl-C."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from annex_bootstrap.annexes.leases import NOTHING, Lease, Leases, Machines
from annex_bootstrap.commands import watch as module
from annex_bootstrap.commands.watch import COLUMNS, Slots, Watched, sum_row
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError
from annex_bootstrap.growth.record import Record
from annex_bootstrap.machines import prices
from annex_bootstrap.machines.money import Allowance
from annex_bootstrap.pool.htcondor import Configuration
from annex_bootstrap.target import Target
from tests import json_documents

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


END = int(NOW.timestamp()) + 3600


def annex(kind: str, count: int, pending: int = 0) -> Machines:
    since = [(kind, NOW - timedelta(hours=2))] * count
    return Machines({kind: count}, 0, 0, pending, frozenset(), since)


def watched(machines: Machines, known: dict[str, Decimal], slots: dict[str, Slots] | None = None) -> Watched:
    return module._watched(Lease("first", END, {}), machines, slots, known, NOW)


def test_machines_and_dollars_of_all_annexes_are_added() -> None:
    known = {"m7i.large": Decimal("0.10"), "c7i.large": Decimal("0.05")}
    annexes = [annex("m7i.large", 3, pending=1), annex("c7i.large", 2), NOTHING]
    row = sum_row([watched(each, known) for each in annexes])
    shown = dict(zip([column.name for column in COLUMNS], row, strict=True))
    assert (shown["ANNEX"], shown["PENDING"], shown["RUNNING"]) == ("all annexes", "1", "4")
    assert (shown["$/HOUR"], shown["$ SO FAR"]) == ("0.40", "0.80")


def test_a_sum_with_an_unknown_price_is_unknown() -> None:
    known = {"m7i.large": Decimal("0.10")}
    row = sum_row([watched(each, known) for each in (annex("m7i.large", 1), annex("rare.large", 1))])
    assert row[6:8] == ["unknown", "unknown"]


def pool(monkeypatch: pytest.MonkeyPatch, answers: dict[str, tuple[int, str]], collector: str = "") -> list[list[str]]:
    """Let condor_status answer by the pool that it is asked about; return what it was asked."""
    asked: list[list[str]] = []

    def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
        asked.append(arguments)
        code, text = answers[arguments[2] if "-pool" in arguments else ""]
        return subprocess.CompletedProcess(arguments, code, text, "")

    monkeypatch.setattr(module, "run", run)
    monkeypatch.setattr(Configuration, "ask", lambda _, knob: collector if knob == "ANNEX_COLLECTOR" else "")
    return asked


def test_the_machines_and_busy_slots_of_each_annex_are_counted_in_both_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    here = "first m1 Claimed\nfirst m1 Unclaimed\nfirst m2 Claimed\nundefined m3 Owner\n"
    asked = pool(monkeypatch, {"": (0, here), "other:9618": (0, "second m4 Claimed\n")}, "other:9618")
    assert module._ask_pool() == {"first": Slots(2, 2), "undefined": Slots(1, 0), "second": Slots(1, 1)}
    assert asked == [
        ["condor_status", "-af", "AnnexName", "Machine", "State"],
        ["condor_status", "-pool", "other:9618", "-af", "AnnexName", "Machine", "State"],
    ]


def test_a_pool_that_does_not_answer_is_unknown_and_one_of_two_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = pool(monkeypatch, {"": (1, "first m1 Claimed\n")})
    assert module._ask_pool() is None
    assert asked == [["condor_status", "-af", "AnnexName", "Machine", "State"]]
    pool(monkeypatch, {"": (1, ""), "other": (0, "")}, "other")
    assert module._ask_pool() == {}


def row(machines: Machines, slots: dict[str, Slots] | None, expiration: int | None = END) -> list[str]:
    known = {"m7i.large": Decimal("0.10")}
    return module._row(module._watched(Lease("first", expiration, {}), machines, slots, known, NOW))


def test_a_row_says_what_starts_runs_has_joined_and_costs() -> None:
    running = replace(annex("m7i.large", 3, pending=1), starters=frozenset({"bob", "alice"}))
    assert row(running, {"first": Slots(2, 1)}) == ["first", "1", "2", "2", "1", "1h 00m", "0.30", "0.60", "alice, bob"]
    assert row(running, {})[3:5] == ["0", "0"]
    assert row(NOTHING, None, None) == ["first", "0", "0", "unknown", "unknown", "unknown", "0.00", "0.00", "-"]


class _Leases:
    """The leases of an account.

    Attributes:
        held: the leases.
        asked: how often machines were listed.
    """

    account = SimpleNamespace(region="us-east-1")
    profile_arns = frozenset({"arn:profile"})

    def __init__(self, *held: str) -> None:
        self.held = [Lease(name, END, {}) for name in held]
        self.asked = 0

    def list(self) -> list[Lease]:
        return self.held

    def ended(self, annex_id: str) -> Sequence[tuple[str, int, int]]:
        assert annex_id == "first"
        return []

    def machines(self) -> dict[str, Machines]:
        self.asked += 1
        return {"first": annex("m7i.large", 1)}


def poll(monkeypatch: pytest.MonkeyPatch, leases: _Leases, name: str, known: dict[str, Decimal]) -> list[list[str]]:
    def on_demand(_account: object, types: set[str]) -> dict[str, Decimal]:
        if "rare.large" in types:
            raise UserError("no prices")
        return dict.fromkeys(types, Decimal("0.25"))

    monkeypatch.setattr(prices, "on_demand", on_demand)
    pool(monkeypatch, {"": (0, "first m1 Claimed\n")})
    return module.rows_of(module._poll(leases, name, known))  # type: ignore[arg-type]  # has what it uses


def test_all_annexes_have_a_row_and_a_sum_and_one_has_no_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[str, Decimal] = {}
    rows = poll(monkeypatch, _Leases("first", "second"), "", known)
    assert [row[0] for row in rows] == ["first", "second", "all annexes"]
    assert (rows[0][3], rows[0][6], known) == ("1", "0.25", {"m7i.large": Decimal("0.25")})
    assert [row[0] for row in poll(monkeypatch, _Leases("first", "second"), "second", known)] == ["second"]


@pytest.mark.parametrize(("spent", "shown"), [("1.00", "1.25 of 200"), ("nan", "unknown")])
def test_an_annex_with_money_shows_how_much_of_it_may_be_spent(
    monkeypatch: pytest.MonkeyPatch, spent: str, shown: str
) -> None:
    now = int(time.time())
    limit = Allowance(Decimal(200), Decimal(0), now - 3600, 1, Decimal("0.25"), Decimal(0)).content() | {"Spent": spent}
    leases = _Leases("first")
    leases.held = [Lease("first", END, {"Input": json.dumps({"Money": limit})})]
    assert poll(monkeypatch, leases, "", {})[0][7] == shown


def test_where_there_is_no_annex_neither_aws_nor_the_pool_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    leases = _Leases("first")
    assert poll(monkeypatch, leases, "other", {}) == []
    assert leases.asked == 0
    assert module._none(leases, "other") == "No annex other holds a lease in us-east-1."  # type: ignore[arg-type]
    assert module._none(leases, "") == "No annex holds a lease in us-east-1."  # type: ignore[arg-type]  # as above


def test_why_jobs_wait_is_said_once_and_only_while_what_grow_decided_is_recent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "find_file", lambda _: tmp_path / "user_config")
    group = {"jobs": 3, "job": "7.0", "owner": "alice", "why": "no money is left"}
    Record.beside(tmp_path / "user_config").add("waiting", groups=[group])
    told = set[str]()
    for _ in range(2):
        module._tell_waiting(Screen(), told)
    assert capsys.readouterr().err == "annex-bootstrap: 3 jobs like 7.0 of alice: no money is left\n"
    later = time.time() + module.RECENT
    monkeypatch.setattr(time, "time", lambda: later)
    module._tell_waiting(Screen(), set())
    assert capsys.readouterr().err == ""


COUNTS = "running=0  joined=unknown  busy=unknown"
MONEY = "dollars_per_hour=0.00  dollars_so_far=0.00  started_by=-"
LINES = [
    f"annex=first  pending=1  {COUNTS}  time_left=1h 00m  {MONEY}",
    f"annex=first  pending=1  {COUNTS}  time_left=0h 59m  {MONEY}",
    f"annex=first  pending=2  {COUNTS}  time_left=1h 00m  {MONEY}",
    "annex=first  gone",
    "No annex holds a lease in us-east-1.",
]
GONE = {"pending": 2, "gone": True}


@pytest.mark.parametrize(
    ("json_wanted", "lines"),
    [(False, LINES), (True, [{"pending": 1, "gone": False}, {"pending": 2, "gone": False}, GONE])],
)
def test_it_goes_on_after_a_refusal_until_ctrl_c_and_tells_a_failure_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], json_wanted: bool, lines: list[Any]
) -> None:
    leases, pauses = _Leases("first"), list[float]()
    first = replace(watched(NOTHING, {}), pending=1)
    later = replace(first, at=NOW + timedelta(seconds=5), dollars_so_far=Decimal("0.001"))
    answers: list[Any] = [[first], UserError("AWS is away"), [later], [replace(first, pending=2)], []]

    def poll_once(*_: object) -> list[Watched]:
        answer = answers.pop(0)
        if isinstance(answer, UserError):
            raise answer
        found: list[Watched] = answer
        return found

    def find_failures(account: object, profiles: frozenset[str]) -> dict[str, dict[str, int]]:
        assert (account, profiles) == (leases.account, leases.profile_arns)
        return {"first": {"no disk": 2}}

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "_poll", poll_once)
    monkeypatch.setattr(Leases, "of_target", lambda _: leases)
    monkeypatch.setattr(module, "find_failures", find_failures)
    monkeypatch.setattr(time, "sleep", sleep)
    screen = Screen()
    screen.json, screen.command = json_wanted, "watch"
    assert module.watch(screen, Target(), "", 5.0) is None
    said = capsys.readouterr()
    assert pauses == [5.0] * 5
    if json_wanted:
        documents = [json_documents.parse(line, 0)["result"] for line in said.out.splitlines()]
        assert [{key: document[key] for key in GONE} for document in documents] == lines
    else:
        assert [re.sub(r"^\d\d:\d\d:\d\d  ", "", line) for line in said.out.splitlines()] == lines
    assert said.err.splitlines() == [
        "annex-bootstrap: 2 machines of first ended in the last hour: no disk",
        "annex-bootstrap: AWS is away",
    ]
