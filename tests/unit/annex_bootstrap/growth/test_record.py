"""The record of what growth did, and what follows from it."""

from __future__ import annotations

import os
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from annex_bootstrap.aws import Account
from annex_bootstrap.errors import UserError
from annex_bootstrap.growth import record as module
from annex_bootstrap.growth.cloud import Instance
from annex_bootstrap.growth.model import BOOT_SECONDS, Lack
from annex_bootstrap.growth.plan import LATE
from annex_bootstrap.growth.record import Record, charges, history, lost, note_seen
from annex_bootstrap.machines.money import Charge
from tests.unit.recorded import Recorded

NOW = 1_800_000_000
REAL_TIME = time.time


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Record:
    """An empty record, in which it is always now."""
    monkeypatch.setattr("time.time", lambda: NOW)
    return Record.beside(tmp_path / "new" / "user_config")


def step(record: Record, request: str = "r1", count: int = 2, **more: Any) -> None:
    """Add a step of two machines at ten cents."""
    known = {"annex": "grow-a", "owner": "alice", "request": request, "count": count, "most": "0.10"}
    record.add("step", **(known | {"expiration": NOW + 3600} | more))


def machine(record: Record, instance_id: str, request: str = "r1", **more: Any) -> None:
    """Add a machine."""
    known = {"id": instance_id, "annex": "grow-a", "launched": NOW, "most": "0.10", "request": request}
    record.add("machine", **(known | more))


def test_lines_are_read_again_and_only_the_user_may(record: Record) -> None:
    step(record)
    again = Record.beside(record.path.with_name("user_config"))
    assert again.events == record.events
    assert record.path.stat().st_mode & 0o777 == 0o600
    assert again.owners() == {"grow-a": "alice"}


def test_a_line_that_a_killed_process_did_not_finish_is_overwritten(record: Record) -> None:
    step(record)
    with record.path.open("a") as file:
        file.write('{"at": 1, "event": "outc')
    again = Record.beside(record.path.with_name("user_config"))
    assert [line["event"] for line in again.events] == ["step"]
    again.add("joined", id="i-1")
    assert [line["event"] for line in Record.beside(record.path.with_name("user_config")).events] == ["step", "joined"]


def test_a_damaged_record_stops_it(record: Record) -> None:
    record.path.parent.mkdir()
    record.path.write_text("nonsense\n")
    with pytest.raises(UserError, match="is damaged: move it away"):
        Record.beside(record.path.with_name("user_config"))


def test_without_a_place_for_the_record_nothing_is_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(UserError, match="nothing starts without its record"):
        Record(blocked / "annex-record.jsonl").add("rules")


def test_a_look_that_follows_another_one_saw_what_happened_in_between(record: Record) -> None:
    step(record)
    assert not record.look(NOW)
    assert record.look(NOW + 60)
    assert not record.look(NOW + 60 + module.WATCHED)


def test_capacity_that_lacked_is_remembered_for_ten_minutes(record: Record) -> None:
    step(record)
    record.add("outcome", request="r1", region="r", spot=True, count=0, lacks=[["m7i.large", "z1", "Insufficient"]])
    assert history(record, NOW + 599).lacks == (Lack("r", "z1", "m7i.large", True, NOW + 600, "Insufficient"),)
    assert history(record, NOW + 600).lacks == ()
    # It brought nothing, so the next step may follow at once.
    assert history(record, NOW).steps == {"grow-a": 0}
    step(record, "r2")
    assert history(record, NOW).steps == {"grow-a": NOW}


def seen(launched: int, **more: Any) -> dict[str, Any]:
    """A machine that was launched so many seconds ago."""
    return {"launched": NOW - launched, **more}


SELF = {"watched": True, "reason": "Client.InstanceInitiatedShutdown"}


@pytest.mark.parametrize(
    ("machines", "count"),
    [
        ([seen(BOOT_SECONDS), seen(BOOT_SECONDS + 5)], 2),
        ([seen(BOOT_SECONDS - 1)], 0),
        ([seen(700), seen(800, joined={}), seen(900)], 1),
        ([seen(50, joined={}), seen(900)], 0),
        ([seen(300, ended=SELF), seen(300, ended=SELF)], 2),
        ([seen(300, ended=SELF | {"watched": False})], 0),
        ([seen(300, ended=SELF | {"reason": "Server.SpotInstanceTermination"})], 0),
        ([seen(300, ended=SELF | {"reason": "Client.UserInitiatedShutdown"})], 0),
        ([seen(900, by="start"), seen(900, by="grow")], 1),
        ([seen(900, by="grow"), seen(950, by="start", joined={}), seen(999, by="grow")], 1),
    ],
)
def test_machines_that_never_joined_are_counted_in_a_row(machines: list[dict[str, Any]], count: int) -> None:
    assert lost(machines, NOW) == count


def test_what_runs_counts_until_its_lease_ends_and_what_ended_until_then(record: Record) -> None:
    step(record)
    record.add("outcome", request="r1", region="r", spot=False, count=2, lacks=[])
    machine(record, "i-1")
    machine(record, "i-2", launched=NOW - 100)
    record.add("ended", id="i-2", ended=NOW - 10, reason="", watched=True)
    ten = Decimal("0.10")
    assert charges(record, {"i-1": NOW + 3600}, NOW) == [
        Charge(ten, NOW, NOW + 3600 + LATE),
        Charge(ten, NOW - 100, NOW - 10),
    ]


@pytest.mark.parametrize(("outcome", "count"), [(None, 1), (2, 1), (1, 0), (0, 0)])
def test_a_step_without_an_outcome_counts_as_if_all_of_it_ran(record: Record, outcome: int | None, count: int) -> None:
    step(record)
    if outcome is not None:
        record.add("outcome", request="r1", region="r", spot=False, count=outcome, lacks=[])
    machine(record, "i-1")
    unseen = charges(record, {"i-1": NOW}, NOW)[1:]
    assert unseen == [Charge(Decimal("0.10"), NOW, NOW + 3600 + LATE)] * count


def instance(number: int, *, runs: bool = True, **more: Any) -> Instance:
    """A machine as EC2 describes it."""
    return Instance(f"i-{number}", "grow-a", "r", "m7i.large", False, NOW - 100, runs, **more)


def test_machines_are_noted_once_and_again_when_their_price_is_known(record: Record) -> None:
    step(record, "r1")
    there = [instance(1, starter="alice"), instance(2, runs=False), instance(3, runs=False, request="r1")]
    record.note_machines(there, lambda _: None, "costs")
    record.note_machines(there, lambda each: Decimal("0.10") if each.instance_id == "i-1" else None, "grow")
    record.note_machines(there, lambda _: Decimal("0.20"), "grow")
    first = {"annex": "grow-a", "owner": "alice", "region": "r", "type": "m7i.large", "spot": False}
    first |= {"launched": NOW - 100, "request": "", "starter": "alice", "by": "costs", "at": NOW, "event": "machine"}
    third = first | {"id": "i-3", "request": "r1", "starter": ""}
    assert record.of("machine") == [
        first | {"id": "i-1", "most": None},
        third | {"most": None},
        first | {"id": "i-1", "most": "0.10"},
        third | {"most": "0.20"},
    ]


def test_machines_that_are_gone_have_ended_but_not_those_of_other_regions(record: Record) -> None:
    for number in range(1, 4):
        machine(record, f"i-{number}", region="r")
    machine(record, "i-4", region="elsewhere")
    there = [instance(1), instance(2, runs=False, reason="Client.UserInitiatedShutdown", ended=NOW - 7)]
    record.note_ends(there, ["r"], NOW, watched=True)
    record.note_ends(there, ["r"], NOW, watched=True)
    assert record.of("ended") == [
        {"at": NOW, "event": "ended", "id": name, "ended": ended, "reason": reason, "watched": watched}
        for name, ended, reason, watched in (
            ("i-2", NOW - 7, "Client.UserInitiatedShutdown", True),
            ("i-3", NOW, "", False),
        )
    ]


def test_who_only_writes_has_not_looked_at_the_machines(record: Record) -> None:
    step(record)
    assert time_of(record) <= REAL_TIME() - module.WATCHED
    record.look(NOW)
    os.utime(record.path, (1000, 1000))
    step(record)
    assert time_of(record) == 1000


def time_of(record: Record) -> float:
    """When somebody looked at the machines last, as the next process reads it."""
    return Record.beside(record.path.with_name("user_config")).looked


def test_a_machine_that_the_pool_knows_is_not_lost_before_that_is_noted(record: Record) -> None:
    machine(record, "i-1", launched=NOW - BOOT_SECONDS)
    assert history(record, NOW).lost == 1
    assert history(record, NOW, {"i-1"}).lost == 0


def test_what_ec2_shows_of_one_region_is_noted_at_once(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(record, "i-2", region="us-east-1")
    machine(record, "i-4", region="eu-west-1")
    there = [instance(1), instance(2, runs=False, reason="Client.UserInitiatedShutdown", ended=NOW - 7)]

    def read_instances(account: Account, profiles: frozenset[str]) -> list[Instance]:
        assert (account.region, profiles) == ("us-east-1", frozenset({"ours"}))
        return there

    monkeypatch.setattr(module, "read_instances", read_instances)
    account = Recorded().account()
    assert note_seen(record, account, frozenset({"ours"}), "costs", lambda _: Decimal("0.30")) == there
    noted = record.of("machine")[-1]
    assert (noted["id"], noted["by"], noted["most"]) == ("i-1", "costs", "0.30")
    ended = {"at": NOW, "event": "ended", "id": "i-2", "ended": NOW - 7, "reason": "Client.UserInitiatedShutdown"}
    assert record.of("ended") == [ended | {"watched": False}]
    # Whoever looked a moment ago would have seen it run.
    record.look(NOW - 299)
    machine(record, "i-3", region="us-east-1")
    there.append(instance(3, runs=False, reason="Server.Oops"))
    note_seen(record, account, frozenset({"ours"}), "grow")
    assert [line["watched"] for line in record.of("ended")] == [False, True]


def test_many_machines_wait_for_the_disk_once(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[int] = []
    monkeypatch.setattr("os.fsync", waits.append)
    record.note_machines([instance(number) for number in range(3)], lambda _: None, "grow")
    record.note_machines([instance(number) for number in range(3)], lambda _: None, "grow")
    assert len(waits) == 1
    record.note_ends([], ["r"], NOW, watched=False)
    assert len(waits) == 2
    again = Record.beside(record.path.with_name("user_config"))
    assert again.events == record.events
    assert [line["id"] for line in again.of("machine")] == [line["id"] for line in again.of("ended")]
    assert [line["id"] for line in again.of("ended")] == ["i-0", "i-1", "i-2"]
