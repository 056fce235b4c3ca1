"""``grow``: which rules and jobs it decides by, what it does of a decision, and what it says and writes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from annex_bootstrap import local_user
from annex_bootstrap.commands import grow as module
from annex_bootstrap.commands.grow import Growing, Growth, Waiting, grow
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError
from annex_bootstrap.growth import queue
from annex_bootstrap.growth.acting import Actor, Done
from annex_bootstrap.growth.cloud import Place
from annex_bootstrap.growth.model import (
    Extension,
    Lease,
    Market,
    Readings,
    Reason,
    Room,
    Rules,
    Start,
)
from annex_bootstrap.growth.plan import annex_of
from annex_bootstrap.growth.reading import Reader, View
from annex_bootstrap.growth.unit import Unit
from annex_bootstrap.machines.money import Budget, Charge
from annex_bootstrap.target import Target
from tests.unit.annex_bootstrap.commands.conftest import Asked, a_stack
from tests.unit.annex_bootstrap.growth.cases import NOW, group, machine, offer
from tests.unit.recorded import Recorded

POOL = "cm.example.org annex-bootstrap 123456789012"
RULES = Rules(16, None, Market.DEMAND, 1200, 4 * 3600, POOL, ("us-east-1",), False)
ANNEX = annex_of(group(), RULES)


class Steps:
    """What the command reads and does, instead of reading and doing it.

    Attributes:
        readings: of the next decisions; after the last, Ctrl-C.
        readers: that read, and when.
        actors: that started machines.
        started: each start, with its region and when it was decided.
        extended: each extension, with its region.
        outcome: how many machines come, and why not more.
        refused: why leases cannot be extended.
    """

    def __init__(self) -> None:
        self.readings: list[Readings] = [Readings(groups=[group(jobs=4)], offers=[offer()])]
        self.readers: list[tuple[Reader, int]] = []
        self.actors: list[Actor] = []
        self.started: list[tuple[Start, str, Sequence[Any], int]] = []
        self.extended: list[tuple[Extension, str]] = []
        self.outcome: tuple[int | None, str] = (None, "")
        self.refused = ""
        self.slept: list[float] = []
        self.unmet: list[str] = []

    def read(self, reader: Reader, now: int) -> View:
        if not self.readings:
            raise KeyboardInterrupt
        self.readers.append((reader, now))
        places = [Place(account, a_stack(), None) for account in reader.accounts]
        return View(self.readings.pop(0), {}, places, ())

    def find_unmet(self, _view: View, asked: Any) -> list[str]:
        assert asked.key == "a"
        return self.unmet

    def start(self, actor: Actor, start: Start, place: Place, instances: Sequence[Any], now: int) -> Done:
        self.actors.append(actor)
        self.started.append((start, place.region, instances, now))
        count, problem = self.outcome
        return Done(start, start.count if count is None else count, problem)

    def extend(self, actor: Actor, extension: Extension, place: Place) -> str:
        self.actors.append(actor)
        self.extended.append((extension, place.region))
        return self.refused


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    made = Steps()
    monkeypatch.setattr(Reader, "read", lambda reader, now: made.read(reader, now))
    monkeypatch.setattr(Reader, "find_unmet", lambda _, view, asked: made.find_unmet(view, asked))
    monkeypatch.setattr(Actor, "start", lambda actor, *given: made.start(actor, *given))
    monkeypatch.setattr(Actor, "extend", lambda actor, *given: made.extend(actor, *given))
    monkeypatch.setattr(queue, "check_here", lambda: None)
    monkeypatch.setattr(
        module, "IN_FORCE", SimpleNamespace(ask=lambda name: {"COLLECTOR_HOST": "cm.example.org"}[name])
    )
    monkeypatch.setattr(local_user, "user_name", lambda: "alice")
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: NOW + 0.5, sleep=made.slept.append))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    return made


Run = Callable[..., Growth]


@pytest.fixture
def run(screen: Screen, targeted: Callable[..., Target]) -> Run:
    def run(*regions: str, max_cores: int = 16, once: bool = True, **options: Any) -> Any:
        return grow(screen, targeted(Recorded(), *regions), max_cores=max_cores, once=once, **options)

    return run


def recorded(home: Path) -> list[dict[str, Any]]:
    path = home / "annex-record.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


START = Start(ANNEX, "alice", "us-east-1", ("m7i.large",), False, 1, 2, Decimal("0.10"), ("a",))


def test_half_of_what_is_missing_starts_for_ones_own_jobs_in_the_annex_of_the_pool(
    steps: Steps, run: Run, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run()
    ((reader, now),) = steps.readers
    assert ([each.region for each in reader.accounts], reader.stack_name, now) == (
        ["us-east-1"],
        "annex-bootstrap",
        NOW,
    )
    assert (reader.rules, reader.only, reader.owners, reader.writes) == (RULES, "", ("alice",), True)
    assert steps.started == [(START, "us-east-1", (), NOW)]
    (actor,) = steps.actors
    assert actor == Actor(RULES, "", 300, "", True, "alice", reader.record)
    assert done == Growth(
        decided=datetime.fromtimestamp(NOW, UTC),
        cores=0,
        cores_most=16,
        dollars=None,
        doubts=(),
        starts=(
            Growing(
                ANNEX, "alice", "us-east-1", ("m7i.large",), False, wanted=1, cores=2, started=1, problem="",
                dollars_per_hour_most=Decimal("0.10"),
            ),
        ),
        extended=(),
        groups=(
            Waiting(
                "", "alice", "", jobs=4, home=0, booting=0, missing=4, reason=Reason.STARTED,
                why="machines for 4 of them are starting",
            ),
        ),
        dry_run=False,
    )  # fmt: skip
    assert done.ok
    rules, waiting = recorded(home)
    assert (rules["event"], rules["only"], rules["owners"]) == ("rules", "", ["alice"])
    assert Rules.of_event(rules) == RULES
    assert (waiting["event"], waiting["groups"]) == (
        "waiting",
        [{"job": "", "owner": "alice", "jobs": 4, "reason": "started", "why": "machines for 4 of them are starting"}],
    )
    first, second = capsys.readouterr().out.splitlines()
    assert first == (
        f"{datetime.fromtimestamp(NOW, UTC).astimezone():%Y-%m-%d %H:%M:%S}  0 of 16 cores; "
        f"4 jobs wait, 4 for machines: started 1 m7i.large on demand in us-east-1 for {ANNEX}"
    )
    assert second == "  4 jobs like  of alice: machines for 4 of them are starting."


def test_shortly_before_an_hour_ends_it_waits_until_it_has_and_a_dry_run_does_not(
    steps: Steps, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = SimpleNamespace(time=lambda: NOW + 3500.5, sleep=steps.slept.append)
    monkeypatch.setattr(module, "time", late)
    run()
    assert steps.slept == [99.5]
    steps.readings = [Readings()]
    run(dry_run=True)
    assert steps.slept == [99.5]


@pytest.mark.parametrize(("doubts", "finished"), [((), ["first", "second"]), (("the collector is away",), [])])
def test_what_was_interrupted_is_finished_before_it_is_decided_where_nothing_is_doubtful(
    steps: Steps,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    doubts: tuple[str, ...],
    finished: list[str],
) -> None:
    steps.readings = [Readings(doubts=doubts), Readings(groups=[group(jobs=4)], offers=[offer()])]
    said = [["first", "second"], []]
    monkeypatch.setattr(Actor, "finish", lambda *_: said.pop(0))
    run()
    assert len(steps.readers) == (2 if finished else 1)
    assert bool(steps.started) == bool(finished)
    assert [line for line in capsys.readouterr().err.splitlines() if "annex-bootstrap: " in line] == [
        f"annex-bootstrap: {each}" for each in finished
    ]


def test_every_option_reaches_what_decides_and_what_starts(steps: Steps, run: Run) -> None:
    steps.readings = [Readings(groups=[group(jobs=4, age=700)], offers=[offer(spot=True)])]
    run(
        max_dollars="50/day",
        spot=True,
        only="x",
        wait="10m",
        duration="2h",
        idle="15m",
        tags=("project=b",),
        owners=("bob", "alice"),
        collector="public:9700",
        skip_pool_check=True,
    )
    ((reader, _),) = steps.readers
    rules = Rules(16, Budget(Decimal(50), daily=True), Market.SPOT, 600, 7200, POOL, ("us-east-1",), False)
    assert (reader.rules, reader.only, reader.owners) == (rules, "x", ("bob", "alice"))
    (actor,) = steps.actors
    assert actor == Actor(rules, "x", 900, "public:9700", False, "bob", reader.record, {"project": "b"})


@pytest.mark.parametrize(
    ("options", "market"),
    [({}, Market.DEMAND), ({"spot": True}, Market.SPOT), ({"spot_first": True}, Market.SPOT_FIRST)],
)
def test_machines_are_paid_for_as_asked(steps: Steps, run: Run, options: dict[str, bool], market: Market) -> None:
    run(**options)
    assert steps.readers[0][0].rules.market is market


@pytest.mark.parametrize("wait", ["0", "0m"])
def test_jobs_need_not_wait_at_home(steps: Steps, run: Run, wait: str) -> None:
    run(wait=wait)
    assert steps.readers[0][0].rules.wait == 0


def test_root_serves_everybody_and_others_themselves(steps: Steps, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    run()
    assert (steps.readers[0][0].owners, steps.actors[0].host) == ((), "")
    steps.readings = [Readings()]
    run(owners=("bob",))
    assert steps.readers[1][0].owners == ("bob",)


def test_open_machines_run_everybodys_jobs_and_join_in_one_name(
    steps: Steps, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(everybody=True)
    ((reader, _),) = steps.readers
    assert (reader.owners, reader.rules.shared, steps.actors[0].host) == ((), True, "alice")
    assert recorded(home)[0]["owners"] == []
    with pytest.raises(click.UsageError, match="--open needs one --owner"):
        run(everybody=True, owners=("a", "b"))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(click.UsageError, match="--open needs one --owner, in whose name the machines join: root"):
        run(everybody=True)
    steps.readings = [Readings(groups=[group(jobs=4)], offers=[offer()])]
    run(everybody=True, owners=("bob",))
    assert steps.actors[-1].host == "bob"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"spot": True, "spot_first": True}, "give either --spot or --spot-first"),
        ({"install": True, "uninstall": True}, "give either --install or --uninstall"),
        ({"only": "a\nb"}, "--only takes an expression in one line"),
    ],
)
def test_options_that_exclude_each_other_are_refused(
    steps: Steps, run: Run, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(click.UsageError, match=text):
        run(**options)
    assert steps.readers == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"wait": "soon"}, "'soon' is not a duration"),
        ({"duration": "long"}, "'long' is not a duration"),
        ({"idle": "short"}, "'short' is not a duration"),
        ({"max_dollars": "much"}, "'much'"),
    ],
)
def test_what_cannot_be_read_is_refused(steps: Steps, run: Run, options: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError, match=text):
        run(**options)
    assert steps.readers == []


def test_without_a_queue_nothing_is_read(steps: Steps, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "check_here", lambda: (_ for _ in ()).throw(UserError("no HTCondor")))
    with pytest.raises(UserError, match="no HTCondor"):
        run()
    assert steps.readers == []


def test_a_dry_run_starts_extends_and_records_nothing(
    steps: Steps, run: Run, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(once=False, dry_run=True)
    assert (steps.started, steps.readers[0][0].writes, recorded(home)) == ([], False, [])
    assert (done.dry_run, [start.started for start in done.starts]) == (True, [0])
    assert done.groups[0].why == "machines would start for 4 of them"
    assert f": would start 1 m7i.large on demand in us-east-1 for {ANNEX}\n" in capsys.readouterr().out


LEASE = Lease("grow-4g", "us-east-1", NOW + 600)
WORKS = [machine(1, joined=True)]


def test_a_lease_whose_machines_work_is_extended(steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    steps.readings = [Readings(machines=WORKS, leases=[LEASE])]
    done = run()
    ((extension, region),) = steps.extended
    assert (extension, region) == (Extension("grow-4g", "us-east-1", NOW + 4 * 3600), "us-east-1")
    assert (done.extended, done.cores) == (("grow-4g",), 2)
    assert capsys.readouterr().out.endswith(
        "  2 of 16 cores; 0 jobs wait, 0 for machines: extends the lease of grow-4g\n"
    )


def test_a_lease_that_cannot_be_extended_is_said(steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    steps.readings, steps.refused = [Readings(machines=WORKS, leases=[LEASE])], "AWS said no"
    assert run().extended == ()
    said = capsys.readouterr()
    assert said.err == "annex-bootstrap: the lease of grow-4g was not extended: AWS said no\n"
    assert said.out.endswith(": nothing to start\n")


def test_in_a_dry_run_no_lease_is_extended(steps: Steps, run: Run) -> None:
    steps.readings = [Readings(machines=WORKS, leases=[LEASE])]
    assert run(dry_run=True).extended == ()
    assert steps.extended == []


def test_fewer_machines_than_wanted_are_said_with_each_reason_once(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    two = [group(jobs=8), group("b", jobs=8, annex="named")]
    steps.readings = [Readings(groups=two, offers=[offer(), offer("c7i.large")])]
    steps.outcome = (1, "no room")
    done = run(max_cores=64)
    assert [(start.wanted, start.started, start.problem) for start in done.starts] == [(2, 1, "no room")] * 2
    said = capsys.readouterr()
    assert said.err == "annex-bootstrap: no room\n"
    for annex in (ANNEX, "named"):
        assert f"started 1 of 2 c7i.large or 1 other type on demand in us-east-1 for {annex}" in said.out


def test_what_starts_on_the_spot_market_is_said_so_and_a_price_that_is_unknown_is(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    steps.readings = [Readings(groups=[group(jobs=1)], offers=[offer(spot=True, most=None, now=None)])]
    (start,) = run(spot=True).starts
    assert (start.spot, start.dollars_per_hour_most) == (True, None)
    assert "started 1 m7i.large spot in us-east-1" in capsys.readouterr().out


def test_what_is_spent_is_said(steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    charges = [Charge(Decimal("0.5"), NOW - 7200, NOW)]
    steps.readings = [Readings(charges=charges)]
    assert run(max_dollars="50").dollars == Decimal(1)
    assert "  0 of 16 cores, $1.00; 0 jobs wait, 0 for machines: nothing to start\n" in capsys.readouterr().out


def test_with_a_doubt_nothing_starts_and_the_command_fails(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    steps.readings = [Readings(groups=[group()], offers=[offer()], doubts=["one", "two"])]
    done = run()
    assert (done.ok, done.doubts, steps.started) == (False, ("one", "two"), [])
    out = capsys.readouterr().out
    assert "; 1 job waits, 0 for machines: nothing starts: one; two\n" in out
    assert out.splitlines()[1] == "  1 job like  of alice: not known, so nothing starts: one; two."


def test_a_condition_that_nothing_meets_is_named(steps: Steps, run: Run) -> None:
    steps.readings = [Readings(groups=[group(needs=Room(1, 1024, gpus=1))], offers=[])]
    steps.unmet = ["GPUs > 9"]
    (waiting,) = run().groups
    assert waiting.reason is Reason.NO_TYPE
    assert waiting.why.startswith("no machine satisfies GPUs > 9")
    steps.readings, steps.unmet = [Readings(groups=[group()], doubts=["one"])], ["never asked"]
    assert "never asked" not in run().groups[0].why


def test_why_jobs_wait_is_recorded_where_it_has_changed(steps: Steps, run: Run, home: Path) -> None:
    waits = Readings(groups=[group(job="7.0", age=60)])
    for readings, count in ((waits, 1), (waits, 1), (Readings(groups=[group(job="8.0", age=60)]), 2), (Readings(), 3)):
        steps.readings = [readings]
        run()
        assert len([line for line in recorded(home) if line["event"] == "waiting"]) == count
    assert recorded(home)[-1]["groups"] == []


@pytest.mark.parametrize("explain", [True, False])
def test_until_ctrl_c_it_decides_every_minute_and_prints_a_line(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str], explain: bool
) -> None:
    steps.readings = [Readings(groups=[group(job="7.0", age=60)])] * 2
    assert run(once=False, explain=explain) is None
    assert [now for _, now in steps.readers] == [NOW, NOW]
    assert steps.readers[0][0] is steps.readers[1][0]
    assert steps.slept == [60, 60]
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("  ")[2] for line in lines if not line.startswith(" ")] == [
        "0 of 16 cores; 1 job waits, 0 for machines: nothing to start"
    ] * 2
    assert [line for line in lines if line.startswith("  1 job like 7.0 of alice: it waits at home")] == (
        [lines[1]] * 2 if explain else []
    )


def test_in_json_each_decision_is_a_line(
    steps: Steps, run: Run, screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    screen.json, screen.command = True, "grow"
    steps.readings = [Readings(), Readings(groups=[group(age=60)])]
    run(once=False)
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [[group["reason"] for group in each["result"]["groups"]] for each in documents] == [[], ["wait"]]


def test_on_a_terminal_each_group_is_a_row(steps: Steps, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []

    class Live:
        def __init__(self, *given: Any) -> None:
            shown.append(given)

        def __enter__(self) -> Any:
            return shown.append

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(Screen, "shows_live", True)
    monkeypatch.setattr(Screen, "live", lambda _, *given: Live(*given))
    steps.readings = [Readings(groups=[group(job="7.0", jobs=3, age=60)])]
    run(once=False)
    assert shown == [
        (module.COLUMNS, "No idle job may leave home."),
        [["alice", "7.0", "3", "0", "0", "0", "they wait at home for 20 minutes first: 19 minutes to go"]],
    ]


class FakeUnit:
    """A unit of systemd that only says what is done to it."""

    path, is_root, there = Path("/etc/systemd/system/x.service"), True, True

    def __init__(self) -> None:
        self.done: list[str] = []

    def render(self) -> str:
        return "ExecStart=annex-bootstrap grow --max-cores 64"

    def install(self) -> None:
        self.done.append("install")

    def uninstall(self) -> bool:
        self.done.append("uninstall")
        return self.there


@pytest.fixture
def unit(monkeypatch: pytest.MonkeyPatch) -> FakeUnit:
    made = FakeUnit()

    def of_this_process(words: Sequence[str]) -> FakeUnit:
        assert words == ("--install", "--uninstall", "--yes", "-y", "--once", "--dry-run")
        return made

    monkeypatch.setattr(Unit, "of_this_process", of_this_process)
    return made


@pytest.mark.parametrize(("root", "shown"), [(True, "journalctl -u x"), (False, "journalctl --user -u x")])
def test_the_unit_is_shown_and_installed_after_a_yes(
    steps: Steps,
    run: Run,
    asked: Asked,
    unit: FakeUnit,
    narrow: Callable[[], None],
    capsys: pytest.CaptureFixture[str],
    root: bool,
    shown: str,
) -> None:
    unit.is_root = root
    narrow()
    assert run(install=True) is None
    assert (asked.questions, unit.done, steps.readers) == (
        [("Install it, and start it now?", False)],
        ["install"],
        [],
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [f"{unit.path}:", unit.render()]
    assert " ".join(" ".join(lines[2:]).split()) == f"systemd runs it: see {shown}"
    run(install=True, yes=True)
    assert (len(asked.questions), unit.done) == (1, ["install", "install"])


def test_after_a_no_no_unit_is_installed(
    run: Run, steps: Steps, asked: Asked, unit: FakeUnit, capsys: pytest.CaptureFixture[str]
) -> None:
    asked.answer = False
    run(install=True)
    assert (unit.done, steps.readers) == ([], [])
    assert capsys.readouterr().out.splitlines()[-1] == "Nothing was changed."


@pytest.mark.parametrize(("there", "said"), [(True, "{} is stopped and deleted."), (False, "There is no {}.")])
def test_the_unit_is_deleted(
    run: Run, steps: Steps, unit: FakeUnit, capsys: pytest.CaptureFixture[str], there: bool, said: str
) -> None:
    unit.there = there
    assert run(uninstall=True) is None
    assert (unit.done, steps.readers) == (["uninstall"], [])
    assert capsys.readouterr().out == said.format(unit.path) + "\n"
