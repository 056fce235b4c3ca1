"""``costs``: what is asked for, and what becomes of the answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from annex_bootstrap.aws import Account
from annex_bootstrap.commands import costs as module
from annex_bootstrap.commands.costs import Costs, costs
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError
from annex_bootstrap.growth import queue
from annex_bootstrap.growth.cloud import Instance, Place
from annex_bootstrap.growth.costs import By, Cost
from annex_bootstrap.growth.record import Record
from annex_bootstrap.machines.instance_types import InstanceType
from annex_bootstrap.stack.read import Stack
from annex_bootstrap.target import Target
from tests.unit.annex_bootstrap.commands.conftest import OUTPUTS, a_stack
from tests.unit.recorded import Recorded

NOW, HOUR = 1_800_000_000, 3600
EXTRAS = Decimal("0.01")
PROFILES = frozenset(
    {
        OUTPUTS["InstanceConfigurationProfile"],
        OUTPUTS["StartInstanceProfile"],
    }
)


class Steps:
    """What the command reads, instead of reading it.

    Attributes:
        asked: what it asked for, in order.
        refused: what is refused, with the words of the refusal.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.refused: dict[str, str] = {}
        self.ads: list[dict[str, Any]] = []
        self.version: Any = (25, 0, 0)

    def answer(self, what: str, *arguments: Any) -> None:
        self.asked.append((what, *arguments))
        if what in self.refused:
            raise UserError(self.refused[what])

    def read_place(self, account: Account, name: str) -> Place:
        self.answer(f"place {account.region}", name)
        return Place(account, a_stack(), None)

    def note_seen(
        self, _: Record, account: Account, profiles: frozenset[str], by: str, price: Callable[[Instance], Any]
    ) -> list[Instance]:
        self.answer("machines", account.region, by, profiles)
        seen = Instance("i-new", "a", account.region, "m7i.large", spot=False, launched=NOW, runs=True)
        assert price(seen) == Decimal("0.11")
        return []

    def on_demand(self, account: Account, kinds: Sequence[str]) -> dict[str, Decimal]:
        self.answer("price", account.region, *kinds)
        return {"m7i.large": Decimal("0.10")}

    def describe_types(self, account: Account, kinds: Sequence[str]) -> list[InstanceType]:
        self.answer("sizes", account.region, *kinds)
        return [InstanceType("m7i.large", 2, 8192)]

    def spot_prices(self, account: Account, kinds: Sequence[str]) -> dict[str, Decimal]:
        self.answer("spot", account.region, *kinds)
        return {"m7i.large": Decimal("0.03")}

    def read_ads(self, arguments: list[str]) -> list[dict[str, Any]]:
        self.answer("jobs", *arguments)
        return self.ads


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    made = Steps()

    def find_deployed(_: Account, name: str) -> Stack:
        assert name == "annex-bootstrap"
        return a_stack()

    monkeypatch.setattr("time.time", lambda: NOW)
    monkeypatch.setattr(module, "find_deployed", find_deployed)
    monkeypatch.setattr(module, "version", lambda: made.version)
    monkeypatch.setattr(Place, "extras", EXTRAS)
    for name in ("read_place", "note_seen", "on_demand", "describe_types", "spot_prices"):
        monkeypatch.setattr(module, name, getattr(made, name))
    monkeypatch.setattr(queue, "read_ads", made.read_ads)
    return made


@pytest.fixture
def record(home: Path) -> Record:
    """The record, with a machine on demand and a spot machine that AWS took back, of two hours each."""
    made = Record.beside(home / "user_config")
    for name, owner, spot, most in (("i-0a", "alice", False, "0.20"), ("i-0b", "bob", True, None)):
        made.add(
            "machine", id=name, annex="a", owner=owner, region="us-east-1", type="m7i.large", spot=spot, request="r",
            launched=NOW - 3 * HOUR, most=most,
        )  # fmt: skip
        reason = "Server.SpotInstanceTermination" if spot else "Client.UserInitiatedShutdown"
        made.add("ended", id=name, ended=NOW - HOUR, reason=reason, watched=True)
    return made


Run = Callable[..., Costs]


@pytest.fixture
def run(steps: Steps, record: Record, screen: Screen, targeted: Callable[..., Target]) -> Run:
    assert (steps.asked, list(record.machines())) == ([], ["i-0a", "i-0b"])
    return lambda *regions, **more: costs(screen, targeted(Recorded(), *regions), **more)


ALICE = Cost("alice", 1, 2.0, 4.0, 1.0, 0.0, 3.0, Decimal("0.40"), Decimal("0.40"))
BOB = Cost("bob", 1, 2.0, 4.0, 0.0, 4.0, 0.0, Decimal("0.08"), Decimal("0.22"))


def test_each_owner_pays_for_machines_by_their_prices_of_which_jobs_used_a_part(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    steps.ads = [
        {"LastRemoteHost": "slot1@i-0a", "JobStatus": 4, "RequestCpus": 1}
        | {"JobCurrentStartDate": NOW - 3 * HOUR, "CompletionDate": NOW - 2 * HOUR}
    ]
    done = run()
    total = Cost("all", 2, 4.0, 8.0, 1.0, 4.0, 3.0, Decimal("0.48"), Decimal("0.62"))
    since = datetime.fromtimestamp(NOW - 30 * 86400, UTC)
    assert done == Costs(since, By.OWNER, (ALICE, BOB), total, 0, ())
    assert steps.asked == [
        ("place us-east-1", "annex-bootstrap"),
        ("machines", "us-east-1", "costs", PROFILES),
        ("price", "us-east-1", "m7i.large"),
        ("sizes", "us-east-1", "m7i.large"),
        ("spot", "us-east-1", "m7i.large"),
        (
            *("jobs", "condor_history", "-json", "-attributes"),
            "Owner,LastRemoteHost,JobStatus,JobCurrentStartDate,CompletionDate,RequestCpus,CpusProvisioned",
            "-constraint",
            f'(JobStatus == 4) && (CompletionDate >= {NOW - 30 * 86400}) && regexp("i-[0-9a-f]+", LastRemoteHost)',
        ),
    ]
    shown = capsys.readouterr()
    assert [line.split() for line in shown.out.splitlines()[:4]] == [
        ["OWNER", "MACHINES", "HOURS", "CORE", "HOURS", "JOBS", "SPOT", "IDLE", "$", "$", "AT", "MOST"],
        ["alice", "1", "2.0", "4.0", "1.0", "0.0", "3.0", "0.40", "0.40"],
        ["bob", "1", "2.0", "4.0", "0.0", "4.0", "0.0", "0.08", "0.22"],
        ["all", "2", "4.0", "8.0", "1.0", "4.0", "3.0", "0.48", "0.62"],
    ]
    assert shown.out.splitlines()[4].startswith("An estimate since 2026-12-16 08:00 UTC: spot machines at today's")
    assert shown.err == ""


def test_only_what_is_asked_for_counts(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(by="annex", since="2h")
    assert [(cost.name, cost.machines, cost.machine_hours) for cost in done.rows] == [("a", 2, 2.0)]
    assert done.since == datetime.fromtimestamp(NOW - 2 * HOUR, UTC)
    # One row is its own sum.
    assert [line.split()[:3] for line in capsys.readouterr().out.splitlines()[:3]] == [
        ["ANNEX", "MACHINES", "HOURS"],
        ["a", "2", "2.0"],
        ["An", "estimate", "since"],
    ]
    assert run(since="1h").rows == ()
    assert capsys.readouterr().out == "No machine is known since 2027-01-15.\n"


def test_a_machine_whose_end_nobody_saw_is_counted_as_such(
    record: Record, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    record.add(
        "machine", id="i-0c", annex="a", owner="bob", region="us-east-1", type="m7i.large", spot=False, request="r",
        launched=NOW - 3 * HOUR, most="0.20",
    )  # fmt: skip
    record.add("ended", id="i-0c", ended=NOW - HOUR, reason="", watched=False)
    assert run().unseen_machines == 1
    assert " 1 of the machines ended unseen, and count until their leases' ends. AWS's" in capsys.readouterr().out
    # It ended when that begins.
    assert run(since="1h").unseen_machines == 0


@pytest.mark.parametrize(
    ("refused", "problem", "bob"),
    [
        ("sizes", "core hours in us-east-1 are not known: no", (None, None, Decimal("0.08"))),
        ("spot", "spot machines in us-east-1 count at the price on demand: no", (4.0, 0.0, Decimal("0.22"))),
        ("jobs", "what jobs used is not known: no", (4.0, None, Decimal("0.08"))),
    ],
)
def test_what_is_refused_is_said_and_the_rest_is_counted(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str], refused: str, problem: str, bob: tuple[Any, ...]
) -> None:
    steps.refused = {refused: "no"}
    done = run()
    (found,) = (cost for cost in done.rows if cost.name == "bob")
    assert (found.core_hours, found.job_core_hours, found.dollars) == bob
    assert done.problems == (problem,)
    assert capsys.readouterr().err == f"annex-bootstrap: {problem}\n"


def test_a_region_that_cannot_be_read_is_counted_from_the_record_and_without_a_price(steps: Steps, run: Run) -> None:
    steps.refused = {"place us-east-1": "no stack"}
    done = run("us-east-1", "eu-west-1")
    assert done.problems == ("us-east-1 is counted from the record only: no stack",)
    assert [(cost.name, cost.core_hours, cost.dollars) for cost in done.rows] == [
        ("alice", None, Decimal("0.40")),
        ("bob", None, None),
    ]
    assert [asked[:2] for asked in steps.asked if asked[0] in ("sizes", "spot", "price")] == [("price", "eu-west-1")]


def test_without_htcondor_nobody_knows_what_jobs_used(steps: Steps, run: Run) -> None:
    steps.version = None
    done = run()
    assert done.problems == ("what jobs used is not known: there is no HTCondor on this machine",)
    assert [cost.job_core_hours for cost in done.rows] == [None, None]
    assert "jobs" not in [asked[0] for asked in steps.asked]


def test_a_stack_that_starts_nothing_is_read_without_what_machines_start_from(
    steps: Steps, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = a_stack()
    vars(bare)["outputs"] = {name: value for name, value in bare.outputs.items() if name != "LaunchTemplateId"}
    monkeypatch.setattr(module, "find_deployed", lambda *_: bare)
    assert run().problems == ()
    assert [asked[0] for asked in steps.asked][:2] == ["machines", "price"]
